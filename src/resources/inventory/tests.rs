use super::*;
use crate::pki::tests::{NOW, authority, client};

fn alice() -> ClientName {
    "alice".parse().unwrap()
}

fn entry() -> Entry {
    let (_, certificate) = client(&authority());
    Entry::new("kyma-mtls", &alice(), 1, EntryState::Issued, &certificate)
}

/// What the API server answers to a request for metadata only.
fn metadata_of(object: &Object) -> Object {
    let mut body = object.body().clone();
    body.as_object_mut().unwrap().remove("data");
    Object::from_server(Kind::ConfigMap, body).unwrap()
}

#[test]
fn what_is_written_reads_back_with_its_revocation() {
    let mut entry = entry();
    entry.state = EntryState::Revoked;
    entry.renews = Some(7);
    entry.revocation = Some(Revocation {
        at: NOW,
        reason: Reason::KeyCompromise,
    });
    entry.revoked_by = Some("ada".to_owned());
    entry.issued_by = Some("ben".to_owned());
    entry.issued_at = Some(NOW);
    let object = entry.object(&alice());
    assert_eq!(Entry::read(&object), Ok(entry.clone()));
    assert_eq!(object.label(SERIAL), Some(entry.serial.as_str()));
}

#[test]
fn a_change_keeps_what_others_wrote_and_the_certificate() {
    let mut entry = entry();
    let live = entry
        .object(&alice())
        .with_label("team", "a")
        .with_annotation("kubectl-mtls.dev/of-a-later-version", "b")
        .with("immutable", false.into());
    entry.state = EntryState::Void;
    let changed = entry.restated(&live).unwrap();
    assert_eq!(Entry::read(&changed).unwrap(), entry);
    assert_eq!(changed.label("team"), Some("a"));
    assert!(
        changed
            .annotation("kubectl-mtls.dev/of-a-later-version")
            .is_some()
    );
    assert!(changed.at(&["immutable"]).is_some());
}

#[test]
fn an_entry_of_which_only_metadata_was_read_cannot_be_written_back() {
    let live = metadata_of(&entry().object(&alice()));
    let read = Entry::read(&live).unwrap();
    assert_eq!(read.certificate, None);
    let refusal = read.restated(&live).unwrap_err();
    assert_eq!(refusal.reason, format!("`{CERTIFICATE}` is missing"));
}

#[test]
fn an_entry_of_a_later_format_is_left_alone() {
    let object = entry()
        .object(&alice())
        .with_annotation(FORMAT_ANNOTATION, "2");
    assert!(
        Entry::read(&object)
            .unwrap_err()
            .reason
            .contains("format is `2`")
    );
}

#[test]
fn an_expired_certificate_does_not_occupy_its_name() {
    let mut entry = entry();
    let end = entry.not_after;
    assert!(entry.occupies_name(end - time::Duration::SECOND));
    assert!(!entry.occupies_name(end));
    for (state, occupies) in [
        (EntryState::Revoked, true),
        (EntryState::Reserved, false),
        (EntryState::Void, false),
    ] {
        entry.state = state;
        assert_eq!(entry.occupies_name(NOW), occupies, "{state}");
    }
}

#[test]
fn all_uris_of_a_certificate_are_recorded_and_an_entry_of_an_earlier_version_has_the_first_one() {
    let mut entry = entry();
    let first = entry.uri.clone();
    let of = |object: &Object| {
        let (name, uris) = identities(object).unwrap();
        (name.to_owned(), uris.map(str::to_owned).collect::<Vec<_>>())
    };
    let first_only = entry.object(&alice());
    assert!(records_all_uris(&first_only));
    let earlier = first_only.without_annotation("kubectl-mtls.dev/further-uris");
    assert!(!records_all_uris(&earlier));
    assert_eq!(of(&earlier), ("alice".to_owned(), vec![first.clone()]));
    assert_eq!(Entry::read(&earlier).unwrap().further_uris, [""; 0]);
    entry.further_uris = vec!["urn:1".to_owned(), "urn:2".to_owned()];
    let object = metadata_of(&entry.object(&alice()));
    assert_eq!(of(&object).1, [&first, "urn:1", "urn:2"]);
    assert_eq!(
        Entry::read(&object).unwrap().further_uris,
        entry.further_uris
    );
    entry.state = EntryState::Void;
    assert!(identities(&entry.object(&alice())).is_none());
}

#[test]
fn entries_are_found_by_their_authority_and_so_are_damaged_ones() {
    let object = metadata_of(&entry().object(&alice()));
    let mut damaged = object.body().clone();
    damaged["metadata"]["annotations"] = json!({});
    let damaged = Object::from_server(Kind::ConfigMap, damaged).unwrap();
    let mut inventory = Inventory::default();
    inventory.extend([object.clone()]);
    inventory.extend([damaged]);
    let serials = inventory.of("kyma-mtls").iter().map(|entry| &entry.serial);
    assert_eq!(serials.collect::<Vec<_>>(), [&entry().serial]);
    let [(name, error)] = inventory.damaged("kyma-mtls") else {
        panic!("one is damaged: {inventory:?}");
    };
    assert_eq!(name, object.reference());
    assert!(error.to_string().contains("is missing"), "{error}");
    assert!(inventory.of("other").is_empty() && inventory.damaged("other").is_empty());
}
