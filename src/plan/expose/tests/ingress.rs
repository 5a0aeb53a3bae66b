//! Ingress gateways elsewhere than in `istio-system`: which one a host gets, and where its objects go.

use super::*;
use crate::plan::testing::kyma::{
    HELM_NAMESPACE, HELM_SERVICE, another_gateway, helm_labels, unexpose_request,
};
use crate::resources::gateway::Gateway;
use crate::resources::names::INGRESS_ANNOTATION;
use crate::resources::{Kind, Object, ObjectRef};

fn of_kind(cluster: &Cluster, kind: Kind) -> Vec<&ObjectRef> {
    let names = cluster.objects.keys();
    names.filter(|name| name.kind == kind).collect()
}

fn named(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Service, namespace, name)
}

fn refusal(cluster: &mut Cluster, request: &Request) -> String {
    let failure = cluster.run(request).unwrap_err();
    assert_eq!(cluster.writes, Vec::<String>::new());
    format!("{failure}\n{}", failure.what_to_do().join("\n"))
}

#[test]
fn the_only_ingress_gateway_is_found_and_all_that_its_proxies_read_lies_beside_them() {
    let mut cluster = Cluster::helm();
    let report = run(&mut cluster, &plain_request(), HOST);
    assert!(report.looked.unwrap().own_client_admitted);
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
    let gateway = &cluster.objects[&gateway];
    let labels = helm_labels().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let read = Gateway::read(gateway).unwrap();
    assert_eq!(read.ingress.selector, labels.into());
    assert_eq!(read.ingress.namespace, HELM_NAMESPACE);
    let of_proxies = |name: &&&ObjectRef| name.namespace == HELM_NAMESPACE;
    let beside = |kind| of_kind(&cluster, kind).iter().filter(of_proxies).count();
    assert_eq!(beside(Kind::Secret), 2, "the server's and its fallback");
    assert_eq!(beside(Kind::AuthorizationPolicy), 1, "the header guard");
    let in_istio_system = |kind| {
        let names = of_kind(&cluster, kind);
        names.iter().any(|name| name.namespace == "istio-system")
    };
    assert!(!in_istio_system(Kind::Secret) && !in_istio_system(Kind::AuthorizationPolicy));
}

#[test]
fn a_second_run_changes_nothing_and_unexpose_leaves_nothing_beside_the_proxies() {
    let mut cluster = Cluster::helm();
    let request = Request {
        access: AccessChoice {
            guard: Some(true),
            ..AccessChoice::default()
        },
        ..plain_request()
    };
    run(&mut cluster, &request, HOST);
    let written = cluster.writes.len();
    run(&mut cluster, &request, HOST);
    assert_eq!(cluster.writes[written..], Vec::<String>::new());
    cluster.run(&unexpose_request()).unwrap();
    let left: Vec<&ObjectRef> = cluster
        .objects
        .keys()
        .filter(|name| name.namespace == HELM_NAMESPACE)
        .filter(|name| matches!(name.kind, Kind::Secret | Kind::AuthorizationPolicy))
        .collect();
    assert_eq!(left, Vec::<&ObjectRef>::new());
}

#[test]
fn of_several_ingress_gateways_one_must_be_named() {
    let mut cluster = Cluster::helm();
    another_gateway(&mut cluster, "edge", "edge-gateway");
    let refusal = refusal(&mut cluster, &plain_request());
    for line in [
        "several ingress gateways",
        "--ingress edge/edge-gateway",
        "--ingress istio-ingress/istio-ingress",
    ] {
        assert!(refusal.contains(line), "{refusal}");
    }
    let request = Request {
        ingress: vec![named(HELM_NAMESPACE, HELM_SERVICE)],
        ..plain_request()
    };
    run(&mut cluster, &request, HOST);
}

#[test]
fn the_default_one_beside_others_is_taken_at_once_with_kyma_only() {
    let mut cluster = Cluster::plain();
    another_gateway(&mut cluster, "edge", "edge-gateway");
    let told = refusal(&mut cluster, &plain_request());
    for line in [
        "several ingress gateways",
        "--ingress edge/edge-gateway",
        "--ingress istio-system/istio-ingressgateway",
        "`--selector KEY=VALUE`",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let default = Request {
        ingress: vec![named("istio-system", "istio-ingressgateway")],
        ..plain_request()
    };
    run(&mut cluster, &default, HOST);
    // A Gateway that stands is not asked for.
    run(&mut cluster, &plain_request(), HOST);

    let mut cluster = Cluster::kyma();
    another_gateway(&mut cluster, "edge", "edge-gateway");
    cluster.run(&expose_request()).unwrap();
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
    let gateway = Gateway::read(&cluster.objects[&gateway]).unwrap();
    assert!(gateway.ingress.is_default());
}

#[test]
fn two_services_before_the_same_proxies_are_one_ingress_gateway() {
    let mut cluster = Cluster::helm();
    let service = cluster.objects[&named(HELM_NAMESPACE, HELM_SERVICE)].clone();
    let spec = service.at(&["spec"]).cloned().unwrap();
    let second = Object::new(named(HELM_NAMESPACE, "internal"));
    cluster.put(&second.with("spec", spec));
    run(&mut cluster, &plain_request(), HOST);
}

#[test]
fn a_service_that_is_no_ingress_gateway_is_refused_with_the_reason() {
    for (namespace, name, reason) in [
        ("istio-ingress", "nothing", "does not exist"),
        ("shop", "httpbin", "has no port 443"),
        ("edge", "empty", "has no Pods behind it"),
        ("edge", "app", "leads to Pods that run no gateway of Istio"),
        ("edge", "manual", "has no selector"),
    ] {
        let mut cluster = Cluster::helm();
        for (service, selector) in [
            ("empty", json!({"app": "nobody"})),
            ("app", json!({"app": "web"})),
            ("manual", json!({})),
        ] {
            let spec = json!({"selector": selector, "ports": [{"name": "https", "port": 443}]});
            let service = ObjectRef::new(Kind::Service, "edge", service);
            cluster.put(&Object::new(service).with("spec", spec));
        }
        let pod = Object::new(ObjectRef::new(Kind::Pod, "edge", "web-1"));
        cluster.put(&pod.with_label("app", "web"));
        let request = Request {
            ingress: vec![named(namespace, name)],
            ..plain_request()
        };
        let refusal = refusal(&mut cluster, &request);
        assert!(refusal.contains(reason), "{refusal}");
        let found = "--ingress istio-ingress/istio-ingress";
        assert!(refusal.contains(found), "{refusal}");
    }
}

#[test]
fn services_with_different_selectors_are_refused() {
    let mut cluster = Cluster::helm();
    another_gateway(&mut cluster, "edge", "edge-gateway");
    let request = Request {
        ingress: vec![
            named(HELM_NAMESPACE, HELM_SERVICE),
            named("edge", "edge-gateway"),
        ],
        ..plain_request()
    };
    let refusal = refusal(&mut cluster, &request);
    assert!(refusal.contains("select different labels"), "{refusal}");
}

#[test]
fn a_gateway_that_exists_keeps_its_ingress_gateway() {
    let mut cluster = Cluster::helm();
    another_gateway(&mut cluster, "edge", "edge-gateway");
    let first = Request {
        ingress: vec![named(HELM_NAMESPACE, HELM_SERVICE)],
        ..plain_request()
    };
    run(&mut cluster, &first, HOST);
    // Without a word it stays.
    run(&mut cluster, &plain_request(), HOST);
    let moved = Request {
        ingress: vec![named("edge", "edge-gateway")],
        ..plain_request()
    };
    let written = cluster.writes.len();
    let failure = cluster.run(&moved).unwrap_err().to_string();
    assert!(
        failure.contains("in the namespace `istio-ingress`"),
        "{failure}"
    );
    assert_eq!(cluster.writes.len(), written);
}

#[test]
fn a_note_that_somebody_removed_is_restored() {
    let mut cluster = Cluster::helm();
    run(&mut cluster, &plain_request(), HOST);
    let names = [
        GatewayName::new("shop", "kyma-mtls-gateway").reference(),
        ObjectRef::new(Kind::VirtualService, "shop", "httpbin-mtls"),
    ];
    for name in &names {
        let object = cluster.objects[name].clone();
        cluster.put(&object.without_annotation(INGRESS_ANNOTATION));
    }
    cluster.run(&plain_request()).unwrap();
    for name in &names {
        let noted = cluster.objects[name].annotation(INGRESS_ANNOTATION);
        assert_eq!(noted, Some(HELM_NAMESPACE), "{name}");
    }
}

#[test]
fn a_gateway_that_is_gone_comes_back_where_its_route_notes_its_proxies() {
    let mut cluster = Cluster::helm();
    run(&mut cluster, &plain_request(), HOST);
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
    let former = cluster.objects.remove(&gateway).unwrap();
    // Istio's default ingress gateway is installed meanwhile.
    another_gateway(&mut cluster, "istio-system", "istio-ingressgateway");
    cluster.run(&plain_request()).unwrap();
    let spec = |object: &Object| object.at(&["spec"]).cloned();
    assert_eq!(spec(&cluster.objects[&gateway]), spec(&former));
}

#[test]
fn an_ingress_gateway_that_is_scaled_to_nothing_is_not_given_up_for_another_one() {
    let mut cluster = Cluster::plain();
    let pods = of_kind(&cluster, Kind::Pod).into_iter().cloned();
    let pods: Vec<ObjectRef> = pods.filter(|pod| pod.namespace == "istio-system").collect();
    for pod in pods {
        cluster.objects.remove(&pod);
    }
    another_gateway(&mut cluster, "edge", "edge-gateway");
    let request = Request {
        wait: false,
        ..plain_request()
    };
    cluster.run(&request).unwrap();
    let in_edge = |name: &&ObjectRef| name.namespace == "edge" && name.kind == Kind::Secret;
    assert_eq!(cluster.objects.keys().find(in_edge), None);
}

#[test]
fn an_egress_gateway_is_no_ingress_gateway() {
    let mut cluster = Cluster::helm();
    another_gateway(&mut cluster, "edge", "istio-egressgateway");
    let service = ObjectRef::new(Kind::Service, "edge", "istio-egressgateway");
    let mut spec = cluster.objects[&service].at(&["spec"]).cloned().unwrap();
    spec["type"] = json!("ClusterIP");
    cluster.put(&Object::new(service).with("spec", spec));
    run(&mut cluster, &plain_request(), HOST);
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
    let gateway = Gateway::read(&cluster.objects[&gateway]).unwrap();
    assert_eq!(gateway.ingress.namespace, HELM_NAMESPACE);
}

#[test]
fn without_an_ingress_gateway_nothing_is_written_and_the_gateways_there_are_named() {
    let mut cluster = Cluster::helm();
    let service = named(HELM_NAMESPACE, HELM_SERVICE);
    let mut spec = cluster.objects[&service].at(&["spec"]).cloned().unwrap();
    spec["type"] = json!("ClusterIP");
    cluster.put(&Object::new(service.clone()).with("spec", spec.clone()));
    let refusal = refusal(&mut cluster, &plain_request());
    for line in [
        "no ingress gateway of Istio was found",
        "--ingress istio-ingress/istio-ingress",
        "`--selector KEY=VALUE`",
    ] {
        assert!(refusal.contains(line), "{refusal}");
    }
    // Addresses of nodes lead to it, too.
    spec["externalIPs"] = json!(["192.0.2.10"]);
    cluster.put(&Object::new(service).with("spec", spec));
    run(&mut cluster, &plain_request(), HOST);
}

#[test]
fn the_proxies_of_istios_own_service_are_those_that_it_selects() {
    let mut cluster = Cluster::plain();
    let service = named("istio-system", "istio-ingressgateway");
    let mut spec = cluster.objects[&service].at(&["spec"]).cloned().unwrap();
    spec["selector"] = json!({"istio": "ingressgateway"});
    cluster.put(&cluster.objects[&service].clone().with("spec", spec));
    let pods: Vec<ObjectRef> = cluster.objects.keys().cloned().collect();
    let pods = pods.into_iter().filter(|name| name.kind == Kind::Pod);
    for pod in pods.filter(|name| name.namespace == "istio-system") {
        let bare = cluster.objects[&pod].clone().without_label("app");
        cluster.put(&bare);
    }
    let mut beside = cluster.clone();
    run(&mut cluster, &plain_request(), HOST);
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
    let gateway = Gateway::read(&cluster.objects[&gateway]).unwrap();
    assert_eq!(gateway.ingress.labels(), "istio=ingressgateway");
    // Beside another ingress gateway the user chooses.
    another_gateway(&mut beside, "edge", "edge-gateway");
    let refusal = refusal(&mut beside, &plain_request());
    assert!(refusal.contains("several ingress gateways"), "{refusal}");
}

#[test]
fn a_service_of_another_name_before_the_default_proxies_is_found() {
    let mut cluster = Cluster::plain();
    let service = named("istio-system", "istio-ingressgateway");
    let own = cluster.objects.remove(&service).unwrap();
    let spec = own.at(&["spec"]).cloned().unwrap();
    let status = own.at(&["status"]).cloned().unwrap();
    let other = Object::new(named("istio-system", "edge"));
    cluster.put(&other.with("spec", spec).with("status", status));
    let report = run(&mut cluster, &plain_request(), HOST);
    assert_eq!(report.looked.unwrap().through.len(), 2);
}

#[test]
fn of_services_before_the_same_proxies_one_may_have_fewer_labels() {
    let mut cluster = Cluster::plain();
    let service = named("istio-system", "istio-ingressgateway");
    let mut spec = cluster.objects[&service].at(&["spec"]).cloned().unwrap();
    spec["selector"] = json!({"istio": "ingressgateway"});
    let internal = Object::new(named("istio-system", "internal"));
    cluster.put(&internal.with("spec", spec));
    run(&mut cluster, &plain_request(), HOST);
}

#[test]
fn labels_of_pods_that_are_no_routers_are_refused() {
    let mut cluster = Cluster::plain();
    let pod = Object::new(ObjectRef::new(Kind::Pod, "istio-system", "istiod-1"));
    cluster.put(&pod.with_label("app", "istiod"));
    let request = Request {
        selector: Some([("app".to_owned(), "istiod".to_owned())].into()),
        ..plain_request()
    };
    let refusal = refusal(&mut cluster, &request);
    assert!(refusal.contains("run no gateway of Istio"), "{refusal}");
}
