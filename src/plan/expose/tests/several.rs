//! Ingress gateways whose proxies run in several namespaces: what lies beside them lies beside all of them.

mod joining;

use std::collections::BTreeSet;

use super::*;
use crate::plan::revoke_client::{self, Which};
use crate::plan::status;
use crate::plan::testing::Verdict;
use crate::plan::testing::kyma::{
    HELM_NAMESPACE, HELM_SERVICE, another_gateway, helm_labels, unexpose_request,
};
use crate::resources::names::INGRESS_ANNOTATION;
use crate::resources::{Kind, Object, ObjectRef};

/// Two proxies of a Helm release and one of another release with its labels. No guard acts from one namespace on the other.
fn helm() -> Cluster {
    Cluster::helm().with_proxies_in("edge")
}

/// The same with the default ingress gateway, whose namespace is the root namespace of the mesh.
fn plain() -> Cluster {
    Cluster::plain().with_proxies_in("edge")
}

fn gateway() -> ObjectRef {
    GatewayName::new("shop", "kyma-mtls-gateway").reference()
}

fn beside(cluster: &Cluster, namespace: &str, kind: Kind) -> Vec<String> {
    let names = cluster.objects.keys();
    let there = names.filter(|name| name.namespace == namespace && name.kind == kind);
    there.map(|name| name.name.clone()).collect()
}

fn only(names: &[&str]) -> Request {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Request {
        access: AccessChoice {
            allow: Allow::Only(names),
            ..AccessChoice::default()
        },
        ..plain_request()
    }
}

fn admits(cluster: &Cluster, client: usize) -> Vec<Option<u16>> {
    let certificate = cluster.certificate(client).clone();
    cluster.statuses(HOST, Some(&certificate))
}

/// The findings of `status`, each by its check and what was seen.
pub(super) fn findings(cluster: &mut Cluster) -> Vec<String> {
    let records = &mut cluster.controllers.records;
    records.insert(HOST.to_owned(), vec!["192.0.2.10".to_owned()]);
    let request = status::Request {
        own_namespace: "shop".to_owned(),
        ..status::Request::default()
    };
    let report = cluster.run(&request).unwrap();
    let findings = report.findings.iter();
    findings
        .map(|finding| {
            let severity = finding.severity;
            format!(
                "{severity:?} {}: {}: {}",
                finding.check.id, finding.seen, finding.remedy
            )
        })
        .collect()
}

/// `kubectl mtls revoke-client NAME`
fn revoke_request(name: &str) -> revoke_client::Request {
    revoke_client::Request {
        authority: crate::resources::names::FIRST_AUTHORITY.to_owned(),
        directory: None,
        which: Which::Names(vec![name.parse().unwrap()]),
        reason: crate::pki::crl::Reason::KeyCompromise,
        confirmed: false,
        close_connections: false,
        dry_run: DryRun::None,
        timeout: Duration::from_secs(60),
        connect_to: None,
        force_conflicts: false,
    }
}

/// The request that names the Services in front of the proxies of several namespaces.
pub(super) fn naming_services_in(namespaces: &[&str], cluster: &Cluster) -> Request {
    let in_front = |namespace: &&str| {
        let mut services = cluster.objects.keys();
        let found = services
            .find(|name| name.kind == Kind::Service && name.namespace == *namespace)
            .unwrap();
        found.clone()
    };
    Request {
        ingress: namespaces.iter().map(in_front).collect(),
        ..plain_request()
    }
}

#[test]
fn what_proxies_read_and_what_guards_them_lies_in_each_of_their_namespaces() {
    for (mut cluster, first) in [(helm(), HELM_NAMESPACE), (plain(), "istio-system")] {
        let report = run(&mut cluster, &plain_request(), HOST);
        let looked = report.looked.unwrap();
        assert_eq!(looked.through.len(), 3, "{looked:?}");
        assert!(looked.own_client_admitted && looked.replicas_unknown.is_none());
        let told = report
            .notes
            .iter()
            .any(|note| note.contains(&format!("in the namespaces `{first}`, `edge`")));
        assert!(told, "{:?}", report.notes);
        let noted = format!("{first},edge");
        for object in [
            gateway(),
            ObjectRef::new(Kind::VirtualService, "shop", "httpbin-mtls"),
        ] {
            let note = cluster.objects[&object].annotation(INGRESS_ANNOTATION);
            assert_eq!(note, Some(noted.as_str()), "{object}");
        }
        for kind in [Kind::Secret, Kind::AuthorizationPolicy] {
            let there = beside(&cluster, "edge", kind);
            assert_eq!(there, beside(&cluster, first, kind));
            assert_eq!(there.len(), if kind == Kind::Secret { 2 } else { 1 });
        }
        let client = cluster.issue("alice");
        assert_eq!(admits(&cluster, client), [Some(200); 3]);
        assert_eq!(cluster.statuses(HOST, None), [None; 3]);
        let written = cluster.writes.len();
        let again = run(&mut cluster, &plain_request(), HOST);
        assert_eq!(cluster.writes[written..], Vec::<String>::new());
        let told = again.notes.iter().any(|note| note.contains("`edge`"));
        assert!(!told, "{:?}", again.notes);
        assert_eq!(findings(&mut cluster), Vec::<String>::new());
    }
}

#[test]
fn who_may_call_the_host_is_the_same_at_all_proxies() {
    for mut cluster in [helm(), plain()] {
        let [ada, ben] = ["ada", "ben"].map(|name| cluster.issue(name));
        run(&mut cluster, &only(&["ada", "ben"]), HOST);
        assert_eq!(admits(&cluster, ben), [Some(200); 3]);
        run(&mut cluster, &only(&["ada"]), HOST);
        assert_eq!(admits(&cluster, ada), [Some(200); 3]);
        assert_eq!(admits(&cluster, ben), [Some(403); 3]);
        let lifted = Request {
            access: AccessChoice {
                allow: Allow::Any,
                guard: Some(false),
                ..AccessChoice::default()
            },
            ..plain_request()
        };
        run(&mut cluster, &lifted, HOST);
        assert_eq!(admits(&cluster, ben), [Some(200); 3]);
        assert_eq!(beside(&cluster, "edge", Kind::AuthorizationPolicy).len(), 1);
        cluster.run(&revoke_request("ben")).unwrap();
        assert_eq!(cluster.answers(ben), [Verdict::Revoked; 3]);
    }
}

/// Killed between the guards of two namespaces, the second one would admit whom the first one does not.
#[test]
fn a_client_that_was_removed_in_one_namespace_only_is_removed_in_the_other() {
    let mut cluster = helm();
    let [_, ben] = ["ada", "ben"].map(|name| cluster.issue(name));
    run(&mut cluster, &only(&["ada", "ben"]), HOST);
    let guards = cluster.objects.keys().filter(|name| {
        name.kind == Kind::AuthorizationPolicy
            && !name.name.contains("headers")
            && name.namespace == "edge"
    });
    let [guard]: [ObjectRef; 1] = guards.cloned().collect::<Vec<_>>().try_into().unwrap();
    let before = cluster.objects[&guard].clone();
    run(&mut cluster, &only(&["ada"]), HOST);
    let remove = Request {
        access: AccessChoice {
            allow: Allow::Change {
                add: Vec::new(),
                remove: vec!["ben".to_owned()],
            },
            ..AccessChoice::default()
        },
        ..plain_request()
    };
    for request in [plain_request(), remove] {
        cluster.put(&before);
        cluster.load();
        assert_eq!(admits(&cluster, ben), [Some(403), Some(403), Some(200)]);
        run(&mut cluster, &request, HOST);
        assert_eq!(admits(&cluster, ben), [Some(403); 3]);
    }
}

#[test]
fn labels_and_services_of_proxies_in_several_namespaces_are_served() {
    let labels = helm_labels().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let selected = Request {
        selector: Some(labels.into()),
        ..plain_request()
    };
    let behind = |namespace: &str| Request {
        ingress: vec![ObjectRef::new(Kind::Service, namespace, HELM_SERVICE)],
        ..plain_request()
    };
    for (request, noted) in [
        (selected, "edge,istio-ingress"),
        (behind("edge"), "edge,istio-ingress"),
        (behind(HELM_NAMESPACE), "istio-ingress,edge"),
    ] {
        let mut cluster = helm();
        run(&mut cluster, &request, HOST);
        let note = cluster.objects[&gateway()].annotation(INGRESS_ANNOTATION);
        assert_eq!(note, Some(noted));
        // The Service that the user names leads to the host from then on.
        run(&mut cluster, &behind(HELM_NAMESPACE), HOST);
        let note = cluster.objects[&gateway()].annotation(INGRESS_ANNOTATION);
        assert_eq!(note, Some("istio-ingress,edge"));
        assert_eq!(cluster.statuses(HOST, None), [None; 3]);
    }
}

#[test]
fn a_purge_leaves_nothing_in_any_of_the_namespaces() {
    for mut cluster in [helm(), plain()] {
        let before: BTreeSet<ObjectRef> = cluster.objects.keys().cloned().collect();
        cluster.issue("ada");
        run(&mut cluster, &only(&["ada"]), HOST);
        cluster.run(&unexpose_request()).unwrap();
        let left = cluster.objects.keys().filter(|name| !before.contains(name));
        let left: Vec<String> = left
            .filter(|name| !name.namespace.starts_with("kubectl-mtls"))
            .filter(|name| !name.name.starts_with("kubectl-mtls"))
            .map(ToString::to_string)
            .collect();
        assert_eq!(left, Vec::<String>::new());
    }
}

#[test]
fn certificates_of_an_issuer_are_asked_for_in_each_namespace() {
    let mut cluster = plain().with_cert_manager();
    let request = Request {
        server: ServerChoice::CertManager,
        ..plain_request()
    };
    run(&mut cluster, &request, HOST);
    let there = beside(&cluster, "edge", Kind::CertManagerCertificate);
    assert_eq!(there, ["domain-certificate"]);
    let alice = cluster.issue("alice");
    assert_eq!(admits(&cluster, alice), [Some(200); 3]);
    assert_eq!(findings(&mut cluster), Vec::<String>::new());
    cluster.run(&unexpose_request()).unwrap();
    assert_eq!(beside(&cluster, "edge", Kind::Secret), Vec::<String>::new());
}

#[test]
fn a_server_secret_that_others_keep_is_asked_for_in_each_namespace() {
    let mut cluster = plain();
    let identity = crate::plan::testing::kyma::server_identity(HOST);
    let secret = |namespace| {
        use base64::Engine;
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let data = json!({"tls.crt": encode(&identity.chain_pem()), "tls.key": encode(&identity.key().to_pem())});
        Object::new(ObjectRef::new(Kind::Secret, namespace, "theirs")).with("data", data)
    };
    let request = Request {
        server: ServerChoice::Secret("theirs".to_owned()),
        ..plain_request()
    };
    cluster.put(&secret("istio-system"));
    let failure = cluster.run(&request).unwrap_err().to_string();
    assert!(
        failure.contains("Secret edge/theirs does not exist"),
        "{failure}"
    );
    assert_eq!(cluster.writes, Vec::<String>::new());
    cluster.put(&secret("edge"));
    run(&mut cluster, &request, HOST);
    // Lost later, that is told, and the guards stay.
    cluster.objects.remove(secret("edge").reference());
    cluster.proxies.further.clear();
    cluster.load();
    cluster.proxies.further.push("edge".to_owned());
    cluster.load();
    let report = cluster.run(&plain_request()).unwrap();
    let told = report
        .notes
        .iter()
        .any(|note| note.contains("Secret edge/theirs does not exist"));
    assert!(told, "{:?}", report.notes);
}

#[test]
fn on_kyma_the_proxies_of_a_further_namespace_are_told_of_its_policy() {
    let mut cluster = Cluster::kyma().with_proxies_in("edge");
    let report = run(&mut cluster, &expose_request(), &default_host());
    let told = report
        .notes
        .iter()
        .any(|note| note.contains("in the namespace `edge` are"));
    assert!(told, "{:?}", report.notes);
    assert_eq!(
        beside(&cluster, "edge", Kind::Certificate),
        ["domain-certificate"]
    );
}

#[test]
fn where_gateways_are_scoped_proxies_of_another_namespace_do_not_count() {
    let mut cluster = Cluster::helm();
    let istiod = ObjectRef::new(Kind::Deployment, "istio-system", "istiod");
    let mut spec = cluster.objects[&istiod].at(&["spec"]).cloned().unwrap();
    let env = json!([{"name": "PILOT_SCOPE_GATEWAY_TO_NAMESPACE", "value": "true"}]);
    spec["template"]["spec"]["containers"][0]["env"] = env;
    let scoped = cluster.objects[&istiod].clone().with("spec", spec);
    cluster.put(&scoped);
    another_gateway(&mut cluster, "edge", HELM_SERVICE);
    let request = Request {
        ingress: vec![ObjectRef::new(Kind::Service, HELM_NAMESPACE, HELM_SERVICE)],
        ..plain_request()
    };
    // Proxies of both have no Gateway in common.
    let both = Request {
        ingress: naming_services_in(&[HELM_NAMESPACE, "edge"], &cluster).ingress,
        ..plain_request()
    };
    let before = cluster.writes.len();
    let failure = cluster.run(&both).unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("does not configure the proxies of both"),
        "{failure}"
    );
    assert_eq!(cluster.writes.len(), before);
    run(&mut cluster, &request, HOST);
    assert_eq!(beside(&cluster, "edge", Kind::Secret), Vec::<String>::new());
}

#[test]
fn a_proxy_in_another_namespace_that_lags_is_waited_for() {
    let mut cluster = helm();
    cluster.proxies.lagging = vec![2];
    let failure = cluster.run(&plain_request()).unwrap_err();
    let said = format!("{failure} {}", failure.what_to_do().join("\n"));
    assert!(
        said.contains("istio-ingress-1 of shop/kyma-mtls-gateway"),
        "{said}"
    );
    cluster.proxies.lagging.clear();
    run(&mut cluster, &plain_request(), HOST);
}
