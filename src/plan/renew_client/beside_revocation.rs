//! `revoke-client NAME` in parallel to a run that issues a certificate for that name: whatever the order of their steps, the new
//! certificate is either not delivered, or revoked as well.

use std::time::Duration as Timeout;

use super::*;
use crate::pki::crl::Reason;
use crate::plan::testing::{Cluster, Command, Run, Verdict, issue_request};
use crate::plan::{DryRun, revoke_client};
use crate::resources::inventory::EntryState;
use crate::resources::names::FIRST_AUTHORITY;

fn renewal() -> Request {
    let first = another();
    Request {
        issuer: first.issuer,
        name: first.name,
        number: None,
        ttl: None,
        key: Key::Alike,
        existing: ExistingFiles::default(),
        scale: Scale::Single,
    }
}

fn another() -> issue_client::Request {
    issue_client::Request {
        ..issue_request("alice")
    }
}

fn revocation() -> revoke_client::Request {
    revoke_client::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        directory: None,
        which: revoke_client::Which::Names(vec!["alice".parse().unwrap()]),
        reason: Reason::KeyCompromise,
        dry_run: DryRun::None,
        confirmed: true,
        timeout: Timeout::from_secs(60),
        connect_to: Some("gateway:443".to_owned()),
        force_conflicts: false,
        close_connections: false,
    }
}

/// One order of steps: some of one run, some of the other, then each run to its end.
#[derive(Debug, Clone, Copy)]
struct Order {
    issuer_is_first: bool,
    first: usize,
    second: usize,
}

/// The outcome of an order.
struct Outcomes {
    cluster: Cluster,
    issued: Result<issue_client::Report, Failure>,
    /// Whether alice was revoked before the issuer's first step.
    was_revoked_before: bool,
    /// Whether each run had no steps left at the interleaving; the remaining steps of a revocation only probe.
    is_last: (bool, bool),
}

/// Whether the revocation is in the inventory.
fn is_marked(cluster: &Cluster) -> bool {
    cluster.entries()[0].state == EntryState::Revoked
}

fn finish<C: Command>(cluster: &mut Cluster, run: &mut Run<C>) {
    for _ in 0..400 {
        cluster.step(run);
    }
    assert!(run.result.is_some(), "it never ends");
}

fn play<C: Command<Report = issue_client::Report>>(
    issuing: &C,
    mut cluster: Cluster,
    order: Order,
) -> Outcomes {
    let mut issuer = Run::begin(issuing);
    let mut revoker = Run::begin(&revocation());
    let was_revoked_before;
    let is_last;
    if order.issuer_is_first {
        was_revoked_before = false;
        cluster.steps(&mut issuer, order.first);
        cluster.steps(&mut revoker, order.second);
        is_last = (issuer.result.is_some(), is_marked(&cluster));
        finish(&mut cluster, &mut issuer);
        finish(&mut cluster, &mut revoker);
    } else {
        cluster.steps(&mut revoker, order.first);
        was_revoked_before = !cluster.state().crls.is_empty();
        cluster.steps(&mut issuer, order.second);
        is_last = (is_marked(&cluster), issuer.result.is_some());
        finish(&mut cluster, &mut revoker);
        finish(&mut cluster, &mut issuer);
    }
    let revoked = revoker.result.unwrap();
    assert!(revoked.is_ok(), "{order:?}: {:?}", revoked.err());
    Outcomes {
        cluster,
        issued: issuer.result.unwrap(),
        was_revoked_before,
        is_last,
    }
}

/// Runs every order, with all of the first run's steps and fewer and fewer of the second one's, and checks the outcome.
fn in_every_order<C: Command<Report = issue_client::Report>>(
    issuing: &C,
    check: impl Fn(&mut Outcomes, Order),
) {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.issue("bob");
    for issuer_is_first in [true, false] {
        for first in 1.. {
            let mut second = 1;
            let is_over = loop {
                let order = Order {
                    issuer_is_first,
                    first,
                    second,
                };
                let mut outcomes = play(issuing, cluster.clone(), order);
                check(&mut outcomes, order);
                if outcomes.is_last.1 {
                    break outcomes.is_last.0;
                }
                second += 1 + second / 3;
            };
            if is_over {
                break;
            }
        }
    }
}

/// Whether the gateway still accepts alice's certificate. Also checks that it accepts bob's.
#[track_caller]
fn lets_in_alice(cluster: &Cluster, order: Order) -> bool {
    assert_eq!(cluster.answer(1), Verdict::LetIn, "bob, {order:?}");
    let mut clients = cluster.clients().filter(|client| *client != 1);
    clients.any(|client| cluster.answer(client) != Verdict::Revoked)
}

/// Checks that the inventory has the true state.
#[track_caller]
fn is_booked(outcomes: &Outcomes, order: Order) {
    let entries = outcomes.cluster.entries();
    let alices = entries.iter().filter(|entry| entry.name == "alice");
    for entry in alices {
        let was_delivered = outcomes
            .cluster
            .clients()
            .any(|client| outcomes.cluster.certificate(client).serial_hex() == entry.serial);
        let state = entry.state;
        assert_ne!(state, EntryState::Reserved, "{order:?}");
        assert!(was_delivered || state != EntryState::Issued, "{order:?}");
        assert!(!was_delivered || state != EntryState::Void, "{order:?}");
    }
    if let Err(failure) = &outcomes.issued {
        let said = failure.to_string();
        assert!(said.contains("revoked"), "{order:?}: {said}");
        assert_eq!(failure.exit().code(), 2);
    }
}

#[test]
fn a_renewal_beside_a_revocation_of_its_client_lets_nobody_in() {
    in_every_order(&renewal(), |outcomes, order| {
        assert!(!lets_in_alice(&outcomes.cluster, order), "{order:?}");
        is_booked(outcomes, order);
        if outcomes.was_revoked_before {
            let refusal = outcomes.issued.as_ref().err().map(ToString::to_string);
            let said = refusal.unwrap_or_default();
            assert!(said.contains("of `alice` was revoked"), "{order:?}: {said}");
        }
    });
}

#[test]
fn a_further_certificate_beside_a_revocation_of_its_client_lets_nobody_in_unless_it_was_asked_for_afterwards()
 {
    in_every_order(&another(), |outcomes, order| {
        let lets_in = lets_in_alice(&outcomes.cluster, order);
        assert!(!lets_in || outcomes.was_revoked_before, "{order:?}");
        is_booked(outcomes, order);
    });
}
