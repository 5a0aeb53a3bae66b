//! A cluster in memory: each decision, with others who act in between, and killed after each write.

mod elsewhere;
mod recorded;
mod waiting;
mod whole;

use serde_json::{Value, json};

use super::*;
use crate::plan::testing::{Cluster, Run};
use crate::resources::api_rule::{Route, RouteOptions};
use crate::resources::certificate::ServerCertificate;
use crate::resources::gateway::MutualGateway;
use crate::resources::ingress::IngressGateway;
use crate::resources::names::{CredentialNames, FIELD_MANAGER, ISSUED_LABEL, MANAGED_BY};

const HOST: &str = "httpbin.example.com";

fn own_gateway() -> GatewayName {
    GatewayName::new("shop", "kyma-mtls-gateway")
}

fn shared_gateway() -> GatewayName {
    GatewayName::new("edge", "shared")
}

fn ours(object: Object, gateway: &GatewayName) -> Object {
    object
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_annotation(GATEWAY_ANNOTATION, &gateway.to_string())
}

fn secret(name: &str) -> Object {
    Object::new(ObjectRef::new(Kind::Secret, INGRESS_NAMESPACE, name))
}

fn certificate(gateway: &GatewayName, name: &str, secret: &str) -> Object {
    ServerCertificate {
        kind: Kind::Certificate,
        namespace: "istio-system",
        name,
        gateway,
        host: HOST,
        secret,
        issuer: "garden",
    }
    .object()
}

/// `shop/httpbin` behind a Gateway, as `expose` makes it.
fn exposed(gateway: &GatewayName) -> Cluster {
    let mut cluster = Cluster::default();
    let names = CredentialNames::further(gateway);
    let route = Route {
        namespace: "shop",
        name: "httpbin-mtls",
        host: HOST,
        gateway,
        service: "httpbin",
        port: 8000,
        options: &RouteOptions::default(),
    };
    let selector = [("istio".to_owned(), "ingressgateway".to_owned())].into();
    let mutual = MutualGateway {
        name: gateway,
        host: HOST,
        ingress: &IngressGateway::in_istio_system(selector),
        credential: names.credential(),
        client_ca: &names.client_ca_field(),
    };
    for object in [
        route.object(),
        mutual
            .object()
            .with_annotation(SERVICE_ANNOTATION, "shop/httpbin"),
        certificate(gateway, &names.certificate, names.credential()),
        secret(names.credential()).with_label(ISSUED_LABEL, "true"),
        ours(secret(&names.derived_client_ca()), gateway),
    ] {
        cluster.put(&object);
    }
    cluster
}

fn purge() -> Request {
    Request {
        namespace: "shop".to_owned(),
        service: "httpbin".to_owned(),
        gateway_too: true,
        purge: true,
        ignore_not_found: false,
        dry_run: false,
        timeout: Duration::from_secs(1),
    }
}

/// Runs it until it ends, or was killed after so many writes; `meanwhile` acts after each write.
fn run_with(
    request: &Request,
    cluster: &mut Cluster,
    killed_after: usize,
    meanwhile: impl Fn(&mut Cluster),
) -> Option<Result<Report, Failure>> {
    let plan = |observed: &Observed, _| reconcile(request, observed);
    let mut run = Run::begin(&plan);
    let begun = cluster.writes.len();
    loop {
        let before = cluster.writes.len();
        if before - begun >= killed_after {
            return None;
        }
        if !cluster.step(&mut run)
            && let Some(result) = run.result
        {
            return Some(result);
        }
        if cluster.writes.len() > before {
            meanwhile(cluster);
        }
    }
}

fn run(request: &Request, cluster: &mut Cluster) -> Result<Report, Failure> {
    run_with(request, cluster, usize::MAX, |_| {}).unwrap()
}

#[track_caller]
fn refused(request: &Request, cluster: &mut Cluster, said: &str) {
    let before = cluster.writes.len();
    let failure = run(request, cluster).unwrap_err();
    assert!(failure.to_string().contains(said), "{failure}");
    assert_eq!(cluster.writes.len(), before, "{:?}", cluster.writes);
}

fn left(cluster: &Cluster) -> Vec<String> {
    cluster.objects.keys().map(ToString::to_string).collect()
}

#[test]
fn a_purge_deletes_from_the_route_to_the_client_ca_and_leaves_nothing_of_its_own() {
    let mut cluster = exposed(&own_gateway());
    let report = run(&purge(), &mut cluster).unwrap();
    assert_eq!(left(&cluster), Vec::<String>::new());
    let kinds: Vec<&str> = report
        .deleted
        .iter()
        .filter_map(|deleted| deleted.object.split(['.', '/']).next())
        .collect();
    assert_eq!(
        kinds,
        ["apirule", "gateway", "certificate", "secret", "secret"]
    );
    assert!(report.deleted.last().unwrap().object.ends_with("-cacert"));
}

#[test]
fn killed_after_any_write_the_same_purge_finds_the_rest_whichever_gateway_was_chosen() {
    for gateway in [own_gateway(), shared_gateway()] {
        let mut undisturbed = exposed(&gateway);
        run(&purge(), &mut undisturbed).unwrap();
        for number in 1..=undisturbed.writes.len() {
            let mut cluster = exposed(&gateway);
            let killed = run_with(&purge(), &mut cluster, number, |_| {});
            assert!(killed.is_none());
            match run(&purge(), &mut cluster) {
                Ok(_) => {}
                Err(failure) => {
                    assert!(failure.to_string().contains("is not exposed"), "{failure}");
                }
            }
            assert_eq!(
                left(&cluster),
                left(&undisturbed),
                "{gateway} after {number}"
            );
        }
    }
}

#[test]
fn a_service_that_was_never_exposed_purges_nothing_of_another_one() {
    let other = Request {
        service: "other".to_owned(),
        ..purge()
    };
    let mut cluster = exposed(&own_gateway());
    refused(&other, &mut cluster, "is not exposed");
    // Nor when no route is attached to the Gateway any more.
    let only_route = Request {
        gateway_too: false,
        purge: false,
        ..purge()
    };
    run(&only_route, &mut cluster).unwrap();
    refused(&other, &mut cluster, "is not exposed");
    // The Service for which the Gateway was made still finds it.
    run(&purge(), &mut cluster).unwrap();
    assert_eq!(left(&cluster), Vec::<String>::new());
}

#[test]
fn a_server_secret_that_another_certificate_keeps_stays_and_that_is_said() {
    let names = CredentialNames::further(&own_gateway());
    let theirs = |namespace: &str| {
        let reference = ObjectRef::new(Kind::Certificate, namespace, "theirs");
        let secret = json!({"name": names.credential(), "namespace": INGRESS_NAMESPACE});
        Object::new(reference).with("spec", json!({"commonName": HOST, "secretRef": secret}))
    };
    for namespace in [INGRESS_NAMESPACE, "team"] {
        let mut cluster = exposed(&own_gateway());
        cluster.put(&theirs(namespace));
        let report = run(&purge(), &mut cluster).unwrap();
        assert_eq!(report.kept.len(), 1);
        assert!(report.kept[0].reason.contains("theirs"), "{report:?}");
        assert_eq!(left(&cluster).len(), 2, "{:?}", left(&cluster));
    }
    // Where no Certificate of ours names it, nothing proves that it is ours.
    let mut cluster = exposed(&own_gateway());
    let own = certificate(&own_gateway(), &names.certificate, names.credential());
    cluster.objects.remove(own.reference());
    let report = run(&purge(), &mut cluster).unwrap();
    assert_eq!(report.kept.len(), 1);
}

fn gateway_with(name: &str, servers: &Value) -> Object {
    Object::new(GatewayName::new("team", name).reference())
        .with("spec", json!({"selector": {"a": "b"}, "servers": servers}))
}

#[test]
fn a_secret_that_any_server_of_another_gateway_names_is_not_deleted() {
    let names = CredentialNames::further(&own_gateway());
    let credential = names.credential();
    for (number, tls) in [
        (443, json!({"mode": "SIMPLE", "credentialName": credential})),
        (
            8443,
            json!({"mode": "MUTUAL", "credentialName": credential}),
        ),
        (
            443,
            json!({"mode": "OPTIONAL_MUTUAL", "credentialName": credential}),
        ),
        (
            443,
            json!({"mode": "SIMPLE", "credentialNames": ["x", credential]}),
        ),
        (
            9443,
            json!({"mode": "MUTUAL", "credentialName": "x", "caCertCredentialName": names.derived_client_ca()}),
        ),
    ] {
        let servers =
            json!([{"hosts": ["*"], "port": {"number": number, "protocol": "HTTPS"}, "tls": tls}]);
        let other = gateway_with("other", &servers);
        let mut cluster = exposed(&own_gateway());
        cluster.put(&other);
        refused(
            &purge(),
            &mut cluster,
            "the Gateway `team/other` uses the Secret too",
        );
        // Made while the purge runs, it keeps the Secret all the same.
        let mut cluster = exposed(&own_gateway());
        let report = run_with(&purge(), &mut cluster, usize::MAX, |cluster| {
            cluster.put(&other);
        });
        let report = report.unwrap().unwrap();
        assert!(!report.kept.is_empty(), "{tls}: {report:?}");
        assert!(
            report
                .kept
                .iter()
                .all(|kept| kept.reason.contains("team/other"))
        );
    }
}

#[test]
fn a_route_made_meanwhile_keeps_its_gateway() {
    let mut cluster = exposed(&own_gateway());
    let theirs = Object::new(ObjectRef::new(Kind::VirtualService, "shop", "theirs")).with(
        "spec",
        json!({"hosts": ["a"], "gateways": ["kyma-mtls-gateway"]}),
    );
    let outcome = run_with(&purge(), &mut cluster, usize::MAX, |cluster| {
        cluster.put(&theirs);
    });
    let failure = outcome.unwrap().unwrap_err();
    assert!(
        cluster
            .writes
            .contains(&"delete APIRule shop/httpbin-mtls".to_owned()),
        "{:?}",
        cluster.writes
    );
    assert!(
        failure
            .to_string()
            .contains("in use by VirtualService shop/theirs"),
        "{failure}"
    );
    assert!(cluster.objects.contains_key(&own_gateway().reference()));
}

#[test]
fn what_cannot_be_read_counts_as_a_user() {
    let damaged = |kind, spec| Object::new(ObjectRef::new(kind, "team", "odd")).with("spec", spec);
    for (object, said) in [
        (
            damaged(Kind::Gateway, json!({"servers": "none"})),
            "may use",
        ),
        (
            damaged(Kind::VirtualService, json!({"gateways": 7})),
            "cannot be read",
        ),
        (
            damaged(Kind::ApiRule, json!({"hosts": 7})),
            "cannot be read",
        ),
        (
            damaged(Kind::Certificate, json!({"secretName": 7})),
            "it may be the Certificate that fills",
        ),
    ] {
        let mut cluster = exposed(&own_gateway());
        cluster.put(&object);
        refused(&purge(), &mut cluster, said);
    }
}

#[test]
fn an_object_that_took_the_place_of_one_written_down_stays() {
    let names = CredentialNames::further(&own_gateway());
    let mut cluster = exposed(&own_gateway());
    // The note, the route, the Gateway.
    assert!(run_with(&purge(), &mut cluster, 3, |_| {}).is_none());
    let another = secret(names.credential());
    cluster.objects.remove(another.reference());
    cluster.put(&another.with_label(ISSUED_LABEL, "true"));
    run(&purge(), &mut cluster).unwrap();
    assert_eq!(
        left(&cluster),
        [format!("Secret {INGRESS_NAMESPACE}/{}", names.credential())]
    );
}

#[test]
fn without_purge_the_secrets_stay_and_without_gateway_too_all_but_the_route() {
    let mut cluster = exposed(&own_gateway());
    let request = Request {
        purge: false,
        ..purge()
    };
    run(&request, &mut cluster).unwrap();
    assert_eq!(left(&cluster).len(), 2, "{:?}", left(&cluster));
    let mut cluster = exposed(&own_gateway());
    let request = Request {
        gateway_too: false,
        ..request
    };
    run(&request, &mut cluster).unwrap();
    assert_eq!(cluster.writes, ["delete APIRule shop/httpbin-mtls"]);
}

#[test]
fn a_purge_says_what_stays_and_how_to_remove_it() {
    let mut cluster = exposed(&own_gateway());
    let names = CredentialNames::further(&own_gateway());
    cluster.put(&Object::new(names.state()));
    cluster.put(&crate::resources::sample::service("shop"));
    let request = Request {
        dry_run: true,
        ..purge()
    };
    let report = run(&request, &mut cluster).unwrap();
    assert_eq!(cluster.writes, Vec::<String>::new());
    let commands: Vec<&str> = report
        .stays
        .iter()
        .map(|stays| stays.remove.as_str())
        .collect();
    let selector = format!("-l kubectl-mtls.dev/authority={}", names.authority);
    assert_eq!(
        commands,
        [
            format!("kubectl -n kubectl-mtls delete configmaps,secrets {selector}"),
            format!("kubectl -n kubectl-mtls-clients delete configmaps {selector}"),
            "kubectl -n shop delete deployment,service,serviceaccount httpbin".to_owned(),
        ]
    );
}
