//! `ca-rotate` against an authority, its gateways and its clients in memory.

mod external;
mod interrupted;
mod kept;
mod losses;

use super::*;
use crate::pki::inspect::Certificate;
use crate::pki::tests::NOW;
use crate::plan::testing::{Cluster, Verdict};
use crate::plan::testing::{Run as Running, every_fault, foreign_ca, issue_request};
use crate::resources::inventory::EntryState;
use time::Duration as Span;

pub(super) fn request(goal: Goal) -> Request {
    Request {
        authority: FIRST_AUTHORITY.to_owned(),
        goal,
        new: NewAuthority::of_name(FIRST_AUTHORITY),
        dry_run: DryRun::None,
        timeout: Duration::from_secs(60),
        connect_to: Some("gateway:443".to_owned()),
        force_conflicts: false,
    }
}

pub(super) fn advance() -> Request {
    request(Goal::Advance(None))
}

/// A cluster whose rotation was killed after the key of the new CA was stored, and before the state trusts the CA.
pub(super) fn with_a_key_left_over(rotation: &Request) -> Cluster {
    let mut cluster = Cluster::exposed();
    let mut steps = 1;
    while cluster.keys().len() < 2 {
        cluster = Cluster::exposed();
        cluster.killed(rotation, steps);
        steps += 1;
    }
    cluster
}

pub(super) fn finish() -> Request {
    request(Goal::Finish(Finish::default()))
}

pub(super) fn forced() -> Request {
    request(Goal::Finish(Finish {
        force: true,
        ..Finish::default()
    }))
}

pub(super) fn abort() -> Request {
    request(Goal::Abort)
}

pub(super) fn status() -> Request {
    request(Goal::Status)
}

/// Begins a rotation that times out, since one proxy does not load the new CA.
#[track_caller]
fn begin_with_a_lagging_proxy(cluster: &mut Cluster) {
    cluster.proxies.lagging = vec![0];
    let said = cluster.run(&advance()).unwrap_err().to_string();
    assert_eq!(
        said,
        "timed out after 60 s: the gateway has not loaded the change"
    );
}

#[test]
fn a_rotation_starts_moves_and_ends_and_no_valid_client_is_ever_refused() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("alice");
    let started = cluster.run(&advance()).unwrap();
    assert_eq!(started.phase, Phase::Overlap);
    assert_eq!(started.dependents.as_ref().unwrap()[0].name, "alice");
    assert_eq!(cluster.answers(old), [Verdict::LetIn]);
    let new = cluster.issue("alice");
    let failure = cluster.run(&finish()).unwrap_err();
    assert!(failure.to_string().contains("`alice` until"), "{failure}");
    cluster.revoke_in_inventory(old);
    let ended = cluster.run(&finish()).unwrap();
    assert_eq!(ended.phase, Phase::Settled);
    assert_eq!(cluster.answers(old), [Verdict::Unknown]);
    assert_eq!(cluster.answers(new), [Verdict::LetIn]);
    assert_eq!(cluster.keys().len(), 1, "the old key is gone");
    assert_eq!(
        cluster.events(),
        [
            "CADropped",
            "Issued",
            "Issued",
            "IssuingMoved",
            "RotationStarted"
        ]
    );
}

#[test]
fn the_new_ca_has_the_subject_that_was_asked_for() {
    let mut cluster = Cluster::exposed();
    let mut rotation = advance();
    rotation.new.subject = Some("CN=Shop clients,O=Example".parse().unwrap());
    cluster.run(&rotation).unwrap();
    let ca = cluster.state().issuing_ca().unwrap().clone();
    assert_eq!(ca.subject(), "CN=Shop clients,O=Example");
}

#[test]
fn a_reserved_certificate_is_live_and_an_expired_or_void_one_is_not() {
    let mut cluster = Cluster::exposed();
    let client = cluster.issue("alice");
    cluster.run(&advance()).unwrap();
    cluster.restate(client, EntryState::Reserved);
    let said = cluster.run(&finish()).unwrap_err().to_string();
    assert!(said.contains("`alice` until"), "{said}");
    assert!(said.ends_with(", reserved)"), "{said}");
    cluster.restate(client, EntryState::Void);
    assert!(cluster.run(&finish()).is_ok());

    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.run(&advance()).unwrap();
    cluster.now = NOW + Span::days(91);
    assert!(cluster.run(&finish()).is_ok());
}

#[test]
fn a_ca_that_has_expired_is_replaced() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    let issuing = cluster.state().issuing_ca().unwrap().clone();
    cluster.now = issuing.not_after() + Span::hours(1);
    assert_eq!(cluster.run(&advance()).unwrap().phase, Phase::Overlap);
    let new = cluster.issue("bob");
    assert_eq!(cluster.answers(new), [Verdict::LetIn]);
    assert_eq!(cluster.run(&finish()).unwrap().phase, Phase::Settled);
    assert!(!cluster.state().trusted.contains(&issuing));
}

/// A replica that comes while the rotation waits, in any namespace of the gateway, counts for its proof.
#[test]
fn a_gateway_that_is_scaled_up_meanwhile_is_looked_at_with_its_new_replica() {
    use crate::plan::testing::kyma::expose_request;
    use crate::resources::{Object, ObjectRef};
    let mut cluster = Cluster::helm();
    let expose = crate::plan::expose::Request {
        host: Some("orders.example.com".to_owned()),
        ..expose_request()
    };
    cluster.run(&expose).unwrap();
    let advance = Request {
        connect_to: None,
        ..advance()
    };
    let old = cluster.proxy_pods()[0].clone();
    let name = ObjectRef {
        name: old.name.replace("-1", "-3"),
        ..old.clone()
    };
    let mut body = cluster.objects[&old].body().clone();
    body["metadata"]["name"] = name.name.clone().into();
    let pod = Object::from_server(name.kind, body).unwrap();
    for is_lagging in [true, false] {
        let mut cluster = cluster.clone();
        let mut has_come = false;
        let mut run = Running::begin(&advance);
        let result = loop {
            let goes_on = cluster.step(&mut run);
            if !has_come && !cluster.writes.is_empty() && cluster.state().trusted.len() > 1 {
                has_come = true;
                cluster.put(&pod);
                let place = cluster.proxy_pods().iter().position(|pod| *pod == name);
                assert_eq!(place, Some(2), "the others keep their places");
                cluster.proxies.replicas = 3;
                cluster.proxies.lagging = is_lagging.then_some(2).into_iter().collect();
            }
            if !goes_on && let Some(result) = run.result.take() {
                break result;
            }
        };
        assert!(has_come);
        if is_lagging {
            let failure = result.unwrap_err();
            let said = failure.what_to_do().join("\n");
            assert!(said.contains("istio-ingress-3"), "{failure} {said}");
        } else {
            let through = result.unwrap().looked.unwrap().through;
            assert!(
                through.contains(&"istio-ingress/istio-ingress-3".to_owned()),
                "{through:?}"
            );
        }
    }
}

#[test]
fn the_new_ca_issues_only_after_every_replica_has_loaded_it() {
    let mut cluster = Cluster::exposed();
    cluster.proxies.replicas = 3;
    cluster.load();
    cluster.proxies.lagging = vec![1];
    let old = cluster.state().issuing;
    let failure = cluster.run(&advance()).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    assert!(failure.what_to_do()[0].contains("expected"), "{failure:?}");
    assert_eq!(cluster.state().issuing, old);
    assert_eq!(cluster.state().phase(), Phase::Spreading);
    let said = cluster.run(&finish()).unwrap_err().to_string();
    assert!(
        said.contains("not every gateway was seen to have loaded it"),
        "{said}"
    );
    cluster.proxies.lagging.clear();
    assert_eq!(cluster.run(&advance()).unwrap().phase, Phase::Overlap);
    assert_eq!(cluster.state().trusted.len(), 2, "no second rotation");
}

#[test]
fn an_aborted_rotation_refuses_nobody_and_its_ca_leaves_when_its_clients_are_gone() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("alice");
    cluster.run(&advance()).unwrap();
    let new = cluster.issue("bob");
    let aborted = cluster.run(&abort()).unwrap();
    assert_eq!(aborted.dependents.unwrap()[0].name, "bob");
    assert_eq!(
        [cluster.answer(old), cluster.answer(new)],
        [Verdict::LetIn; 2]
    );
    let later = cluster.issue("carol");
    assert!(cluster.run(&abort()).is_ok(), "once more changes nothing");
    let said = cluster.run(&finish()).unwrap_err().to_string();
    assert!(said.contains("would be rejected: `bob` until"), "{said}");
    cluster.revoke_in_inventory(new);
    cluster.run(&finish()).unwrap();
    assert_eq!(cluster.answer(new), Verdict::Unknown);
    assert_eq!(
        [cluster.answer(old), cluster.answer(later)],
        [Verdict::LetIn; 2]
    );
    let failure = cluster.run(&abort()).unwrap_err();
    assert!(failure.what_to_do()[0].contains("finished"), "{failure:?}");
}

#[test]
fn with_revocation_lists_every_ca_enters_and_stays_with_one() {
    let mut cluster = Cluster::exposed();
    let bad = cluster.issue("bad");
    let good = cluster.issue("good");
    cluster.revoke(bad);
    cluster.run(&advance()).unwrap();
    assert_eq!(cluster.state().crls.len(), 2);
    assert_eq!(
        [cluster.answer(bad), cluster.answer(good)],
        [Verdict::Revoked, Verdict::LetIn]
    );
    let new = cluster.issue("new");
    cluster.run(&forced()).unwrap();
    assert_eq!(cluster.state().crls.len(), 1);
    assert_eq!(cluster.answer(new), Verdict::LetIn);
}

#[test]
fn finish_by_force_lists_whom_it_shuts_out() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.run(&advance()).unwrap();
    let report = cluster.run(&forced()).unwrap();
    assert_eq!(report.shut_out[0].name, "alice");
}

#[test]
fn a_dry_run_and_a_status_write_nothing() {
    let mut cluster = Cluster::exposed();
    for phase in 0..2 {
        for dry_run in [DryRun::Client, DryRun::Server] {
            for goal in [advance(), finish(), abort()] {
                let mut goal = goal;
                goal.dry_run = dry_run;
                let writes = cluster.writes.len();
                let _ = cluster.run(&goal);
                cluster.run(&status()).unwrap();
                assert_eq!(cluster.writes.len(), writes, "{phase} {goal:?}");
            }
        }
        cluster.run(&advance()).unwrap();
    }
}

#[test]
fn while_a_gateway_reads_a_secret_in_the_place_of_the_authority_nothing_is_begun() {
    let mut cluster = Cluster::unmoved();
    let client = cluster.issue("alice");
    let writes = cluster.writes.len();
    for goal in [advance(), finish(), abort()] {
        let failure = cluster.run(&goal).unwrap_err();
        assert!(failure.to_string().contains("kyma-mtls-clients-cacert"));
        assert!(
            failure.what_to_do()[0].contains("--fail-closed"),
            "{failure:?}"
        );
    }
    assert!(cluster.run(&status()).is_ok());
    assert_eq!(cluster.writes.len(), writes);
    assert_eq!(cluster.answer(client), Verdict::LetIn);
}

#[test]
fn a_dropped_ca_that_somebody_put_back_leaves_with_the_next_run() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("alice");
    let bundle = cluster.state().trusted[0].pem();
    cluster.run(&advance()).unwrap();
    cluster.run(&forced()).unwrap();
    assert_eq!(cluster.answer(old), Verdict::Unknown);
    let now = cluster.state().trusted[0].pem();
    cluster.edit_state("ca.crt", &(now + &bundle));
    cluster.load();
    assert_eq!(
        cluster.answer(old),
        Verdict::LetIn,
        "its CA is trusted again"
    );
    cluster.run(&finish()).unwrap();
    assert_eq!(cluster.answer(old), Verdict::Unknown);
}

#[test]
fn what_a_rotation_cannot_go_to_is_refused_with_the_reason_before_anything_is_written() {
    let mut cluster = Cluster::exposed();
    let writes = cluster.writes.len();
    for (ca, reason) in cluster.unfit() {
        let failure = cluster.run(&request(Goal::Advance(Some(ca)))).unwrap_err();
        assert!(failure.to_string().contains(reason), "{failure}");
    }
    assert_eq!(cluster.writes.len(), writes);
    let fit = foreign_ca().clone();
    cluster
        .run(&request(Goal::Advance(Some(fit.clone()))))
        .unwrap();
    assert_eq!(cluster.state().issuing_ca(), Some(fit.certificate()));
    let other = cluster.unfit().remove(0).0;
    let said = cluster
        .run(&request(Goal::Advance(Some(other))))
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("a rotation to the CA `CN=Foreign CA` is under way, not to"),
        "{said}"
    );
}

#[test]
fn a_rotation_that_takes_longer_than_its_canaries_live_never_ends_in_success_unseen() {
    let mut cluster = Cluster::exposed();
    cluster.proxies.replicas = 3;
    let old = cluster.issue("alice");
    cluster.proxies.lagging = vec![2];
    for request in [advance(), advance()] {
        let failure = cluster.run_slowly(&request).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
        assert_eq!(cluster.state().phase(), Phase::Spreading);
    }
    cluster.proxies.lagging.clear();
    cluster.run(&advance()).unwrap();
    cluster.revoke_in_inventory(old);
    cluster.proxies.lagging = vec![2];
    let failure = cluster.run_slowly(&finish()).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    cluster.proxies.lagging.clear();
    assert_eq!(cluster.run(&finish()).unwrap().phase, Phase::Settled);
}

pub(super) fn own(cluster: &Cluster) -> crate::resources::Object {
    cluster.objects[&CredentialNames::first().state()].clone()
}

/// An authority with a client on its old CA, one on its new one, and a revoked one.
pub(super) fn busy() -> (Cluster, [usize; 3]) {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("old");
    cluster.run(&advance()).unwrap();
    let [new, lost] = ["new", "lost"].map(|name| cluster.issue(name));
    cluster.revoke(lost);
    assert_eq!(answers(&cluster, [old, new, lost]), FATES);
    (cluster, [old, new, lost])
}

pub(super) const FATES: [Verdict; 3] = [Verdict::LetIn, Verdict::LetIn, Verdict::Revoked];

pub(super) fn answers(cluster: &Cluster, clients: [usize; 3]) -> [Verdict; 3] {
    clients.map(|client| cluster.answer(client))
}
