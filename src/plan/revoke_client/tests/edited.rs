//! What somebody did to the lists, to the inventory or to the witness, and what becomes of it.

use super::*;
use crate::resources::witness::{Witness, reference};

/// A cluster on which alice and bob are revoked, and carol is not.
fn cluster() -> (Cluster, [usize; 3]) {
    let mut cluster = Cluster::exposed();
    let clients = ["alice", "bob", "carol"].map(|name| cluster.issue(name));
    for name in ["alice", "bob"] {
        cluster.run(&named(name)).unwrap();
    }
    (cluster, clients)
}

fn witness(cluster: &Cluster) -> Witness {
    let object = cluster.objects.get(&reference(FIRST_AUTHORITY)).unwrap();
    Witness::read(object).unwrap()
}

fn put_witness(cluster: &mut Cluster, revision: u64) {
    let object = Witness {
        revision,
        ..witness(cluster)
    }
    .object();
    cluster.put(&object);
}

#[test]
fn lists_that_somebody_took_away_are_told_and_come_back_with_the_next_revocation() {
    let (mut cluster, [alice, bob, carol]) = cluster();
    cluster.edit_state("ca.crl", "");
    cluster.load();
    assert_eq!(
        cluster.answer(alice),
        Verdict::LetIn,
        "revoked clients are accepted"
    );
    let says =
        "the revocation lists in the ConfigMap kubectl-mtls/kyma-mtls were edited or removed";
    let failure = cluster.run(&rotation(Goal::Advance(None))).unwrap_err();
    assert!(failure.to_string().contains(says), "{failure}");
    cluster.run(&named("carol")).unwrap();
    for client in [alice, bob, carol] {
        assert_eq!(cluster.answer(client), Verdict::Revoked);
    }
    let reason = {
        let state = cluster.state();
        let crls = commit::crls(&state).unwrap();
        let serial = serial_of(&cluster, alice);
        revocations::find(&state, &crls, &state.trusted[0].key_id_hex(), &serial)
            .unwrap()
            .reason
    };
    assert_eq!(reason, Reason::KeyCompromise);
    assert!(!cluster.state().has_edited_lists());
    cluster.run(&rotation(Goal::Advance(None))).unwrap();
}

fn serial_of(cluster: &Cluster, client: usize) -> crate::pki::serial::Serial {
    cluster.certificate(client).serial().clone()
}

#[test]
fn the_same_lists_in_other_lines_are_no_edit() {
    let (mut cluster, _) = cluster();
    let lists = cluster.state().crls.concat();
    let windows = lists.replace('\n', "\r\n");
    for text in [&windows, lists.trim_end(), windows.trim_end()] {
        cluster.edit_state("ca.crl", text);
        assert!(!cluster.state().has_edited_lists());
    }
    // With two of them, and after a change that writes no new ones.
    cluster.run(&rotation(Goal::Advance(None))).unwrap();
    let lists = cluster.state().crls.concat();
    cluster.edit_state("ca.crl", &lists.replace('\n', "\r\n"));
    cluster.run(&rotation(Goal::Abort)).unwrap();
    assert!(!cluster.state().has_edited_lists());
}

#[test]
fn a_witness_that_a_killed_run_left_behind_is_brought_up_by_the_next_change() {
    let (mut cluster, _) = cluster();
    let was = cluster.state().revision;
    assert_eq!(witness(&cluster).revision, was);
    put_witness(&mut cluster, was - 1);
    cluster.run(&named("carol")).unwrap();
    assert_eq!(witness(&cluster).revision, cluster.state().revision);
}

#[test]
fn an_older_inventory_is_told_and_stays_told_until_it_is_accepted() {
    let (mut cluster, _) = cluster();
    let was = cluster.state().revision;
    put_witness(&mut cluster, was - 2);
    for request in [named("carol"), named("alice")] {
        let (says, hints) = refused(&mut cluster, &request);
        assert!(
            says.contains("the inventory of the authority `kyma-mtls` was rolled back"),
            "{says}"
        );
        assert!(hints.contains("--accept-inventory"), "{hints}");
    }
    // What needs no inventory goes on, and does not hide it.
    let serial = serial_of(&cluster, 2).to_string();
    cluster.run(&self::serial(&serial)).unwrap();
    refused(&mut cluster, &named("alice"));
    cluster.run(&rotation(Goal::AcceptInventory)).unwrap();
    cluster.run(&named("alice")).unwrap();
}

/// The objects beside the inventory, as a backup has them.
fn backup(cluster: &Cluster) -> Vec<Object> {
    let objects = cluster.objects.values();
    let of_it = objects.filter(|object| object.namespace() == CLIENTS_NAMESPACE);
    of_it.cloned().collect()
}

/// They are lost, and created again from a backup.
fn restored(cluster: &mut Cluster, backup: &[Object]) {
    let objects = &mut cluster.objects;
    objects.retain(|name, _| name.namespace != CLIENTS_NAMESPACE);
    for object in backup {
        cluster.put(object);
    }
}

#[test]
fn an_inventory_from_a_backup_lacks_what_was_issued_since_and_is_told_until_it_is_accepted() {
    let (mut cluster, [_, _, carol]) = cluster();
    let older = backup(&cluster);
    let renewed = cluster.renew("carol");
    let dave = cluster.issue("dave");
    let finish = rotation(Goal::Finish(Finish::default()));
    for is_rotated in [false, true] {
        if is_rotated {
            cluster.run(&rotation(Goal::Advance(None))).unwrap();
        }
        let mut cluster = cluster.clone();
        restored(&mut cluster, &older);
        let says = "the inventory of the authority `kyma-mtls` was restored from a backup";
        let (told, hints) = refused(&mut cluster, &named("carol"));
        assert!(told.contains(says), "{told}");
        assert!(hints.contains("--accept-inventory"), "{hints}");
        let failure = cluster.run(&finish).unwrap_err();
        assert!(failure.to_string().contains(says), "{failure}");
        // What needs no inventory goes on, and does not hide it.
        let serial = serial_of(&cluster, carol).to_string();
        cluster.run(&self::serial(&serial)).unwrap();
        refused(&mut cluster, &named("carol"));
        cluster.run(&rotation(Goal::AcceptInventory)).unwrap();
        cluster.run(&named("carol")).unwrap();
        // Nobody can know of the other ones.
        for client in [renewed, dave] {
            assert_eq!(cluster.answer(client), Verdict::LetIn);
        }
        let again = backup(&cluster);
        cluster.issue("erin");
        restored(&mut cluster, &again);
        refused(&mut cluster, &named("carol"));
    }
}

#[test]
fn an_inventory_of_an_earlier_version_is_known_by_its_object_from_the_next_change_on() {
    let (mut cluster, _) = cluster();
    let name = reference(FIRST_AUTHORITY);
    let earlier = cluster.objects[&name]
        .clone()
        .without_annotation("kubectl-mtls.dev/witness-uid");
    cluster.put(&earlier);
    cluster.run(&named("alice")).unwrap();
    cluster.run(&rotation(Goal::Advance(None))).unwrap();
    let older = backup(&cluster);
    restored(&mut cluster, &older);
    refused(&mut cluster, &named("carol"));
}
