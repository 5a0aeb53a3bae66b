//! Which CAs a restoration brings back, and which it leaves out and names.

use super::*;

#[test]
fn a_secret_that_a_killed_first_run_left_is_not_taken_for_the_keys_of_a_lost_authority() {
    let (mut stage, clients) = busy();
    let names = CredentialNames::first();
    let data = keys(&stage).at(&["data"]).unwrap().clone();
    let real = Object::new(names.keys(2))
        .with_label(AUTHORITY_LABEL, FIRST_AUTHORITY)
        .with("data", data);
    let orphan = stage.given_ca();
    let left = (orphan.certificate(), orphan.key());
    let left = keys_object(names.keys(1), FIRST_AUTHORITY, left.0, left.1, Origin::Made);
    for secret in [real, left] {
        stage.fake.put(&secret);
    }
    lose(&mut stage);
    restored(&mut stage, clients);
    let state = stage.state();
    assert_eq!(state.keys_secret, "kyma-mtls-2");
    assert!(!state.trusted.contains(orphan.certificate()));
    let later = stage.issue("later");
    assert_eq!(stage.answer(later), Verdict::LetIn);
}

#[test]
fn clients_of_a_ca_that_cannot_be_restored_are_named() {
    let (mut stage, clients) = busy();
    let first = first_ca(&stage);
    lose_key_of(&mut stage, &first);
    lose(&mut stage);
    let losses = losses(&mut stage);
    assert!(losses.contains("clients (old)"), "{losses}");
    assert!(losses.contains(&first.key_id_hex()), "{losses}");
    stage.run(&restore(true)).unwrap();
    let fates = [Verdict::Unknown, Verdict::LetIn, Verdict::Revoked];
    assert_eq!(answers(&stage, clients), fates);
}

#[test]
fn a_trusted_ca_stays_without_its_key_and_neither_issues_nor_loses_its_list() {
    let (mut stage, clients) = busy();
    let first = first_ca(&stage);
    lose_key_of(&mut stage, &first);
    lead(&mut stage, true);
    let losses = losses(&mut stage);
    assert!(losses.contains("the key of the CA"), "{losses}");
    let report = stage.run(&restore(true)).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("the key of")));
    assert_eq!(answers(&stage, clients), FATES);
    assert_ne!(stage.state().issuing, Some(first.fingerprint()));
    assert_eq!(stage.state().crls.len(), 2);
}

#[test]
fn a_ca_without_its_key_does_not_let_a_revoked_client_in_again() {
    let (mut stage, [old, new, lost]) = busy();
    let first = first_ca(&stage);
    lose_key_of(&mut stage, &first);
    // Revoked after what was put back, so that no list names it.
    stage.revoke_in_inventory(old);
    let mut other = stage.clone();
    lead(&mut stage, true);
    let told = losses(&mut stage);
    assert!(told.contains("does not name all"), "{told}");
    stage.run(&restore(true)).unwrap();
    let fates = [Verdict::Unknown, Verdict::LetIn, Verdict::Revoked];
    assert_eq!(answers(&stage, [old, new, lost]), fates);
    // A witness of an earlier version does not tell a lost key from one that went with its CA.
    lead(&mut other, false);
    let told = losses(&mut other);
    assert!(told.contains("whether it was dropped"), "{told}");
}

#[test]
fn the_key_of_a_rotation_that_never_began_makes_no_ca_trusted() {
    let mut stage = Stage::exposed();
    let mut steps = 1;
    while stage.keys().len() < 2 {
        stage = Stage::exposed();
        stage.killed(&advance(), steps);
        steps += 1;
    }
    let alice = stage.issue("alice");
    let trusted = stage.state().trusted;
    lead(&mut stage, true);
    for is_lost in [false, true] {
        let mut stage = stage.clone();
        if is_lost {
            lose(&mut stage);
        }
        let losses = losses(&mut stage);
        assert!(
            losses.contains("nothing says that it was trusted"),
            "{losses}"
        );
        stage.run(&restore(true)).unwrap();
        assert_eq!(stage.state().trusted, trusted);
        assert_eq!(stage.answer(alice), Verdict::LetIn);
    }
}

/// With a client of a CA that was dropped by force, and the authority and its keys as they were before.
fn with_dropped_ca() -> (Stage, [usize; 2], [Object; 2]) {
    let mut stage = Stage::exposed();
    let dropped = stage.issue("dropped");
    stage.run(&advance()).unwrap();
    let new = stage.issue("new");
    let backup = [own(&stage), keys(&stage)];
    stage.run(&forced()).unwrap();
    assert_eq!(stage.answer(dropped), Verdict::Unknown);
    (stage, [dropped, new], backup)
}

#[test]
fn a_dropped_ca_stays_out_although_a_backup_has_its_key() {
    for is_lost in [false, true] {
        let (mut stage, [dropped, new], backup) = with_dropped_ca();
        for object in backup {
            stage.fake.put(&object);
        }
        if is_lost {
            lose(&mut stage);
        }
        let losses = losses(&mut stage);
        assert!(losses.contains("clients (dropped)"), "{losses}");
        assert!(losses.contains("which was dropped"), "{losses}");
        stage.run(&restore(true)).unwrap();
        let fates = [dropped, new].map(|client| stage.answer(client));
        assert_eq!(fates, [Verdict::Unknown, Verdict::LetIn]);
        stage.run(&finish()).unwrap();
        assert_eq!(stage.keys().len(), 1, "its key leaves again");
    }
}

#[test]
fn what_a_state_with_an_edited_bundle_says_of_dropped_cas_counts() {
    let (mut stage, [dropped, new], [_, keys]) = with_dropped_ca();
    stage.fake.put(&keys);
    forget_dropped(&mut stage);
    stage.edit_state("ca.crt", "junk");
    stage.run(&restore(true)).unwrap();
    let fates = [dropped, new].map(|client| stage.answer(client));
    assert_eq!(fates, [Verdict::Unknown, Verdict::LetIn]);
}

#[test]
fn a_dropped_ca_does_not_come_back_by_its_name_either() {
    let (mut stage, _, backup) = with_dropped_ca();
    for object in backup {
        stage.fake.put(&object);
    }
    let first = first_ca(&stage);
    let failure = stage.run(&trusting(vec![first], true)).unwrap_err();
    assert!(failure.to_string().contains("was dropped"), "{failure}");
}

#[test]
fn an_external_ca_of_an_older_authority_stays_out_and_is_named() {
    for knows in [true, false] {
        let mut stage = Stage::by_hand();
        let theirs = stage.foreign_client();
        stage.run(&advance()).unwrap();
        let before = own(&stage);
        let foreign = [stage.foreign.certificate().fingerprint()].into();
        stage
            .run(&request(Goal::Finish(Finish {
                foreign,
                ..Finish::default()
            })))
            .unwrap();
        let [good, bad] = ["good", "bad"].map(|name| stage.issue(name));
        stage.revoke(bad);
        stage.fake.put(&before);
        stage.load();
        assert_eq!(stage.answer(theirs), Verdict::LetIn);
        if !knows {
            forget_dropped(&mut stage);
            let losses = losses(&mut stage);
            assert!(losses.contains("the external CA"), "{losses}");
        }
        stage.run(&restore(true)).unwrap();
        let fates = [theirs, good, bad].map(|client| stage.answer(client));
        assert_eq!(fates, [Verdict::Unknown, Verdict::LetIn, Verdict::Revoked]);
    }
}

#[test]
fn a_ca_that_was_put_in_by_hand_is_accepted_only_where_the_user_names_it() {
    let mut stage = Stage::exposed();
    let alice = stage.issue("alice");
    let theirs = stage.foreign_client();
    let foreign = stage.foreign.certificate().clone();
    let bundle = stage.state().trusted[0].pem() + &foreign.pem();
    stage.edit_state("ca.crt", &bundle);
    lead(&mut stage, true);
    let mut other = stage.clone();
    let losses = losses(&mut stage);
    assert!(losses.contains("the external CA"), "{losses}");
    stage.run(&restore(true)).unwrap();
    other.run(&trusting(vec![foreign], true)).unwrap();
    for (stage, fate) in [(stage, Verdict::Unknown), (other, Verdict::LetIn)] {
        assert_eq!(stage.answer(theirs), fate);
        assert_eq!(stage.answer(alice), Verdict::LetIn);
        assert!(stage.state().intruders.is_empty());
    }
}

#[test]
fn where_no_client_depends_on_a_lost_ca_a_new_one_is_made_or_the_one_that_is_named_comes_back() {
    let mut stage = Stage::exposed();
    let first = first_ca(&stage);
    lead(&mut stage, true);
    lose(&mut stage);
    let mut other = stage.clone();
    assert!(losses(&mut stage).contains("nothing says that it was trusted"));
    stage.run(&restore(true)).unwrap();
    assert!(!stage.state().trusted.contains(&first));
    other.run(&trusting(vec![first.clone()], true)).unwrap();
    assert_eq!(other.state().trusted, [first]);
    assert_eq!(other.state().issuing_ca(), other.state().trusted.first());
    for mut stage in [stage, other] {
        let alice = stage.issue("alice");
        assert_eq!(stage.answer(alice), Verdict::LetIn);
        assert_eq!(stage.now, NOW);
    }
}

#[test]
fn an_authority_that_trusted_cas_of_others_alone_comes_back_with_those_that_are_named() {
    let mut stage = Stage::by_hand();
    let theirs = stage.foreign_client();
    lead(&mut stage, true);
    lose(&mut stage);
    let foreign = stage.foreign.certificate().clone();
    stage.run(&trusting(vec![foreign], true)).unwrap();
    assert_eq!(stage.answer(theirs), Verdict::LetIn);
    assert!(stage.state().trusted.is_empty());
    stage.run(&advance()).unwrap();
    let ours = stage.issue("alice");
    assert_eq!(
        [theirs, ours].map(|client| stage.answer(client)),
        [Verdict::LetIn; 2]
    );
}

#[test]
fn a_ca_that_is_named_comes_back_without_its_key_and_is_replaced_by_a_rotation() {
    let mut stage = Stage::exposed();
    let alice = stage.issue("alice");
    let first = first_ca(&stage);
    lead(&mut stage, true);
    lose(&mut stage);
    stage.fake.objects.remove(&CredentialNames::first().keys(1));
    let failure = stage.run(&restore(true)).unwrap_err();
    let hints = failure.what_to_do().join("\n");
    assert!(
        hints.contains("clients (alice)") && hints.contains("--client-ca"),
        "{hints}"
    );
    stage.run(&trusting(vec![first], true)).unwrap();
    stage.run(&advance()).unwrap();
    let bob = stage.issue("bob");
    assert_eq!(
        [alice, bob].map(|client| stage.answer(client)),
        [Verdict::LetIn; 2]
    );
}
