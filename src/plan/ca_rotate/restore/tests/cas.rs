//! Which CAs a restoration brings back, and which it leaves out and names.

use super::*;
use crate::plan::ca_rotate::tests::with_a_key_left_over;
use crate::plan::testing::foreign_ca;

#[test]
fn a_secret_that_a_killed_first_run_left_is_not_taken_for_the_keys_of_a_lost_authority() {
    let (mut cluster, clients) = busy();
    let names = CredentialNames::first();
    let data = keys(&cluster).at(&["data"]).unwrap().clone();
    let real = Object::new(names.keys(2))
        .with_label(AUTHORITY_LABEL, FIRST_AUTHORITY)
        .with("data", data);
    let orphan = cluster.given_ca();
    let left = (orphan.certificate(), orphan.key());
    let left = keys_object(names.keys(1), FIRST_AUTHORITY, left.0, left.1, Origin::Made);
    for secret in [real, left] {
        cluster.put(&secret);
    }
    lose(&mut cluster);
    restored(&mut cluster, clients);
    let state = cluster.state();
    assert_eq!(state.keys_secret, "kyma-mtls-2");
    assert!(!state.trusted.contains(orphan.certificate()));
    let later = cluster.issue("later");
    assert_eq!(cluster.answer(later), Verdict::LetIn);
}

#[test]
fn clients_of_a_ca_that_cannot_be_restored_are_named() {
    let (mut cluster, clients) = busy();
    let first = first_ca(&cluster);
    lose_key_of(&mut cluster, &first);
    lose(&mut cluster);
    let losses = losses(&mut cluster);
    assert!(losses.contains("clients (old)"), "{losses}");
    assert!(losses.contains(&first.key_id_hex()), "{losses}");
    cluster.run(&restore(true)).unwrap();
    let fates = [Verdict::Unknown, Verdict::LetIn, Verdict::Revoked];
    assert_eq!(answers(&cluster, clients), fates);
}

#[test]
fn a_trusted_ca_stays_without_its_key_and_neither_issues_nor_loses_its_list() {
    let (mut cluster, clients) = busy();
    let first = first_ca(&cluster);
    lose_key_of(&mut cluster, &first);
    lead(&mut cluster, true);
    let losses = losses(&mut cluster);
    assert!(losses.contains("the key of the CA"), "{losses}");
    let report = cluster.run(&restore(true)).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("the key of")));
    assert_eq!(answers(&cluster, clients), FATES);
    assert_ne!(cluster.state().issuing, Some(first.fingerprint()));
    assert_eq!(cluster.state().crls.len(), 2);
}

#[test]
fn a_ca_without_its_key_does_not_let_a_revoked_client_in_again() {
    let (mut cluster, [old, new, lost]) = busy();
    let first = first_ca(&cluster);
    lose_key_of(&mut cluster, &first);
    // Revoked after what was put back, so that no list names it.
    cluster.revoke_in_inventory(old);
    let mut other = cluster.clone();
    lead(&mut cluster, true);
    let told = losses(&mut cluster);
    assert!(told.contains("does not name all"), "{told}");
    cluster.run(&restore(true)).unwrap();
    let fates = [Verdict::Unknown, Verdict::LetIn, Verdict::Revoked];
    assert_eq!(answers(&cluster, [old, new, lost]), fates);
    // A witness of an earlier version does not tell a lost key from one that went with its CA.
    lead(&mut other, false);
    let told = losses(&mut other);
    assert!(told.contains("whether it was dropped"), "{told}");
}

#[test]
fn the_key_of_a_rotation_that_never_began_makes_no_ca_trusted() {
    let mut cluster = with_a_key_left_over(&advance());
    let alice = cluster.issue("alice");
    let trusted = cluster.state().trusted;
    lead(&mut cluster, true);
    for is_lost in [false, true] {
        let mut cluster = cluster.clone();
        if is_lost {
            lose(&mut cluster);
        }
        let losses = losses(&mut cluster);
        assert!(
            losses.contains("nothing shows that it was trusted"),
            "{losses}"
        );
        cluster.run(&restore(true)).unwrap();
        assert_eq!(cluster.state().trusted, trusted);
        assert_eq!(cluster.answer(alice), Verdict::LetIn);
    }
}

/// With a client of a CA that was dropped by force, and the authority and its keys as they were before.
fn with_dropped_ca() -> (Cluster, [usize; 2], [Object; 2]) {
    let mut cluster = Cluster::exposed();
    let dropped = cluster.issue("dropped");
    cluster.run(&advance()).unwrap();
    let new = cluster.issue("new");
    let backup = [own(&cluster), keys(&cluster)];
    cluster.run(&forced()).unwrap();
    assert_eq!(cluster.answer(dropped), Verdict::Unknown);
    (cluster, [dropped, new], backup)
}

#[test]
fn a_dropped_ca_stays_out_although_a_backup_has_its_key() {
    for is_lost in [false, true] {
        let (mut cluster, [dropped, new], backup) = with_dropped_ca();
        for object in backup {
            cluster.put(&object);
        }
        if is_lost {
            lose(&mut cluster);
        }
        let losses = losses(&mut cluster);
        assert!(losses.contains("clients (dropped)"), "{losses}");
        assert!(losses.contains("which was dropped"), "{losses}");
        cluster.run(&restore(true)).unwrap();
        let fates = [dropped, new].map(|client| cluster.answer(client));
        assert_eq!(fates, [Verdict::Unknown, Verdict::LetIn]);
        cluster.run(&finish()).unwrap();
        assert_eq!(cluster.keys().len(), 1, "its key leaves again");
    }
}

#[test]
fn what_a_state_with_an_edited_bundle_says_of_dropped_cas_counts() {
    let (mut cluster, [dropped, new], [_, keys]) = with_dropped_ca();
    cluster.put(&keys);
    forget_dropped(&mut cluster);
    cluster.edit_state("ca.crt", "junk");
    cluster.run(&restore(true)).unwrap();
    let fates = [dropped, new].map(|client| cluster.answer(client));
    assert_eq!(fates, [Verdict::Unknown, Verdict::LetIn]);
}

#[test]
fn a_dropped_ca_does_not_come_back_by_its_name_either() {
    let (mut cluster, _, backup) = with_dropped_ca();
    for object in backup {
        cluster.put(&object);
    }
    let first = first_ca(&cluster);
    let failure = cluster.run(&trusting(vec![first], true)).unwrap_err();
    assert!(failure.to_string().contains("was dropped"), "{failure}");
}

#[test]
fn an_external_ca_of_an_older_authority_stays_out_and_is_named() {
    for knows in [true, false] {
        let mut cluster = Cluster::by_hand();
        let theirs = cluster.foreign_client();
        cluster.run(&advance()).unwrap();
        let before = own(&cluster);
        let foreign = [foreign_ca().certificate().fingerprint()].into();
        cluster
            .run(&request(Goal::Finish(Finish {
                foreign,
                ..Finish::default()
            })))
            .unwrap();
        let [good, bad] = ["good", "bad"].map(|name| cluster.issue(name));
        cluster.revoke(bad);
        cluster.put(&before);
        cluster.load();
        assert_eq!(cluster.answer(theirs), Verdict::LetIn);
        if !knows {
            forget_dropped(&mut cluster);
            let losses = losses(&mut cluster);
            assert!(losses.contains("the external CA"), "{losses}");
        }
        cluster.run(&restore(true)).unwrap();
        let fates = [theirs, good, bad].map(|client| cluster.answer(client));
        assert_eq!(fates, [Verdict::Unknown, Verdict::LetIn, Verdict::Revoked]);
    }
}

#[test]
fn a_ca_that_was_put_in_by_hand_is_accepted_only_where_the_user_names_it() {
    let mut cluster = Cluster::exposed();
    let alice = cluster.issue("alice");
    let theirs = cluster.foreign_client();
    let foreign = foreign_ca().certificate().clone();
    let bundle = cluster.state().trusted[0].pem() + &foreign.pem();
    cluster.edit_state("ca.crt", &bundle);
    lead(&mut cluster, true);
    let mut other = cluster.clone();
    let losses = losses(&mut cluster);
    assert!(losses.contains("the external CA"), "{losses}");
    cluster.run(&restore(true)).unwrap();
    other.run(&trusting(vec![foreign], true)).unwrap();
    for (cluster, fate) in [(cluster, Verdict::Unknown), (other, Verdict::LetIn)] {
        assert_eq!(cluster.answer(theirs), fate);
        assert_eq!(cluster.answer(alice), Verdict::LetIn);
        assert!(cluster.state().intruders.is_empty());
    }
}

#[test]
fn where_no_client_depends_on_a_lost_ca_a_new_one_is_made_or_the_one_that_is_named_comes_back() {
    let mut cluster = Cluster::exposed();
    let first = first_ca(&cluster);
    lead(&mut cluster, true);
    lose(&mut cluster);
    let mut other = cluster.clone();
    assert!(losses(&mut cluster).contains("nothing shows that it was trusted"));
    cluster.run(&restore(true)).unwrap();
    assert!(!cluster.state().trusted.contains(&first));
    other.run(&trusting(vec![first.clone()], true)).unwrap();
    assert_eq!(other.state().trusted, [first]);
    assert_eq!(other.state().issuing_ca(), other.state().trusted.first());
    for mut cluster in [cluster, other] {
        let alice = cluster.issue("alice");
        assert_eq!(cluster.answer(alice), Verdict::LetIn);
        assert_eq!(cluster.now, NOW);
    }
}

#[test]
fn an_authority_that_trusted_cas_of_others_alone_comes_back_with_those_that_are_named() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    lead(&mut cluster, true);
    lose(&mut cluster);
    let foreign = foreign_ca().certificate().clone();
    cluster.run(&trusting(vec![foreign], true)).unwrap();
    assert_eq!(cluster.answer(theirs), Verdict::LetIn);
    assert!(cluster.state().trusted.is_empty());
    cluster.run(&advance()).unwrap();
    let ours = cluster.issue("alice");
    assert_eq!(
        [theirs, ours].map(|client| cluster.answer(client)),
        [Verdict::LetIn; 2]
    );
}

#[test]
fn a_ca_that_is_named_comes_back_without_its_key_and_is_replaced_by_a_rotation() {
    let mut cluster = Cluster::exposed();
    let alice = cluster.issue("alice");
    let first = first_ca(&cluster);
    lead(&mut cluster, true);
    lose(&mut cluster);
    cluster.objects.remove(&CredentialNames::first().keys(1));
    let failure = cluster.run(&restore(true)).unwrap_err();
    let hints = failure.what_to_do().join("\n");
    assert!(
        hints.contains("clients (alice)") && hints.contains("--client-ca"),
        "{hints}"
    );
    cluster.run(&trusting(vec![first], true)).unwrap();
    cluster.run(&advance()).unwrap();
    let bob = cluster.issue("bob");
    assert_eq!(
        [alice, bob].map(|client| cluster.answer(client)),
        [Verdict::LetIn; 2]
    );
}

/// The keys tell it, where no state and no bundle is left.
#[test]
fn that_a_ca_was_given_is_read_from_its_keys_after_the_state_was_lost() {
    let mut cluster = Cluster::exposed();
    let given = cluster.given_ca();
    let rotation = request(Goal::Advance(Some(given.clone())));
    cluster.run(&rotation).unwrap();
    let client = cluster.issue("alice");
    let fingerprint = given.certificate().fingerprint();
    assert_eq!(cluster.state().given, [fingerprint.clone()].into());
    lose(&mut cluster);
    cluster.run(&restore(true)).unwrap();
    let state = cluster.state();
    assert!(state.trusted.contains(given.certificate()));
    assert_eq!(state.given, [fingerprint].into());
    assert_eq!(cluster.answer(client), Verdict::LetIn);
}
