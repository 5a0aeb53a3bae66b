//! Names of clients.

use super::*;

#[test]
fn names_that_no_certificate_can_have_make_no_ca() {
    for names in [
        identity::Names {
            dns: vec!["*.example.com".to_owned()],
            ..Default::default()
        },
        identity::Names {
            emails: vec!["nobody".to_owned()],
            ..Default::default()
        },
        identity::Names {
            uris: vec!["spiffe://cluster.local/ns/a/sa/b".to_owned()],
            ..Default::default()
        },
    ] {
        let mut cluster = Cluster::default();
        let failure = cluster.run(&Request {
            names,
            ..request("alice")
        });
        assert_eq!(failure.unwrap_err().exit().code(), 2);
        assert!(cluster.writes.is_empty());
    }
}

#[test]
fn the_name_of_another_client_as_a_common_name_has_to_be_forced() {
    let mut cluster = Cluster::default();
    cluster.run(&request("alice")).unwrap();
    cluster.run(&request("mallory")).unwrap();
    let subject: crate::pki::names::Subject = "CN=alice,O=Example".parse().unwrap();
    let as_written = crate::pki::names::Subject::from_der(&subject.to_der()).unwrap();
    for subject in [subject, as_written] {
        let disguised = Request {
            names: identity::Names {
                subject: Some(subject),
                ..Default::default()
            },
            ..another("mallory")
        };
        let writes = cluster.writes.len();
        let failure = cluster.run(&disguised).unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("`alice` is the name of another client")
        );
        assert_eq!(cluster.writes.len(), writes);
        let forced = Request {
            may_share_name: true,
            ..disguised
        };
        cluster.run(&forced).unwrap();
    }
}
