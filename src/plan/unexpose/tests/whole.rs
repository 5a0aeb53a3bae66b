//! Whole runs of `unexpose` on what `expose` made.

use time::OffsetDateTime;

use super::*;
use crate::plan::probe::kubernetes_gateways;
use crate::plan::testing::kyma::{DOMAIN, expose_request, kubernetes_reader, unexpose_request};
use crate::plan::testing::{Command, Fault, every_fault_watched};
use crate::plan::{Attempt, Blocked, Effect, Event, expose};

pub(super) const PLAIN_HOST: &str = "orders.example.com";

fn kyma_host() -> String {
    format!("httpbin.mtls.{DOMAIN}")
}

/// A purge; one that finds nothing any more is over, too.
#[derive(Clone)]
struct Purge(Request);

impl Command for Purge {
    type Report = Option<Report>;

    fn reconcile(&self, observed: &Observed, _: OffsetDateTime) -> Reconciled<Self::Report> {
        match reconcile(&self.0, observed) {
            Err(Blocked::Failed(failure)) if failure.to_string().contains("is not exposed") => {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    fn check_order(
        &self,
        before: &std::collections::BTreeMap<ObjectRef, Object>,
        writes: &[String],
    ) {
        self.0.check_order(before, writes);
    }
}

/// The clusters with an exposed Service, and its host: Kyma, Istio alone, also with proxies in two namespaces, Istio with cert-manager, and Kyma with an allow-list.
pub(super) fn exposed_clusters() -> Vec<(Cluster, String)> {
    let plain_request = expose::Request {
        host: Some(PLAIN_HOST.to_owned()),
        ..expose_request()
    };
    let mut plain = Cluster::plain();
    plain.run(&plain_request).unwrap();
    let mut several = Cluster::helm().with_proxies_in("edge");
    several.run(&plain_request).unwrap();
    let mut cert_managers = Cluster::plain().with_cert_manager();
    let request = expose::Request {
        server: expose::ServerChoice::CertManager,
        ..plain_request
    };
    cert_managers.run(&request).unwrap();
    let mut kyma = Cluster::kyma();
    kyma.issue("alice");
    let mut listed = kyma.clone();
    kyma.run(&expose_request()).unwrap();
    let access = expose::AccessChoice {
        allow: expose::Allow::Only(vec!["alice".to_owned()]),
        ..expose::AccessChoice::default()
    };
    let request = expose::Request {
        access,
        ..expose_request()
    };
    listed.run(&request).unwrap();
    vec![
        (kyma, kyma_host()),
        (plain, PLAIN_HOST.to_owned()),
        (several, PLAIN_HOST.to_owned()),
        (cert_managers, PLAIN_HOST.to_owned()),
        (listed, kyma_host()),
    ]
}

#[test]
fn a_purge_leaves_the_authority_and_what_was_there_before_and_the_service_can_be_exposed_again() {
    let mut before = Cluster::kyma();
    before.issue("alice");
    let mut cluster = before.clone();
    cluster.run(&expose_request()).unwrap();
    let report = cluster.run(&Purge(unexpose_request())).unwrap().unwrap();
    assert!(report.kept.is_empty());
    assert_eq!(left(&cluster), left(&before));
    cluster.assert_closed(&kyma_host());
    cluster.run(&expose_request()).unwrap();
    let alice = cluster.certificate(0).clone();
    assert_eq!(cluster.statuses(&kyma_host(), Some(&alice)), [Some(200); 2]);
}

#[test]
fn while_the_route_is_not_gone_its_gateway_stands() {
    let mut cluster = exposed_clusters().remove(0).0;
    cluster.controllers.routes = false;
    let failure = cluster.run(&unexpose_request()).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    assert!(failure.to_string().contains("APIRule shop/httpbin-mtls"));
    assert!(cluster.objects.contains_key(&own_gateway().reference()));
    cluster.controllers.routes = true;
    cluster.run(&unexpose_request()).unwrap();
    assert!(!cluster.objects.contains_key(&own_gateway().reference()));
}

#[test]
fn a_purge_recovers_from_every_fault_and_nobody_gets_in_meanwhile() {
    for (cluster, host) in exposed_clusters() {
        let purge = Purge(unexpose_request());
        let mut undisturbed = cluster.clone();
        undisturbed.run(&purge).unwrap();
        let watch = |cluster: &Cluster| {
            cluster.assert_closed(&host);
            cluster.assert_order_stands();
        };
        let faults = every_fault_watched(&cluster, &purge, watch, |cluster, fault, failure, _| {
            let after = format!("{fault:?}, which said {failure:?}");
            if fault == Fault::Refused(403) {
                // Whoever may not read the authority does not let it go.
                assert_eq!(left(cluster), left(&undisturbed), "after {after}");
            } else {
                cluster.assert_same_end(&undisturbed, &after);
            }
            let written = cluster.writes.len();
            cluster.run(&purge).unwrap();
            assert_eq!(cluster.writes.len(), written, "once more after {after}");
        });
        assert!(faults > 60, "only {faults} faults");
    }
}

#[test]
fn an_authority_that_a_kubernetes_gateway_reads_is_not_let_go() {
    let mut cluster = Cluster::kyma();
    cluster.run(&expose_request()).unwrap();
    let service = "istio-ingressgateway.istio-system.svc.cluster.local";
    let reader = kubernetes_reader(service);
    cluster.put(&reader);
    let authority = CredentialNames::first().state();
    let is_kept = |cluster: &Cluster| {
        cluster.objects[&authority].has_finalizer(crate::resources::names::IN_USE_FINALIZER)
    };
    let request = Request {
        purge: true,
        ..unexpose_request()
    };
    let report = cluster.run(&request).unwrap();
    assert!(is_kept(&cluster));
    let [note] = report.notes.as_slice() else {
        panic!("{:#?}", report.notes);
    };
    assert!(note.contains("team/web"), "{note}");
    assert_eq!(report.kept, []);
    assert!(note.contains("/metadata/finalizers"), "{note}");
    // The report does not advise to delete the authority.
    let stays = report.stays.iter().find(|at| at.what.contains("authority"));
    assert!(stays.is_none());
}

#[test]
fn a_secret_that_a_kubernetes_gateway_uses_is_kept_and_so_is_one_of_which_that_is_not_known() {
    let mut exposed = Cluster::kyma();
    exposed.run(&expose_request()).unwrap();
    let secret = ObjectRef::new(Kind::Secret, "istio-system", "kyma-mtls");
    assert!(exposed.objects.contains_key(&secret));
    let mut user = kubernetes_reader("istio-ingressgateway.istio-system");
    let mut spec = user.at(&["spec"]).unwrap().clone();
    spec["tls"] = json!({});
    spec["listeners"][0]["tls"]["certificateRefs"] =
        json!([{"name": secret.name, "namespace": secret.namespace}]);
    user = user.with("spec", spec.clone());
    let request = Request {
        purge: true,
        ..unexpose_request()
    };
    let kept = |cluster: &mut Cluster| {
        let report = cluster.run(&request).unwrap();
        report
            .kept
            .iter()
            .map(|kept| kept.reason.clone())
            .collect::<Vec<_>>()
    };

    let mut cluster = exposed.clone();
    cluster.put(&user);
    let reasons = kept(&mut cluster);
    // That with the client CA, too, which would be read in its place.
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.contains("team/web")));
    assert!(cluster.objects.contains_key(&secret));

    // A Secret of the same name in the namespace of that Gateway is another one.
    spec["listeners"][0]["tls"]["certificateRefs"] = json!([{"name": secret.name}]);
    let mut cluster = exposed.clone();
    cluster.put(&user.with("spec", spec));
    assert_eq!(kept(&mut cluster), [""; 0]);
    assert!(!cluster.objects.contains_key(&secret));

    let denied = Seen::Denied("`list`".to_owned());
    let mut cluster = exposed.clone();
    cluster.fixed.insert(kubernetes_gateways(), denied.clone());
    let report = cluster.clone().run(&request).unwrap();
    let is_told = |note: &String| note.contains("keeps its finalizer");
    assert!(report.notes.iter().any(is_told), "{:#?}", report.notes);
    assert!(report.stays.iter().all(|at| !at.what.contains("authority")));
    let reasons = kept(&mut cluster);
    assert!(
        !reasons.is_empty() && reasons[0].contains("could not be checked"),
        "{reasons:?}"
    );
    assert!(cluster.objects.contains_key(&secret));
}

#[test]
fn an_authority_that_may_not_be_let_go_is_told() {
    let (mut cluster, _) = exposed_clusters().remove(0);
    let authority = CredentialNames::first().state();
    let report = cluster
        .clone()
        .run(&Purge(unexpose_request()))
        .unwrap()
        .unwrap();
    assert!(report.notes.is_empty(), "{report:?}");
    cluster.denied.push(authority);
    let report = cluster.run(&Purge(unexpose_request())).unwrap().unwrap();
    let told = report
        .notes
        .iter()
        .any(|note| note.contains("keeps its finalizer"));
    assert!(told, "{report:?}");
}

#[test]
fn an_authority_that_a_tool_keeps_is_not_let_go_and_that_is_told_unless_another_gateway_needs_it() {
    let (mut cluster, _) = exposed_clusters().remove(0);
    let name = CredentialNames::first().state();
    let kept = cluster.objects[&name]
        .clone()
        .with_annotation("argocd.argoproj.io/tracking-id", "shop");
    let before = cluster.put(&kept);
    let mut shared = cluster.clone();
    let spec = cluster.objects[&own_gateway().reference()].at(&["spec"]);
    shared.put(&Object::new(shared_gateway().reference()).with("spec", spec.unwrap().clone()));
    let without_secrets = Request {
        purge: false,
        ..unexpose_request()
    };
    let report = shared.run(&without_secrets).unwrap();
    assert!(report.notes.iter().all(|note| !note.contains("finalizer")));
    let report = cluster.run(&Purge(unexpose_request())).unwrap().unwrap();
    let [note] = report.notes.as_slice() else {
        panic!("{:#?}", report.notes);
    };
    for says in [
        "keeps its finalizer",
        "Argo CD manages ConfigMap kubectl-mtls/kyma-mtls",
        "/metadata/finalizers",
    ] {
        assert!(note.contains(says), "{note}");
    }
    assert_eq!(cluster.objects[&name], before);
}

#[test]
fn an_authority_that_could_not_be_let_go_fails_the_purge_and_the_next_one_lets_it_go() {
    let (mut cluster, _) = exposed_clusters().remove(0);
    let authority = CredentialNames::first().state();
    let is_held = |cluster: &Cluster| {
        cluster.objects[&authority].has_finalizer(crate::resources::names::IN_USE_FINALIZER)
    };
    let purge = Purge(unexpose_request());
    let mut run = Run::begin(&purge);
    loop {
        match run.next(cluster.now) {
            Some(Effect::Attempt(write)) if *write.object().reference() == authority => break,
            Some(_) => assert!(cluster.step(&mut run)),
            None => panic!("it never lets the authority go"),
        }
    }
    run.observed.apply(Event::Attempted {
        object: authority.clone(),
        outcome: Attempt::Failed("HTTP 500".to_owned()),
    });
    let failure = cluster.finish(&mut run).map(drop).unwrap_err();
    assert!(
        failure.to_string().contains("was not removed: HTTP 500"),
        "{failure}"
    );
    assert!(is_held(&cluster));
    cluster.run(&purge).unwrap();
    assert!(!is_held(&cluster));
}
