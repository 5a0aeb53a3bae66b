//! `revoke-client NAME` beside a run that issues a certificate for that name: whatever the order of their steps, the new
//! certificate is never delivered, or it is revoked as well.

use std::time::Duration as Timeout;

use super::*;
use crate::pki::crl::Reason;
use crate::plan::stage::{Command, Running, Stage, Verdict, issue_request};
use crate::plan::{DryRun, revoke_client};
use crate::resources::inventory::EntryState;
use crate::resources::names::FIRST_AUTHORITY;

impl Command for Request {
    type Report = Outcome;

    fn next(&self, world: &World, now: OffsetDateTime) -> Result<Step<Outcome>, Failure> {
        next(self, world, now)
    }
}

impl Command for issue_client::Request {
    type Report = Outcome;

    fn next(&self, world: &World, now: OffsetDateTime) -> Result<Step<Outcome>, Failure> {
        issue_client::next(self, world, now)
    }
}

fn renewal() -> Request {
    let first = another();
    Request {
        issuer: first.issuer,
        name: first.name,
        number: None,
        ttl: None,
        key: Key::Alike,
        held: Held::default(),
        asked: true,
        scale: Scale::Single,
    }
}

fn another() -> issue_client::Request {
    issue_client::Request {
        asked: true,
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

/// One order of steps: so many of one run, so many of the other, then each to its end.
#[derive(Debug, Clone, Copy)]
struct Order {
    issuer_is_first: bool,
    first: usize,
    second: usize,
}

/// What an order came to.
struct Outcomes {
    stage: Stage,
    issued: Result<Outcome, Failure>,
    /// Whether alice was revoked before the issuer's first step.
    was_revoked_before: bool,
    /// Whether each run was over after the steps that it had by itself; of a revocation, what follows is looking only.
    is_last: (bool, bool),
}

/// Whether the revocation is in the inventory.
fn is_marked(stage: &Stage) -> bool {
    stage.fake.entries()[0].state == EntryState::Revoked
}

fn finish<C: Command>(stage: &mut Stage, run: &mut Running<C>) {
    for _ in 0..400 {
        stage.step(run);
    }
    assert!(run.result.is_some(), "it never ends");
}

fn play<C: Command<Report = Outcome>>(issuing: &C, mut stage: Stage, order: Order) -> Outcomes {
    let mut issuer = Stage::begin(issuing);
    let mut revoker = Stage::begin(&revocation());
    let was_revoked_before;
    let is_last;
    if order.issuer_is_first {
        was_revoked_before = false;
        (0..order.first).for_each(|_| stage.step(&mut issuer));
        (0..order.second).for_each(|_| stage.step(&mut revoker));
        is_last = (issuer.result.is_some(), is_marked(&stage));
        finish(&mut stage, &mut issuer);
        finish(&mut stage, &mut revoker);
    } else {
        (0..order.first).for_each(|_| stage.step(&mut revoker));
        was_revoked_before = !stage.state().crls.is_empty();
        (0..order.second).for_each(|_| stage.step(&mut issuer));
        is_last = (is_marked(&stage), issuer.result.is_some());
        finish(&mut stage, &mut revoker);
        finish(&mut stage, &mut issuer);
    }
    let revoked = revoker.result.unwrap();
    assert!(revoked.is_ok(), "{order:?}: {:?}", revoked.err());
    Outcomes {
        stage,
        issued: issuer.result.unwrap(),
        was_revoked_before,
        is_last,
    }
}

/// Plays every order, all of the first run's steps and fewer and fewer of the second one's, and checks what it came to.
fn in_every_order<C: Command<Report = Outcome>>(issuing: &C, check: impl Fn(&mut Outcomes, Order)) {
    let mut stage = Stage::exposed();
    stage.issue("alice");
    stage.issue("bob");
    for issuer_is_first in [true, false] {
        for first in 1.. {
            let mut second = 1;
            let is_over = loop {
                let order = Order {
                    issuer_is_first,
                    first,
                    second,
                };
                let mut outcomes = play(issuing, stage.clone(), order);
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

/// Whether the gateway still accepts a certificate of alice. It must always accept bob's.
#[track_caller]
fn lets_in_alice(stage: &Stage, order: Order) -> bool {
    assert_eq!(stage.answer(1), Verdict::LetIn, "bob, {order:?}");
    let mut clients = stage.clients().filter(|client| *client != 1);
    clients.any(|client| stage.answer(client) != Verdict::Revoked)
}

/// What the inventory says must be what happened.
#[track_caller]
fn is_booked(outcomes: &Outcomes, order: Order) {
    let entries = outcomes.stage.fake.entries();
    let alices = entries.iter().filter(|entry| entry.name == "alice");
    for entry in alices {
        let was_delivered = outcomes
            .stage
            .clients()
            .any(|client| outcomes.stage.certificate(client).serial_hex() == entry.serial);
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
        assert!(!lets_in_alice(&outcomes.stage, order), "{order:?}");
        is_booked(outcomes, order);
        if outcomes.was_revoked_before {
            assert!(outcomes.issued.is_err(), "{order:?}");
        }
    });
}

#[test]
fn a_further_certificate_beside_a_revocation_of_its_client_lets_nobody_in_unless_it_was_asked_for_afterwards()
 {
    in_every_order(&another(), |outcomes, order| {
        let lets_in = lets_in_alice(&outcomes.stage, order);
        assert!(!lets_in || outcomes.was_revoked_before, "{order:?}");
        is_booked(outcomes, order);
    });
}
