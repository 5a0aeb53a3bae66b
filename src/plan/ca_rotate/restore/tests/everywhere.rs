//! Every command has the same diagnosis of an authority that is lost, damaged or rolled back, and names the same way out.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::*;
use crate::plan::list_clients;
use crate::plan::prune_clients;
use crate::plan::renew_client::{self, due};
use crate::plan::revoke_client;
use crate::plan::testing::issue_request;
use crate::plan::testing::kyma::expose_request;
use crate::resources::names::CLIENTS_NAMESPACE;

const WAY_OUT: &str = "kubectl mtls ca-rotate --restore --authority kyma-mtls";

/// A Service that is exposed, with a client that is revoked and one that is not, and the authority as it was before.
fn exposed() -> (Cluster, Object) {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    for name in ["alice", "bob"] {
        cluster.issue(name);
    }
    let before = own(&cluster);
    cluster.run(&revoke("bob")).unwrap();
    (cluster, before)
}

fn revoke(name: &str) -> revoke_client::Request {
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

fn renew(name: &str) -> renew_client::Request {
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

fn notes(cluster: &mut Cluster) -> String {
    let request = list_clients::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        ..list_clients::Request::default()
    };
    let list =
        |observed: &Observed, now: OffsetDateTime| list_clients::reconcile(&request, observed, now);
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
        let is_seen = !["ca.crl", "older"].contains(&damage);
        assert_eq!(notes.contains(WAY_OUT), is_seen, "{damage}: {notes}");
    }
    let mut healthy = healthy;
    assert_eq!(notes(&mut healthy), "");
}

/// A backup may bring back the inventory, where the authority is lost.
#[test]
fn an_authority_is_restored_beside_an_inventory_from_a_backup_which_stays_reported() {
    let (mut cluster, clients) = busy();
    let is_of_it = |name: &ObjectRef| name.namespace == CLIENTS_NAMESPACE;
    let (kept, rest): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut cluster.objects)
        .into_iter()
        .partition(|(name, _)| is_of_it(name));
    cluster.objects = rest;
    for object in kept.values() {
        cluster.put(object);
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
