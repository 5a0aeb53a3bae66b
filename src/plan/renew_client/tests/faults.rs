//! Renewing that is killed after, or fails at, each of its effects.

use super::*;
use crate::plan::testing::every_fault;
use crate::plan::testing::kyma::exposed_on_helm;

/// Renews the certificate of alice with every fault at each effect in turn; a rerun ends well.
fn recovers(cluster: &Cluster, renewal: &Request) {
    let mut cluster = cluster.clone();
    cluster.run(&first("alice")).unwrap();
    let former = cluster.entries().remove(0);
    let subject = certificate(&former).subject_der().to_owned();
    let faults = every_fault(&cluster, renewal, |cluster, fault, failure, report| {
        let said = format!("{fault:?}: {failure:?}");
        let entries = cluster.entries();
        assert_eq!(entries[0], former, "{said}");
        assert_eq!(report.entry.state, EntryState::Issued, "{said}");
        // The last one that was delivered for sure is renewed.
        let mut before = entries
            .iter()
            .filter(|entry| entry.number < report.entry.number);
        let last = before.rfind(|entry| entry.state == EntryState::Issued);
        let expected = renewal.number.or(last.map(|entry| entry.number));
        assert_eq!(report.entry.renews, expected, "{said}");
        // What was delivered is in the inventory, whatever was lost besides.
        for client in &cluster.clients {
            let serial = client.serial_hex();
            assert!(entries.iter().any(|entry| entry.serial == serial), "{said}");
        }
        for entry in &entries {
            if entry.state == EntryState::Issued {
                assert_eq!(certificate(entry).subject_der(), subject, "{said}");
            }
        }
    });
    assert!(faults > 20, "{faults}");
}

#[test]
fn renewing_recovers_from_every_fault_at_each_of_its_effects() {
    recovers(&Cluster::default(), &renewal("alice"));
    let first = Request {
        number: Some(1),
        ..renewal("alice")
    };
    recovers(&Cluster::default(), &first);
}

#[test]
fn renewing_beside_a_helm_release_recovers_from_every_fault_at_each_of_its_effects() {
    recovers(&exposed_on_helm(), &renewal("alice"));
}
