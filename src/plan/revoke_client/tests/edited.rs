//! What somebody did to the lists, to the inventory or to the witness, and what becomes of it.

use super::*;
use crate::resources::witness::{Witness, reference};

/// A stage on which alice and bob are revoked, and carol is not.
fn stage() -> (Stage, [usize; 3]) {
    let mut stage = Stage::exposed();
    let clients = ["alice", "bob", "carol"].map(|name| stage.issue(name));
    for name in ["alice", "bob"] {
        stage.run(&named(name)).unwrap();
    }
    (stage, clients)
}

fn witness(stage: &Stage) -> Witness {
    let object = stage.fake.objects.get(&reference(FIRST_AUTHORITY)).unwrap();
    Witness::read(object).unwrap()
}

fn put_witness(stage: &mut Stage, revision: u64) {
    let object = Witness {
        revision,
        ..witness(stage)
    }
    .object();
    stage.fake.put(&object);
}

#[test]
fn lists_that_somebody_took_away_are_told_and_come_back_with_the_next_revocation() {
    let (mut stage, [alice, bob, carol]) = stage();
    stage.edit_state("ca.crl", "");
    stage.load();
    assert_eq!(stage.answer(alice), Verdict::LetIn, "nobody is revoked");
    let says =
        "the revocation lists in the ConfigMap kubectl-mtls/kyma-mtls were edited or removed";
    let failure = stage.run(&rotation(Goal::Advance(None))).unwrap_err();
    assert!(failure.to_string().contains(says), "{failure}");
    stage.run(&named("carol")).unwrap();
    for client in [alice, bob, carol] {
        assert_eq!(stage.answer(client), Verdict::Revoked);
    }
    let reason = {
        let state = stage.state();
        let crls = commit::crls(&state).unwrap();
        let serial = serial_of(&stage, alice);
        revocations::find(&state, &crls, &state.trusted[0].key_id_hex(), &serial)
            .unwrap()
            .reason
    };
    assert_eq!(reason, Reason::KeyCompromise);
    assert!(!stage.state().has_edited_lists());
    stage.run(&rotation(Goal::Advance(None))).unwrap();
}

fn serial_of(stage: &Stage, client: usize) -> crate::pki::serial::Serial {
    stage.certificate(client).serial().clone()
}

#[test]
fn the_same_lists_in_other_lines_are_no_edit() {
    let (mut stage, _) = stage();
    let lists = stage.state().crls.concat();
    let windows = lists.replace('\n', "\r\n");
    for text in [&windows, lists.trim_end(), windows.trim_end()] {
        stage.edit_state("ca.crl", text);
        assert!(!stage.state().has_edited_lists());
    }
    // With two of them, and after a change that writes no new ones.
    stage.run(&rotation(Goal::Advance(None))).unwrap();
    let lists = stage.state().crls.concat();
    stage.edit_state("ca.crl", &lists.replace('\n', "\r\n"));
    stage.run(&rotation(Goal::Abort)).unwrap();
    assert!(!stage.state().has_edited_lists());
}

#[test]
fn a_witness_that_a_killed_run_left_behind_is_brought_up_by_the_next_change() {
    let (mut stage, _) = stage();
    let was = stage.state().revision;
    assert_eq!(witness(&stage).revision, was);
    put_witness(&mut stage, was - 1);
    stage.run(&named("carol")).unwrap();
    assert_eq!(witness(&stage).revision, stage.state().revision);
}

#[test]
fn an_older_inventory_is_told_and_stays_told_until_it_is_accepted() {
    let (mut stage, _) = stage();
    let was = stage.state().revision;
    put_witness(&mut stage, was - 2);
    for request in [named("carol"), named("alice")] {
        let (says, hints) = refused(&mut stage, &request);
        assert!(
            says.contains("the inventory of the authority `kyma-mtls` was rolled back"),
            "{says}"
        );
        assert!(hints.contains("--accept-inventory"), "{hints}");
    }
    // What needs no inventory goes on, and does not hide it.
    let serial = serial_of(&stage, 2).to_string();
    stage.run(&self::serial(&serial)).unwrap();
    refused(&mut stage, &named("alice"));
    stage.run(&rotation(Goal::AcceptInventory)).unwrap();
    stage.run(&named("alice")).unwrap();
}
