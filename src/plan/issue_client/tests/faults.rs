//! Issuing that is killed after, or fails at, each of its effects.

use super::*;
use crate::plan::testing::kyma::exposed_on_helm;

/// Issues a certificate with every fault at each effect in turn; a rerun ends well.
fn recovers(cluster: &Cluster) {
    let faults = every_fault(cluster, &another("alice"), |cluster, fault, _, report| {
        assert_eq!(report.entry.state, EntryState::Issued, "{fault:?}");
        // What was delivered is in the inventory, whatever was lost besides.
        let entries = cluster.entries();
        for client in &cluster.clients {
            let serial = client.serial_hex();
            assert!(
                entries.iter().any(|entry| entry.serial == serial),
                "{fault:?}"
            );
        }
        let states = cluster.objects.values();
        let states = states.filter(|object| AuthorityState::read(object).is_ok());
        assert_eq!(states.count(), 1, "{fault:?}: one authority");
    });
    assert!(faults > 20, "{faults}");
}

#[test]
fn issuing_recovers_from_every_fault_at_each_of_its_effects() {
    recovers(&Cluster::default());
}

#[test]
fn issuing_beside_a_helm_release_recovers_from_every_fault_at_each_of_its_effects() {
    recovers(&exposed_on_helm());
}
