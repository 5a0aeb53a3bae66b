use super::*;
use crate::pki::crl::Reason;
use crate::pki::tests::{NOW, authority};
use crate::resources::Object;
use serde_json::json;
use time::Duration;

fn state() -> AuthorityState {
    AuthorityState::new("kyma-mtls", authority().certificate().clone(), "kyma-mtls")
}

fn entry(serial: &str) -> Revoked {
    Revoked {
        serial: serial.parse().unwrap(),
        at: NOW,
        reason: Reason::Unspecified,
    }
}

fn edited(state: &AuthorityState, key: &str, text: &str) -> Object {
    let object = state.object();
    let mut data = object.at(&["data"]).unwrap().clone();
    data[key] = text.into();
    object.with("data", data)
}

#[test]
fn a_state_reads_back_as_it_was_written() {
    let mut state = state();
    state.given.insert(state.trusted[0].fingerprint());
    state.dropped.insert("00ff".to_owned());
    state.retired.insert("abcd".to_owned());
    state.history.push("somebody did something".to_owned());
    let end = NOW + Duration::days(3);
    state.ends.set("abcd", [Some(&end), None].into_iter());
    assert_eq!(AuthorityState::read(&state.object()).unwrap(), state);
}

#[test]
fn what_gateways_read_stands_beside_it_and_no_empty_list() {
    let state = state();
    let object = state.object();
    assert_eq!(object.text(&["data", "ca.crt"]), state.trusted[0].pem());
    assert!(object.at(&["data", "ca.crl"]).is_none());
}

#[test]
fn a_state_of_the_layout_before_is_read_and_written_in_this_one() {
    let ca = authority();
    let ca = ca.certificate();
    let fingerprint = ca.fingerprint();
    let data = json!({
        "format": "1", "revision": "4", "trusted": ca.pem(), "issuing": fingerprint, "target": fingerprint,
        "crls": "", "unlisted": "aa 1\n", "dropped": "00\n", "given": "", "retired": "11\n",
        "keysSecret": "kyma-mtls-2", "history": "one\ntwo\n",
    });
    let read = AuthorityState::read(&state().object().with("data", data)).unwrap();
    assert_eq!((read.revision, read.history.len()), (4, 2));
    assert_eq!(read.keys_secret, "kyma-mtls-2");
    assert_eq!(read.object().text(&["data", "format"]), "2");
    assert_eq!(AuthorityState::read(&read.object()).unwrap(), read);
}

#[test]
fn an_edited_state_is_refused_with_the_key_that_was_edited() {
    for (key, text, reason) in [
        ("format", "3", "the format is `3`"),
        ("ca.crt", "", "ca.crt: "),
        ("state.json", "{}", "`state.json` is damaged"),
        ("state.json", "", "`state.json` is damaged"),
    ] {
        let error = AuthorityState::read(&edited(&state(), key, text)).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_ca_that_somebody_put_into_the_bundle_is_told_from_one_that_was_taken_over() {
    let other = authority().certificate().clone();
    let mut state = state();
    let bundle = state.trusted[0].pem() + &other.pem();
    let read = AuthorityState::read(&edited(&state, "ca.crt", &bundle)).unwrap();
    assert_eq!(read.external, std::slice::from_ref(&other));
    assert_eq!(read.intruders, [other.fingerprint()].into());
    // Written again by a command that has nothing to do with it, it is still told.
    let again = AuthorityState::read(&read.object()).unwrap();
    assert_eq!(again.intruders, read.intruders);

    state.external.push(other.clone());
    let read = AuthorityState::read(&state.object()).unwrap();
    assert_eq!((&read.external, read.intruders.len()), (&state.external, 0));

    state.external.clear();
    state.dropped.insert(other.fingerprint());
    let read = AuthorityState::read(&edited(&state, "ca.crt", &bundle)).unwrap();
    assert_eq!(read.readmitted, std::slice::from_ref(&other));
    assert!(
        !read
            .object()
            .text(&["data", "ca.crt"])
            .contains(&other.pem())
    );
}

/// The figure of docs/rotation.md.
#[test]
fn twelve_thousand_revocations_fit_and_a_rotation_beside_them() {
    use crate::pki::crl::Crl;
    use crate::resources::capacity::{ROTATION, check};

    let ca = authority();
    let entries: Vec<Revoked> = (0..12_500_u32)
        .map(|number| {
            let mut serial = [0x41; 20];
            serial[16..].copy_from_slice(&number.to_be_bytes());
            Revoked {
                serial: Serial::from_be_bytes(&serial),
                at: NOW,
                reason: Reason::KeyCompromise,
            }
        })
        .collect();
    let mut state = AuthorityState::new("kyma-mtls", ca.certificate().clone(), "kyma-mtls");
    state.crls = vec![Crl::sign(&ca, 1, &entries, None, NOW).unwrap().pem()];
    let end = NOW + Duration::days(90);
    let ends = entries.iter().map(|_| Some(&end));
    state.ends.set(&ca.certificate().key_id_hex(), ends);
    let object = state.object();
    check(&object, ROTATION).unwrap();
    let read = AuthorityState::read(&object).unwrap();
    assert_eq!(read.ends, state.ends);
}

#[test]
fn an_authority_in_use_stays_until_it_is_let_go() {
    let served = state().serving(&GatewayName::new("shop", "gateway"));
    let object = served.object().with_finalizer("others/own");
    assert!(object.has_finalizer("kubectl-mtls.dev/in-use"));
    let free = AuthorityState {
        gateway: None,
        ..served
    };
    let freed = free.changing(&object);
    assert!(!freed.has_finalizer("kubectl-mtls.dev/in-use"));
    assert!(freed.has_finalizer("others/own"));
    assert_eq!(AuthorityState::read(&freed).unwrap().gateway, None);
}

#[test]
fn an_end_is_never_before_the_certificates_and_unknown_where_the_list_was_edited() {
    let mut ends = Ends::default();
    let end = NOW + Duration::minutes(61);
    let entries = [entry("0a"), entry("0b")];
    ends.set("ca", [Some(&end), None].into_iter());
    let known = ends.of("ca", &entries);
    assert_eq!(known.len(), 1);
    let rounded = known[&entries[0].serial] - end;
    assert!(
        rounded.is_positive() && rounded <= Duration::HOUR,
        "{rounded}"
    );
    assert!(ends.of("ca", &entries[..1]).is_empty());
    assert!(ends.of("another", &entries).is_empty());
    let unknown = [None, None, Some(&end), None];
    let four = ["0a", "0b", "0c", "0d"].map(entry);
    ends.set("ca", unknown.into_iter());
    let known = ends.of("ca", &four);
    assert_eq!(known.keys().collect::<Vec<_>>(), [&four[2].serial]);
    assert!(ends.of("ca", &four[..3]).is_empty());
    ends.retain(&BTreeSet::new());
    assert!(ends.of("ca", &entries).is_empty());
}
