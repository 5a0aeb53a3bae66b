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

fn with_uri(request: Request, uris: &[&str]) -> Request {
    let names = identity::Names {
        uris: uris.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    Request { names, ..request }
}

#[test]
fn the_uri_of_another_client_has_to_be_forced_and_any_of_its_uris_counts() {
    let mut cluster = Cluster::default();
    let own = ["urn:device:1", "urn:device:2"];
    cluster.run(&with_uri(request("sensor"), &own)).unwrap();
    for uris in [
        &["urn:device:1"][..],
        &["urn:device:2"],
        &["spiffe://kyma-mtls-clients/mallory", "urn:device:2"],
    ] {
        let disguised = with_uri(another("mallory"), uris);
        let writes = cluster.writes.len();
        let failure = cluster.run(&disguised).unwrap_err();
        let said = "is that of the client `sensor`, for which `mallory` could be mistaken";
        assert!(failure.to_string().contains(said), "{failure}");
        assert_eq!(cluster.writes.len(), writes);
    }
    // Its own client may have it in a further certificate.
    cluster.run(&with_uri(another("sensor"), &own)).unwrap();
    cluster
        .run(&with_uri(request("ada"), &["urn:ada"]))
        .unwrap();
    let forced = Request {
        may_share_name: true,
        ..with_uri(request("mallory"), &["urn:device:2"])
    };
    cluster.run(&forced).unwrap();
}

#[test]
fn a_trust_domain_of_its_own_makes_no_two_clients_one() {
    let mut cluster = Cluster::default();
    let uri = "spiffe://example.org/ada";
    cluster.run(&with_uri(request("mallory"), &[uri])).unwrap();
    let names = identity::Names {
        trust_domain: Some("example.org".to_owned()),
        ..Default::default()
    };
    let ada = Request {
        names,
        ..request("ada")
    };
    let failure = cluster.run(&ada).unwrap_err();
    assert!(failure.to_string().contains("`mallory`"), "{failure}");
}

#[test]
fn a_uri_that_may_not_be_checked_is_reported_and_a_default_one_needs_no_list() {
    let mut cluster = Cluster::default();
    cluster.run(&request("first")).unwrap();
    let list = crate::plan::list_clients::inventory("kyma-mtls");
    let denied = Seen::Denied("you may not `list` configmaps".to_owned());
    cluster.fixed.insert(list, denied);
    let report = cluster.run(&request("ada")).unwrap();
    assert_eq!(report.unchecked, None);
    let report = cluster
        .run(&with_uri(request("ben"), &["urn:ben"]))
        .unwrap();
    let said = report.unchecked.unwrap();
    assert!(said.contains("was not checked: not permitted"), "{said}");
    assert!(report.notes.contains(&said));
}

#[test]
fn two_rows_of_a_table_do_not_get_the_same_uri() {
    let mut taken = TakenUris::default();
    let mut take = |name: &str, uri: &str| taken.take(&with_uri(request(name), &[uri]));
    take("ada", "urn:1").unwrap();
    take("ada", "urn:1").unwrap();
    take("ben", "urn:2").unwrap();
    let failure = take("ben", "urn:1").unwrap_err();
    let said = "another client of this run";
    assert!(failure.to_string().contains(said), "{failure}");
    let forced = Request {
        may_share_name: true,
        ..with_uri(request("ben"), &["urn:1"])
    };
    taken.take(&forced).unwrap();
}

#[test]
fn entries_that_end_in_an_impossible_number_are_refused_and_nothing_overflows() {
    let planted = |object: &Object, annotation: Option<&str>, number: &str| {
        let mut body = object.body().clone();
        let stem = object
            .name()
            .trim_end_matches(|end: char| end.is_ascii_digit());
        body["metadata"]["name"] = format!("{stem}{number}").into();
        let planted = Object::from_server(Kind::ConfigMap, body).unwrap();
        match annotation {
            Some(value) => planted.with_annotation("kubectl-mtls.dev/pruned-to", value),
            None => planted,
        }
    };
    let mut cluster = Cluster::default();
    cluster.run(&request("alice")).unwrap();
    let name = reference("kyma-mtls", &"alice".parse().unwrap(), 1);
    let first = cluster.objects[&name].clone();
    for number in ["4294967295", "4294967294", "1000000001", "0", "-1"] {
        let mut cluster = cluster.clone();
        cluster.put(&planted(&first, Some(number), "1"));
        let failure = cluster.run(&another("alice")).unwrap_err();
        assert!(failure.to_string().contains("pruned-to"), "{failure}");
    }
    // Only the first entry says that it goes on so far.
    let mut far = cluster.clone();
    far.put(&planted(&first, Some("1000000000"), "1"));
    let failure = far.run(&another("alice")).unwrap_err();
    assert!(
        failure.to_string().contains("no number is free"),
        "{failure}"
    );
    // Every number that is looked at while the first free one is searched.
    let mut many = cluster.clone();
    for number in (0..32).map(|power| 1_u32 << power) {
        many.put(&planted(&first, None, &number.to_string()));
    }
    assert_eq!(
        many.run(&another("alice")).unwrap().entry.number,
        (1 << 29) + 1
    );
    let read = |number: &str| Entry::read(&planted(&first, None, number));
    assert!(read("1000000000").is_ok());
    for number in ["0", "1000000001", "4294967295"] {
        let error = read(number).unwrap_err();
        assert!(
            error.to_string().contains("does not end in a number"),
            "{error}"
        );
    }
}

#[test]
fn a_common_name_that_differs_from_a_name_in_case_or_blanks_only_has_to_be_forced() {
    let mut cluster = Cluster::default();
    cluster.run(&request("alice b")).unwrap();
    let with = |common_name: &str| {
        let mut subject = crate::pki::names::Subject::default();
        let attribute = crate::pki::names::Attribute::CommonName;
        subject = subject.with(attribute, common_name).unwrap();
        // As a signing request brings it.
        let subject = crate::pki::names::Subject::from_der(&subject.to_der()).unwrap();
        let names = identity::Names {
            subject: Some(subject),
            ..Default::default()
        };
        Request {
            names,
            ..another("mallory")
        }
    };
    for common_name in ["ALICE B", "Alice  b"] {
        let writes = cluster.writes.len();
        let failure = cluster.run(&with(common_name)).unwrap_err();
        let said = format!("`{common_name}` is the name of another client, `alice b`");
        assert!(failure.to_string().contains(&said), "{failure}");
        assert_eq!(cluster.writes.len(), writes);
    }
    for common_name in [" alice b", "alice b ", "\u{a0}alice b"] {
        let failure = cluster.run(&with(common_name)).unwrap_err();
        let said = "begins or ends with a blank";
        assert!(failure.to_string().contains(said), "{failure}");
        assert_eq!(failure.exit().code(), 2);
    }
    let forced = Request {
        may_share_name: true,
        ..with("ALICE B")
    };
    cluster.run(&forced).unwrap();
    // The own name may be written otherwise.
    cluster.run(&with("Mallory")).unwrap();
}
