//! Every command says the same of an inventory that is lost or was replaced, and of a CA that somebody added to the trust bundle.

use time::OffsetDateTime;

use super::everywhere::{exposed, listed, notes, renew, revoke, said, take_inventory};
use super::*;
use crate::plan::renew_client::due;
use crate::plan::testing::kyma::expose_request;
use crate::plan::testing::{foreign_ca, issue_request};
use crate::plan::{expose, issue_client, list_clients, revoke_client};
use crate::resources::names::CLIENTS_NAMESPACE;

const ACCEPT: &str = "kubectl mtls ca-rotate --accept-inventory --authority kyma-mtls";

fn allowing(name: &str) -> expose::Request {
    let access = expose::AccessChoice {
        allow: expose::Allow::Only(vec![name.to_owned()]),
        ..expose::AccessChoice::default()
    };
    expose::Request {
        access,
        ..expose_request()
    }
}

/// What all commands say that rely on the inventory, or add to it; each on a cluster of its own, with whether the command was refused.
fn all_said(damaged: &Cluster) -> Vec<(&'static str, (bool, String))> {
    let due = |retired_ca: bool| {
        let request = due::Request {
            authority: FIRST_AUTHORITY.to_owned(),
            within: (!retired_ca).then(|| time::Duration::days(1000)),
            retired_ca,
        };
        move |observed: &Observed, now: OffsetDateTime| due::reconcile(&request, observed, now)
    };
    let which = |which| revoke_client::Request {
        which,
        ..revoke("alice")
    };
    let superseded = which(revoke_client::Which::Superseded(time::Duration::ZERO));
    let serial = damaged.certificate(0).serial_hex();
    let serial = which(revoke_client::Which::Serials(vec![serial]));
    let everybody = list_clients::Request {
        all_authorities: true,
        ..list_clients::Request::default()
    };
    let of_due = |report: due::Report| report.notes;
    let of_issued = |report: issue_client::Report| report.notes;
    let of_revoked = |report: revoke_client::Report| report.notes;
    let of_rotation = |report: super::super::Report| {
        let next = report.next.into_iter();
        report.notes.into_iter().chain(next).collect()
    };
    let of_exposed = |report: expose::Report| report.notes;
    let on = || damaged.clone();
    vec![
        (
            "issue-client carol",
            said(on().run(&issue_request("carol")), of_issued),
        ),
        (
            "renew-client alice",
            said(on().run(&renew("alice")), of_issued),
        ),
        (
            "renew-client --retired-ca",
            said(on().run(&due(true)), of_due),
        ),
        (
            "renew-client --expiring-within",
            said(on().run(&due(false)), of_due),
        ),
        ("list-clients", (false, notes(&mut on()))),
        ("list-clients -A", (false, listed(&everybody, &mut on()))),
        (
            "revoke-client alice",
            said(on().run(&revoke("alice")), of_revoked),
        ),
        (
            "revoke-client --superseded",
            said(on().run(&superseded), of_revoked),
        ),
        (
            "revoke-client --serial",
            said(on().run(&serial), of_revoked),
        ),
        ("ca-rotate", said(on().run(&advance()), of_rotation)),
        ("ca-rotate --status", said(on().run(&status()), of_rotation)),
        ("ca-rotate --finish", said(on().run(&finish()), of_rotation)),
        ("expose", said(on().run(&expose_request()), of_exposed)),
        (
            "expose --allow alice",
            said(on().run(&allowing("alice")), of_exposed),
        ),
    ]
}

/// An authority in the middle of a rotation, with a client of its old CA and one of its new one.
fn overlapping() -> Cluster {
    let (mut cluster, _) = exposed();
    cluster.run(&advance()).unwrap();
    cluster.issue("carla");
    cluster
}

#[test]
fn a_lost_or_replaced_inventory_is_one_diagnosis_with_one_way_out_in_every_command() {
    // What relies on the inventory alone is refused, and so is what would find nothing in it.
    let relies = [
        "revoke-client alice",
        "revoke-client --superseded",
        "ca-rotate --finish",
    ];
    let finds_nothing = [
        "renew-client alice",
        "renew-client --retired-ca",
        "renew-client --expiring-within",
        "revoke-client --serial",
        "expose --allow alice",
    ];
    for (damage, says) in [
        ("entries and witness", "is lost"),
        ("namespace", "is lost"),
        ("other id", "was replaced by another one"),
        ("copy", "was restored from a backup"),
    ] {
        let mut cluster = overlapping();
        let is_gone = ["entries and witness", "namespace"].contains(&damage);
        match damage {
            "other id" => {
                let other = Witness {
                    inventory: "00ff".to_owned(),
                    ..witness(&cluster)
                };
                cluster.put(&other.object());
            }
            _ => {
                let taken = take_inventory(&mut cluster);
                let kept: &[Object] = if is_gone { &[] } else { &taken };
                for object in kept {
                    cluster.put(object);
                }
            }
        }
        if damage == "namespace" {
            let namespace = ObjectRef::namespace(CLIENTS_NAMESPACE);
            cluster.objects.remove(&namespace).unwrap();
        }
        for (command, (is_refused, text)) in all_said(&cluster) {
            if command == "revoke-client --serial" && !is_gone {
                // Nothing is missing for it.
                continue;
            }
            let is_expected = relies.contains(&command)
                || (is_gone && finds_nothing.contains(&command))
                || (damage == "namespace" && command == "issue-client carol");
            assert_eq!(is_refused, is_expected, "{command}: {damage}: {text}");
            assert!(text.contains(says), "{command}: {damage}: {text}");
            assert!(text.contains(ACCEPT), "{command}: {damage}: {text}");
            assert!(!text.contains("--finish "), "{command}: {damage}: {text}");
            assert!(!text.contains("has issued nothing"), "{command}: {text}");
        }
        cluster.run(&request(Goal::AcceptInventory)).unwrap();
        for (command, (_, text)) in all_said(&cluster) {
            assert!(!text.contains(ACCEPT), "{command}: {damage}: {text}");
        }
        let alice = 0;
        let revoked = cluster.run(&revoke("alice"));
        assert_eq!(revoked.is_ok(), !is_gone, "{damage}");
        let fate = if is_gone {
            Verdict::LetIn
        } else {
            Verdict::Revoked
        };
        assert_eq!(cluster.answer(alice), fate, "{damage}");
        assert_eq!(cluster.answer(1), Verdict::Revoked, "bob: {damage}");
    }
}

const ADDED: &str = "outside of kubectl-mtls";
const BACK: &str = "is in the trust bundle of the authority `kyma-mtls` again";

#[test]
fn a_ca_that_somebody_added_or_put_back_is_told_by_every_command_that_goes_on() {
    let (mut added, _) = exposed();
    let bundle = added.state().trusted[0].pem();
    let mut back = added.clone();
    let foreign = foreign_ca().certificate().pem();
    added.edit_state("ca.crt", &(bundle.clone() + &foreign));
    back.run(&advance()).unwrap();
    back.run(&forced()).unwrap();
    let now = back.state().trusted[0].pem();
    back.edit_state("ca.crt", &(now + &bundle));
    back.issue("dora");
    for (cluster, says) in [(added, ADDED), (back, BACK)] {
        let stays = [
            "issue-client carol",
            "list-clients",
            "list-clients -A",
            "expose",
            "expose --allow dora",
        ];
        let mut all = all_said(&cluster);
        let dora = said(cluster.clone().run(&allowing("dora")), |report| {
            report.notes
        });
        all.push(("expose --allow dora", dora));
        for (command, (is_refused, text)) in all {
            if !stays.contains(&command) || (is_refused && says == ADDED) {
                continue;
            }
            assert!(!is_refused, "{command}: {text}");
            if says == BACK && command.starts_with("expose") {
                // Every change of the authority leaves it out.
                assert!(
                    text.contains("it had been added again after its removal"),
                    "{text}"
                );
                continue;
            }
            assert!(text.contains(says), "{command}, {says}: {text}");
            let remedy = "kubectl mtls ca-rotate --finish --drop-external";
            assert!(text.contains(remedy), "{command}: {text}");
        }
    }
}
