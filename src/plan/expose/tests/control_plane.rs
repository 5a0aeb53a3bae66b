//! A control plane elsewhere than in `istio-system`, with a revision, as AKS has it: what is read of it, and by whom.

use super::*;
use crate::plan::issue_client::tests as issue;
use crate::plan::status;
use crate::plan::testing::kyma::{
    AKS_NAMESPACE, AKS_REVISION, AKS_ROOT, AKS_SERVICE, configured_by, configured_from,
};
use crate::resources::istiod::REVISION;
use crate::resources::{Kind, ObjectRef};

const NEXT: &str = "asm-1-32";

fn refusal(cluster: &mut Cluster, request: &Request) -> String {
    let failure = cluster.run(request).unwrap_err();
    assert_eq!(cluster.writes, Vec::<String>::new());
    format!("{failure}\n{}", failure.what_to_do().join("\n"))
}

fn pod(number: u8) -> ObjectRef {
    ObjectRef::new(Kind::Pod, AKS_NAMESPACE, format!("{AKS_SERVICE}-{number}"))
}

/// The second proxy is already of the next revision.
fn amid_an_upgrade() -> Cluster {
    let mut cluster = Cluster::aks();
    let moved = configured_by(&cluster.objects[&pod(2)], NEXT);
    cluster.put(&moved);
    cluster
}

fn policy(namespace: &str) -> Object {
    let name = ObjectRef::new(Kind::AuthorizationPolicy, namespace, "nobody");
    Object::new(name).with("spec", json!({"action": "DENY", "rules": [{}]}))
}

fn found(cluster: &mut Cluster) -> Vec<String> {
    let record = vec!["192.0.2.10".to_owned()];
    cluster.controllers.records.insert(HOST.to_owned(), record);
    let report = cluster.run(&status::Request::default()).unwrap();
    let findings = report.findings.iter();
    findings
        .map(|finding| format!("{}: {}", finding.check.id, finding.seen))
        .collect()
}

#[test]
fn a_host_is_served_and_healthy_and_nothing_of_it_depends_on_istio_system() {
    let mut cluster = Cluster::aks();
    let report = run(&mut cluster, &plain_request(), HOST);
    assert!(report.looked.unwrap().own_client_admitted);
    let unchecked = |note: &&String| note.contains("not checked");
    assert_eq!(report.notes.iter().find(unchecked), None);
    assert_eq!(found(&mut cluster), Vec::<String>::new());
    let mut left = cluster.objects.keys();
    assert_eq!(left.find(|name| name.namespace == "istio-system"), None);

    let written = cluster.writes.len();
    run(&mut cluster, &plain_request(), HOST);
    assert_eq!(cluster.writes[written..], Vec::<String>::new());
}

#[test]
fn a_version_too_old_is_seen_where_the_proxies_say_that_istiod_is() {
    let mut cluster = Cluster::aks();
    cluster.put_istiod(AKS_REVISION, "1.27.3", "");
    let refused = refusal(&mut cluster, &plain_request());
    let told = format!("istiod `{AKS_ROOT}/istiod-{AKS_REVISION}`");
    assert!(
        refused.contains(&told) && refused.contains("1.27.3"),
        "{refused}"
    );
    // That of a revision which configures none of the proxies decides nothing.
    let mut cluster = Cluster::aks();
    cluster.put_istiod("asm-1-27", "1.27.3", "");
    run(&mut cluster, &plain_request(), HOST);
}

#[test]
fn the_discovery_selectors_of_the_revision_count() {
    let mut cluster = Cluster::aks();
    let selectors = "discoverySelectors: [{matchLabels: {mesh: shop}}]\n";
    cluster.put_istiod(AKS_REVISION, "1.31.0", selectors);
    run(&mut cluster, &plain_request(), HOST);
    let namespace = &cluster.objects[&ObjectRef::namespace("kubectl-mtls")];
    assert_eq!(namespace.label("mesh"), Some("shop"));

    let mut cluster = Cluster::aks();
    let selectors = "discoverySelectors: [{matchLabels: {kubernetes.io/metadata.name: shop}}]\n";
    cluster.put_istiod(AKS_REVISION, "1.31.0", selectors);
    let refused = refusal(&mut cluster, &plain_request());
    let told = format!("ConfigMap {AKS_ROOT}/istio-{AKS_REVISION}");
    assert!(refused.contains(&told), "{refused}");
}

#[test]
fn gateways_that_istiod_keeps_to_their_namespace_lie_beside_the_proxies() {
    let mut cluster = Cluster::aks();
    let name = format!("istiod-{AKS_REVISION}");
    let istiod = ObjectRef::new(Kind::Deployment, AKS_ROOT, name);
    let istiod = cluster.objects[&istiod].clone();
    let mut spec = istiod.at(&["spec"]).unwrap().clone();
    spec["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "PILOT_SCOPE_GATEWAY_TO_NAMESPACE", "value": "true"}]);
    cluster.put(&istiod.with("spec", spec));
    let report = cluster.run(&plain_request()).unwrap();
    assert_eq!(
        report.gateway,
        format!("{AKS_NAMESPACE}/shop-kyma-mtls-gateway")
    );
}

#[test]
fn policies_of_the_meshs_own_root_namespace_are_judged_and_those_of_another_one_are_not() {
    for (namespace, is_told) in [(AKS_ROOT, true), ("istio-system", false)] {
        let mut cluster = Cluster::aks();
        run(&mut cluster, &plain_request(), HOST);
        cluster.put(&policy(namespace));
        let found = found(&mut cluster);
        let names_it = |line: &String| line.contains(&format!("{namespace}/nobody"));
        assert_eq!(found.iter().any(names_it), is_told, "{found:?}");
    }
    // The mesh configuration may name another one.
    let mut cluster = Cluster::aks();
    run(&mut cluster, &plain_request(), HOST);
    let config = ObjectRef::new(Kind::ConfigMap, AKS_ROOT, format!("istio-{AKS_REVISION}"));
    cluster.put(&Object::new(config).with("data", json!({"mesh": "rootNamespace: policies"})));
    cluster.put(&policy(AKS_ROOT));
    assert_eq!(found(&mut cluster), Vec::<String>::new());
    cluster.put(&policy("policies"));
    let found = found(&mut cluster);
    assert!(
        found.iter().any(|line| line.contains("policies/nobody")),
        "{found:?}"
    );
}

#[test]
fn of_two_revisions_behind_one_service_the_older_istiod_decides() {
    for (current, next, old) in [
        ("1.27.3", "1.31.0", AKS_REVISION),
        ("1.31.0", "1.27.3", NEXT),
    ] {
        let mut cluster = amid_an_upgrade();
        cluster.put_istiod(AKS_REVISION, current, "");
        cluster.put_istiod(NEXT, next, "");
        let refused = refusal(&mut cluster, &plain_request());
        assert!(
            refused.contains(&format!("{AKS_ROOT}/istiod-{old}")),
            "{refused}"
        );
    }
    // One that is not found is told.
    let report = amid_an_upgrade().run(&plain_request()).unwrap();
    let told = format!("no istiod in `{AKS_ROOT}` is of the revision `{NEXT}`");
    assert!(
        report.notes.iter().any(|note| note.contains(&told)),
        "{:?}",
        report.notes
    );
}

#[test]
fn of_two_revisions_both_mesh_configurations_count() {
    let both = |current: &str, next: &str| {
        let mut cluster = amid_an_upgrade();
        cluster.put_istiod(AKS_REVISION, "1.31.0", current);
        cluster.put_istiod(NEXT, "1.32.0", next);
        cluster
    };
    let mut cluster = both("trustDomain: old.example\n", "trustDomain: new.example\n");
    run(&mut cluster, &plain_request(), HOST);
    let policy = ObjectRef::new(Kind::AuthorizationPolicy, "shop", "httpbin-mtls");
    let policy = cluster.objects[&policy].body().to_string();
    for domain in ["old.example", "new.example"] {
        let principal = format!("{domain}/ns/{AKS_NAMESPACE}/sa/{AKS_SERVICE}");
        assert!(policy.contains(&principal), "{policy}");
        let uri = format!("spiffe://{domain}/ns/shop/sa/web");
        let mut of_workload = issue::request("web");
        of_workload.names.uris = vec![uri];
        let refused = cluster.run(&of_workload).unwrap_err();
        assert!(refused.to_string().contains(domain), "{refused}");
    }
    assert_eq!(found(&mut cluster), Vec::<String>::new());

    let selecting = |label: &str| format!("discoverySelectors: [{{matchLabels: {{{label}}}}}]\n");
    let mut cluster = both(&selecting("mesh: a"), &selecting("zone: b"));
    run(&mut cluster, &plain_request(), HOST);
    let namespace = &cluster.objects[&ObjectRef::namespace("kubectl-mtls")];
    assert_eq!(
        [namespace.label("mesh"), namespace.label("zone")],
        [Some("a"), Some("b")]
    );
}

#[test]
fn no_client_gets_a_uri_of_a_trust_domain_that_is_an_alias() {
    let mut cluster = Cluster::aks();
    let mesh = "trustDomain: new.example\ntrustDomainAliases: [old.example]\n";
    cluster.put_istiod(AKS_REVISION, "1.31.0", mesh);
    run(&mut cluster, &plain_request(), HOST);
    for (domain, is_refused) in [("old.example", true), ("other.example", false)] {
        let mut of_workload = issue::request("web");
        of_workload.names.uris = vec![format!("spiffe://{domain}/ns/shop/sa/web")];
        match cluster.run(&of_workload) {
            Ok(_) => assert!(!is_refused, "{domain}"),
            Err(refused) => {
                assert!(
                    is_refused && refused.to_string().contains(domain),
                    "{refused}"
                );
            }
        }
    }
}

#[test]
fn the_authority_notes_the_mesh_of_its_gateway_and_issuing_tells_when_that_is_gone() {
    let mut cluster = Cluster::aks();
    run(&mut cluster, &plain_request(), HOST);
    let noted = |cluster: &Cluster| cluster.state().mesh_configs;
    assert_eq!(
        noted(&cluster),
        Some(format!("{AKS_ROOT}/istio-{AKS_REVISION}"))
    );
    let issued = cluster.run(&issue::request("alice")).unwrap();
    let is_told = |note: &String| note.contains("trust domain was not read");
    assert!(!issued.notes.iter().any(is_told), "{:?}", issued.notes);

    // An upgrade that is over: all proxies are of the next revision, and the former one is gone.
    for number in [1, 2] {
        let moved = configured_by(&cluster.objects[&pod(number)], NEXT);
        cluster.put(&moved);
    }
    let is_former =
        |name: &ObjectRef| name.namespace == AKS_ROOT && name.name.ends_with(AKS_REVISION);
    cluster.objects.retain(|name, _| !is_former(name));
    cluster.put_istiod(NEXT, "1.32.0", "");
    let issued = cluster.run(&issue::request("bob")).unwrap();
    assert!(issued.notes.iter().any(is_told), "{:?}", issued.notes);
    run(&mut cluster, &plain_request(), HOST);
    assert_eq!(noted(&cluster), Some(format!("{AKS_ROOT}/istio-{NEXT}")));
    let issued = cluster.run(&issue::request("carol")).unwrap();
    assert!(!issued.notes.iter().any(is_told), "{:?}", issued.notes);
}

#[test]
fn a_control_plane_outside_of_the_cluster_is_told_and_no_istiod_inside_taken_for_it() {
    let mut cluster = Cluster::plain();
    let pods: Vec<Object> = cluster.objects.values().cloned().collect();
    for pod in pods {
        if pod.reference().kind == Kind::Pod && pod.namespace() == "istio-system" {
            let moved = configured_from(&pod, "meshconfig.googleapis.com:443");
            cluster.put(&moved.with_annotation(REVISION, "asm-managed"));
        }
    }
    let report = cluster.run(&plain_request()).unwrap();
    let told = "configured from `meshconfig.googleapis.com:443`, outside of the cluster";
    assert!(
        report.notes.iter().any(|note| note.contains(told)),
        "{:?}",
        report.notes
    );
    let found_one = |cluster: &mut Cluster| found(cluster).iter().any(|line| line.contains(told));
    assert!(found_one(&mut cluster));
    // Its installation may keep the mesh configuration in the cluster.
    let config = ObjectRef::new(Kind::ConfigMap, "istio-system", "istio-asm-managed");
    cluster.put(&Object::new(config).with("data", json!({"mesh": "trustDomain: p.svc.id.goog"})));
    assert!(!found_one(&mut cluster));
}
