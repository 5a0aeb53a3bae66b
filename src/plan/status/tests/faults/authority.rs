//! Faults of the authority and its inventory.

use time::Duration;

use super::{ca_rotate, exposed_as, findings, kyma, only, only_until_repaired, report, rotate};
use crate::pki::authority::Authority;
use crate::pki::crl::{Crl, Reason, Revoked};
use crate::pki::serial::Serial;
use crate::pki::tests::NOW;
use crate::plan::ca_rotate::Goal;
use crate::plan::check::Severity;
use crate::plan::expose;
use crate::plan::testing::Cluster;
use crate::plan::testing::kyma::expose_request;
use crate::resources::authority::Keys;
use crate::resources::inventory::is_entry;
use crate::resources::names::{CLIENTS_NAMESPACE, CredentialNames};
use crate::resources::{Object, ObjectRef, witness};

/// A host whose authority's CA lives for so many days.
fn short(days: i64) -> Cluster {
    let request = expose::Request {
        ca_ttl: Duration::days(days),
        ..expose_request()
    };
    let mut cluster = exposed_as(Cluster::kyma(), request);
    cluster.issue_for("alice", Duration::days(30));
    cluster
}

#[test]
fn a_ca_that_ends_before_its_clients_would_is_one_finding_until_it_ends_soon() {
    let mut cluster = short(60);
    only(
        &mut cluster,
        "authority/ca-shorter-than-clients",
        Severity::Warning,
    );
    cluster.now += Duration::days(45);
    cluster.issue_for("alice", Duration::days(10));
    only(&mut cluster, "client-ca/ending", Severity::Warning);
    cluster.run(&rotate()).unwrap();
    cluster.run(&rotate()).unwrap();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn keys_that_are_gone_are_one_finding_for_who_may_read_them() {
    let mut cluster = kyma();
    cluster.objects.remove(&CredentialNames::first().keys(1));
    only(&mut cluster, "authority/keys-missing", Severity::Error);
    let mut cluster = kyma();
    cluster.denied.push(CredentialNames::first().keys(1));
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn a_rotation_that_somebody_forgot_is_one_finding_with_its_next_command() {
    let mut cluster = kyma();
    cluster.run(&rotate()).unwrap();
    let mut aborted = cluster.clone();
    aborted.run(&ca_rotate(Goal::Abort)).unwrap();
    assert_eq!(findings(&mut aborted), []);
    for cluster in [&mut cluster, &mut aborted] {
        assert_eq!(findings(cluster), []);
        cluster.now += Duration::days(40);
        let finding = only(cluster, "authority/rotation-unfinished", Severity::Warning);
        let next = report(cluster).authorities[0].next.clone();
        assert_eq!(Some(finding.remedy), next);
    }
}

#[test]
fn an_older_authority_that_was_put_back_is_one_finding() {
    let mut cluster = kyma();
    let old = cluster.objects[&CredentialNames::first().state()].clone();
    cluster.run(&rotate()).unwrap();
    cluster.run(&rotate()).unwrap();
    cluster.put(&old);
    cluster.load();
    only(&mut cluster, "authority/rolled-back", Severity::Error);
}

#[test]
fn an_inventory_that_is_gone_or_damaged_is_one_finding() {
    let mut cluster = kyma();
    cluster
        .objects
        .retain(|name, _| name.namespace != CLIENTS_NAMESPACE);
    only(&mut cluster, "inventory/lost", Severity::Error);
    let mut cluster = kyma();
    let entry = cluster.objects.values().find(|object| is_entry(object));
    let entry = entry.unwrap().clone();
    cluster.put(&entry.without_annotation("kubectl-mtls.dev/not-after"));
    let finding = only(&mut cluster, "inventory/damaged", Severity::Warning);
    let edit = "kubectl edit configmaps -n kubectl-mtls-clients alice-";
    assert!(finding.remedy.starts_with(edit), "{finding:#?}");
}

#[test]
fn an_inventory_from_a_backup_is_one_finding_until_it_is_accepted() {
    let mut cluster = kyma();
    let of_it = |(name, _): &(&ObjectRef, &Object)| name.namespace == CLIENTS_NAMESPACE;
    let backup = cluster.objects.iter().filter(of_it);
    let backup: Vec<Object> = backup.map(|(_, object)| object.clone()).collect();
    cluster
        .objects
        .retain(|name, _| name.namespace != CLIENTS_NAMESPACE);
    for object in &backup {
        cluster.put(object);
    }
    let finding = only(&mut cluster, "inventory/rolled-back", Severity::Error);
    let accept = "kubectl mtls ca-rotate --accept-inventory --authority kyma-mtls";
    assert_eq!(finding.remedy, accept);
    cluster.run(&ca_rotate(Goal::AcceptInventory)).unwrap();
    assert_eq!(findings(&mut cluster), []);
}

#[test]
fn an_inventory_of_another_authority_is_one_finding_until_it_is_accepted() {
    let mut cluster = kyma();
    let witness = witness::reference("kyma-mtls");
    let other = cluster.objects[&witness].clone();
    cluster.put(&other.with_annotation("kubectl-mtls.dev/inventory", "0123456789abcdef"));
    only_until_repaired(&mut cluster, "inventory/replaced", Severity::Error);
}

#[test]
fn a_state_that_cannot_be_read_is_one_finding() {
    let mut cluster = kyma();
    cluster.edit_state("state.json", "{");
    only(&mut cluster, "authority/damaged", Severity::Error);
}

#[test]
fn an_authority_that_somebody_deleted_is_one_finding() {
    let mut cluster = kyma();
    let name = CredentialNames::first().state();
    let mut body = cluster.objects[&name].body().clone();
    body["metadata"]["deletionTimestamp"] = "2026-06-01T00:00:00Z".into();
    let deleted = crate::resources::Object::from_server(name.kind, body).unwrap();
    cluster.put(&deleted);
    only(&mut cluster, "authority/being-deleted", Severity::Error);
}

/// Revokes so many certificates of which nobody knows any more.
fn revoke_unknown(cluster: &mut Cluster, count: u32) {
    let mut state = cluster.state();
    let keys = Keys::read(&cluster.objects[&CredentialNames::first().keys(1)]).unwrap();
    let ca = state.issuing_ca().unwrap();
    let signer = Authority::load(ca.pem(), keys.of(ca).unwrap(), NOW).unwrap();
    let revoked = |number: u32| {
        let mut random = [0; 20];
        random[16..].copy_from_slice(&number.to_be_bytes());
        Revoked {
            serial: Serial::from_random(random),
            at: NOW,
            reason: Reason::default(),
        }
    };
    let revoked: Vec<Revoked> = (0..count).map(revoked).collect();
    state.crls = vec![Crl::sign(&signer, 1, &revoked, None, NOW).unwrap().pem()];
    state.revision += 1;
    cluster.put(&state.object());
    cluster.load();
}

#[test]
fn an_authority_that_is_nearly_full_has_room_again_after_a_rotation() {
    let mut cluster = kyma();
    revoke_unknown(&mut cluster, 16_500);
    let finding = only(&mut cluster, "authority/nearly-full", Severity::Warning);
    assert!(finding.seen.contains("takes 8"), "{finding:#?}");
    assert_eq!(
        finding.remedy,
        "kubectl mtls ca-rotate --authority kyma-mtls"
    );
}

/// Changes the authority's ConfigMap by hand.
fn edit(cluster: &mut Cluster, change: impl FnOnce(&mut serde_json::Value)) {
    let name = CredentialNames::first().state();
    super::dns::edit(cluster, &name, change);
    cluster.load();
}

#[test]
fn an_authority_that_cannot_be_changed_any_more_is_one_finding() {
    let mut cluster = kyma();
    edit(&mut cluster, |body| body["immutable"] = true.into());
    let id = "authority/immutable";
    let finding = only_until_repaired(&mut cluster, id, Severity::Warning);
    assert!(
        finding
            .remedy
            .ends_with("kubectl replace --force -f kyma-mtls.json")
    );
}

#[test]
fn an_authority_without_its_finalizer_gets_it_back() {
    let mut cluster = kyma();
    edit(&mut cluster, |body| {
        body["metadata"]["finalizers"] = serde_json::json!([]);
    });
    only_until_repaired(&mut cluster, "authority/not-kept", Severity::Warning);
}

#[test]
fn a_second_bundle_in_the_authority_is_one_finding() {
    let foreign = crate::plan::testing::foreign_ca().certificate().pem();
    let mut cluster = kyma();
    edit(&mut cluster, |body| body["data"]["cacert"] = foreign.into());
    only(&mut cluster, "authority/other-bundle", Severity::Error);
    let mut cluster = kyma();
    edit(&mut cluster, |body| {
        body["data"]["cacert"] = body["data"]["ca.crt"].clone();
    });
    only(&mut cluster, "authority/other-bundle", Severity::Warning);
}
