//! Every command has the same diagnosis of an authority that is lost, damaged or rolled back, and names the same way out.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::*;
use crate::pki::crl::Crl;
use crate::plan::commit;
use crate::plan::list_clients;
use crate::plan::prune_clients;
use crate::plan::renew_client::{self, due};
use crate::plan::revoke_client;
use crate::plan::testing::issue_request;
use crate::plan::testing::kyma::expose_request;
use crate::resources::names::CLIENTS_NAMESPACE;

const WAY_OUT: &str = "kubectl mtls ca-rotate --restore --authority kyma-mtls";

/// A Service that is exposed, with a client that is revoked and one that is not, and the authority as it was before.
pub(super) fn exposed() -> (Cluster, Object) {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    for name in ["alice", "bob"] {
        cluster.issue(name);
    }
    let before = own(&cluster);
    cluster.run(&revoke("bob")).unwrap();
    (cluster, before)
}

pub(super) fn revoke(name: &str) -> revoke_client::Request {
    revoke_client::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        directory: None,
        which: revoke_client::Which::Names(vec![name.parse().unwrap()]),
        reason: crate::pki::crl::Reason::default(),
        confirmed: false,
        close_connections: false,
        dry_run: DryRun::None,
        timeout: std::time::Duration::from_secs(60),
        connect_to: Some("gateway:443".to_owned()),
        force_conflicts: false,
    }
}

pub(super) fn renew(name: &str) -> renew_client::Request {
    let issue = issue_request(name);
    renew_client::Request {
        issuer: issue.issuer,
        name: issue.name,
        number: None,
        ttl: None,
        key: renew_client::Key::Alike,
        existing: issue.existing,
        scale: issue.scale,
    }
}

/// The failures of all commands that need the authority, each with the command's name.
fn failures(cluster: &mut Cluster) -> Vec<(&'static str, Option<Failure>)> {
    let due = due::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        within: None,
        retired_ca: true,
    };
    let due = |observed: &Observed, now: OffsetDateTime| due::reconcile(&due, observed, now);
    let prune = |observed: &Observed, now: OffsetDateTime| {
        prune_clients::select(FIRST_AUTHORITY, true, observed, now)
    };
    vec![
        ("issue-client", cluster.run(&issue_request("carol")).err()),
        ("renew-client", cluster.run(&renew("alice")).err()),
        ("renew-client --retired-ca", cluster.run(&due).err()),
        ("revoke-client", cluster.run(&revoke("alice")).err()),
        ("list-clients --prune", cluster.run(&prune).err()),
        ("ca-rotate", cluster.run(&advance()).err()),
        ("ca-rotate --finish", cluster.run(&finish()).err()),
        ("expose", cluster.run(&expose_request()).err()),
    ]
}

pub(super) fn notes(cluster: &mut Cluster) -> String {
    let request = list_clients::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        ..list_clients::Request::default()
    };
    listed(&request, cluster)
}

pub(super) fn listed(request: &list_clients::Request, cluster: &mut Cluster) -> String {
    let list =
        |observed: &Observed, now: OffsetDateTime| list_clients::reconcile(request, observed, now);
    cluster.run(&list).unwrap().notes.join("\n")
}

#[test]
fn whatever_restore_repairs_is_one_diagnosis_with_one_way_out_in_every_command() {
    let (healthy, before) = exposed();
    let says = [
        ("deleted", "is lost"),
        ("ca.crt", "cannot be read"),
        ("state.json", "cannot be read"),
        ("ca.crl", "were edited or removed by hand"),
        ("older", "an older copy of the authority"),
    ];
    for (damage, says) in says {
        let mut cluster = healthy.clone();
        match damage {
            "deleted" => lose(&mut cluster),
            "ca.crt" => cluster.edit_state("ca.crt", ""),
            "state.json" => cluster.edit_state("state.json", "{}"),
            "ca.crl" => cluster.edit_state("ca.crl", "-----BEGIN X509 CRL-----\nAAAA\n"),
            _ => {
                cluster.put(&before);
            }
        }
        let written = cluster.writes.len();
        for (command, failure) in failures(&mut cluster) {
            // Which clients are due, an older authority tells as well; renewing each of them is refused.
            if command.contains("--retired-ca") && ["ca.crl", "older"].contains(&damage) {
                continue;
            }
            let failure = failure.unwrap_or_else(|| panic!("{command}: {damage}"));
            let (text, hints) = (failure.to_string(), failure.what_to_do().join("\n"));
            assert!(text.contains(says), "{command}: {damage}: {text}");
            assert!(hints.contains(WAY_OUT), "{command}: {damage}: {hints}");
            assert_eq!(failure.exit().code(), 2);
        }
        assert_eq!(cluster.writes.len(), written, "{damage}");
        let notes = notes(&mut cluster);
        assert!(notes.contains(WAY_OUT), "{damage}: {notes}");
    }
    let mut healthy = healthy;
    assert_eq!(notes(&mut healthy), "");
}

/// A backup may bring back the inventory, where the authority is lost.
#[test]
fn an_authority_is_restored_beside_an_inventory_from_a_backup_which_stays_reported() {
    let (mut cluster, clients) = busy();
    for object in take_inventory(&mut cluster) {
        cluster.put(&object);
    }
    lose(&mut cluster);
    cluster.run(&restore(true)).unwrap();
    assert_eq!(answers(&cluster, clients), FATES);
    for goal in [finish(), restore(true)] {
        let failure = cluster.run(&goal).unwrap_err();
        let says = "was restored from a backup";
        assert!(failure.to_string().contains(says), "{failure}");
    }
    cluster.run(&request(Goal::AcceptInventory)).unwrap();
    let failure = cluster.run(&finish()).unwrap_err();
    assert!(failure.to_string().contains("`old` until"), "{failure}");
}

/// What a command says: its refusal with the hints, or the notes of its report.
pub(super) fn said<R>(
    result: Result<R, Failure>,
    notes: impl Fn(R) -> Vec<String>,
) -> (bool, String) {
    match result {
        Ok(report) => (false, notes(report).join("\n")),
        Err(failure) => {
            assert_eq!(failure.exit().code(), 2, "{failure}");
            let hints = failure.what_to_do().join("\n");
            (true, format!("{failure}\n{hints}"))
        }
    }
}

/// Takes the inventory away, and returns it.
pub(super) fn take_inventory(cluster: &mut Cluster) -> Vec<Object> {
    let is_of_it = |name: &ObjectRef| name.namespace == CLIENTS_NAMESPACE;
    let (taken, rest): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut cluster.objects)
        .into_iter()
        .partition(|(name, _)| is_of_it(name));
    cluster.objects = rest;
    taken.into_values().collect()
}

#[test]
fn the_lists_of_a_restored_authority_have_higher_numbers_than_the_lost_ones() {
    let (healthy, before) = exposed();
    let numbers = |cluster: &Cluster| -> Vec<Option<u64>> {
        let lists = commit::crls(&cluster.state()).unwrap();
        lists.iter().map(Crl::number).collect()
    };
    let lost = numbers(&healthy);
    assert_eq!(lost.len(), 1);
    for is_rolled_back in [false, true] {
        let mut cluster = healthy.clone();
        if is_rolled_back {
            cluster.put(&before);
        } else {
            lose(&mut cluster);
        }
        cluster.now += time::Duration::minutes(1);
        cluster.run(&restore(true)).unwrap();
        let restored = numbers(&cluster);
        assert_eq!(restored.len(), 1);
        assert!(restored[0] > lost[0], "{restored:?} after {lost:?}");
    }
}

#[test]
fn lost_keys_are_one_diagnosis_with_the_same_ways_out_in_every_command_that_signs() {
    let (healthy, _) = exposed();
    for (damage, says) in [
        (
            "keys Secret",
            "Secret kubectl-mtls/kyma-mtls, which holds the keys of `kyma-mtls`, does not exist",
        ),
        (
            "one key",
            "Secret kubectl-mtls/kyma-mtls has no key for the CA",
        ),
    ] {
        let mut cluster = healthy.clone();
        let ca = first_ca(&cluster);
        if damage == "one key" {
            lose_key_of(&mut cluster, &ca);
        } else {
            cluster.objects.remove(&CredentialNames::first().keys(1));
        }
        let written = cluster.writes.len();
        let issued = cluster.run(&issue_request("carol"));
        let renewed = cluster.run(&renew("alice"));
        let revoked = cluster.run(&revoke("alice"));
        let shown = cluster.run(&status());
        let ways = [
            "restore Secret kubectl-mtls/kyma-mtls from a backup",
            "without a backup, `kubectl mtls ca-rotate --authority kyma-mtls` replaces this CA, and `kubectl mtls ca-rotate --finish --authority kyma-mtls` then removes it",
        ];
        let all = [
            said(issued, |report| report.notes),
            said(renewed, |report| report.notes),
            said(revoked, |report| report.notes),
        ];
        for (is_refused, text) in all {
            assert!(is_refused && text.contains(says), "{damage}: {text}");
            assert!(
                ways.iter().all(|way| text.contains(way)),
                "{damage}: {text}"
            );
        }
        let (_, text) = said(shown, |report| report.notes);
        assert!(
            ways.iter().all(|way| text.contains(way)),
            "{damage}: {text}"
        );
        assert_eq!(cluster.writes.len(), written, "{damage}");
        assert_eq!(cluster.answer(1), Verdict::Revoked, "bob stays revoked");
        // The way out leads to certificates and revocations again.
        cluster.run(&advance()).unwrap();
        let alice = cluster.renew("alice");
        cluster.run(&forced()).unwrap();
        assert_eq!(cluster.answer(alice), Verdict::LetIn, "{damage}");
        cluster.run(&revoke("alice")).unwrap();
        assert_eq!(cluster.answer(alice), Verdict::Revoked, "{damage}");
        assert_eq!(cluster.answer(1), Verdict::Unknown, "bob, {damage}");
    }
}
