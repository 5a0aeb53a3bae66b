//! A cluster in memory: each decision, with others who act in between, and killed after each write.

use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::plan::fake::Fake;
use crate::resources::api_rule::{Route, RouteOptions};
use crate::resources::certificate::ServerCertificate;
use crate::resources::gateway::MutualGateway;
use crate::resources::names::{
    CredentialNames, FIELD_MANAGER, GATEWAY_ANNOTATION, GatewayName, INGRESS_NAMESPACE,
    ISSUED_LABEL, MANAGED_BY, SERVICE_ANNOTATION,
};

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
        name,
        gateway,
        host: HOST,
        secret,
        issuer: "garden",
    }
    .object()
}

/// `shop/httpbin` behind a Gateway, as `expose` makes it.
fn exposed(gateway: &GatewayName) -> Fake {
    let mut fake = Fake::default();
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
        selector: &selector,
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
        fake.put(&object);
    }
    fake
}

fn purge() -> Request {
    Request {
        namespace: "shop".to_owned(),
        service: "httpbin".to_owned(),
        gateway_too: true,
        purge: true,
        dry_run: false,
        timeout: Duration::from_secs(1),
    }
}

/// Runs it until it ends, or was killed after so many writes; `meanwhile` acts after each write.
fn run_with(
    request: &Request,
    fake: &mut Fake,
    killed_after: usize,
    meanwhile: impl Fn(&mut Fake),
) -> Option<Result<Report, Failure>> {
    let mut world = World::default();
    let begun = fake.writes.len();
    for _ in 0..100 {
        if fake.writes.len() - begun >= killed_after {
            return None;
        }
        match next(request, &world) {
            Err(failure) => return Some(Err(failure)),
            Ok(Step::Done(report)) => return Some(Ok(report)),
            Ok(Step::Read(queries)) => {
                for query in queries {
                    let answer = fake.read(&query);
                    world.fold_read(query, answer);
                }
            }
            Ok(Step::Write(write)) => {
                match fake.write(&write) {
                    Some((object, action)) => {
                        world.fold_written(object, action, datetime!(2026-01-01 0:00 UTC));
                    }
                    None => world.fold_conflict(write.object().reference().clone()),
                }
                meanwhile(fake);
            }
            Ok(step) => panic!("not expected: {step:?}"),
        }
    }
    panic!("it does not end");
}

fn run(request: &Request, fake: &mut Fake) -> Result<Report, Failure> {
    run_with(request, fake, usize::MAX, |_| {}).unwrap()
}

#[track_caller]
fn refused(request: &Request, fake: &mut Fake, said: &str) {
    let before = fake.writes.len();
    let failure = run(request, fake).unwrap_err();
    assert!(failure.to_string().contains(said), "{failure}");
    assert_eq!(fake.writes.len(), before, "{:?}", fake.writes);
}

fn left(fake: &Fake) -> Vec<String> {
    fake.objects.keys().map(ToString::to_string).collect()
}

#[test]
fn a_purge_deletes_from_the_route_to_the_client_ca_and_leaves_nothing_of_its_own() {
    let mut fake = exposed(&own_gateway());
    let report = run(&purge(), &mut fake).unwrap();
    assert_eq!(left(&fake), Vec::<String>::new());
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
            let mut fake = exposed(&gateway);
            let killed = run_with(&purge(), &mut fake, number, |_| {});
            assert!(killed.is_none());
            match run(&purge(), &mut fake) {
                Ok(_) => {}
                Err(failure) => {
                    assert!(failure.to_string().contains("is not exposed"), "{failure}");
                }
            }
            assert_eq!(left(&fake), left(&undisturbed), "{gateway} after {number}");
        }
    }
}

#[test]
fn a_service_that_was_never_exposed_purges_nothing_of_another_one() {
    let other = Request {
        service: "other".to_owned(),
        ..purge()
    };
    let mut fake = exposed(&own_gateway());
    refused(&other, &mut fake, "is not exposed");
    // Nor when no route hangs on the Gateway any more.
    let only_route = Request {
        gateway_too: false,
        purge: false,
        ..purge()
    };
    run(&only_route, &mut fake).unwrap();
    refused(&other, &mut fake, "is not exposed");
    // The Service for which the Gateway was made still finds it.
    run(&purge(), &mut fake).unwrap();
    assert_eq!(left(&fake), Vec::<String>::new());
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
        let mut fake = exposed(&own_gateway());
        fake.put(&theirs(namespace));
        let report = run(&purge(), &mut fake).unwrap();
        assert_eq!(report.kept.len(), 1);
        assert!(report.kept[0].reason.contains("theirs"), "{report:?}");
        assert_eq!(left(&fake).len(), 2, "{:?}", left(&fake));
    }
    // Where no Certificate of ours names it, nothing proves that it is ours.
    let mut fake = exposed(&own_gateway());
    let own = certificate(&own_gateway(), &names.certificate, names.credential());
    fake.objects.remove(own.reference());
    let report = run(&purge(), &mut fake).unwrap();
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
        let mut fake = exposed(&own_gateway());
        fake.put(&other);
        refused(&purge(), &mut fake, "the Gateway `team/other` uses it too");
        // Made while the purge runs, it keeps the Secret all the same.
        let mut fake = exposed(&own_gateway());
        let report = run_with(&purge(), &mut fake, usize::MAX, |fake| {
            fake.put(&other);
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
    let mut fake = exposed(&own_gateway());
    let theirs = Object::new(ObjectRef::new(Kind::VirtualService, "shop", "theirs")).with(
        "spec",
        json!({"hosts": ["a"], "gateways": ["kyma-mtls-gateway"]}),
    );
    let outcome = run_with(&purge(), &mut fake, usize::MAX, |fake| {
        fake.put(&theirs);
    });
    let failure = outcome.unwrap().unwrap_err();
    let told = failure.what_to_do().join("\n");
    assert!(
        told.contains("deleted so far: APIRule shop/httpbin-mtls"),
        "{told}"
    );
    assert!(
        failure
            .to_string()
            .contains("in use by VirtualService shop/theirs"),
        "{failure}"
    );
    assert!(fake.objects.contains_key(&own_gateway().reference()));
}

#[test]
fn what_cannot_be_read_counts_as_a_user() {
    let damaged = |kind, spec| Object::new(ObjectRef::new(kind, "team", "odd")).with("spec", spec);
    for (object, said) in [
        (
            damaged(Kind::Gateway, json!({"servers": "none"})),
            "it may use",
        ),
        (
            damaged(Kind::VirtualService, json!({"gateways": 7})),
            "it cannot be read",
        ),
        (
            damaged(Kind::ApiRule, json!({"hosts": 7})),
            "it cannot be read",
        ),
        (
            damaged(Kind::Certificate, json!({"secretName": 7})),
            "it may be the one that fills",
        ),
    ] {
        let mut fake = exposed(&own_gateway());
        fake.put(&object);
        refused(&purge(), &mut fake, said);
    }
}

#[test]
fn an_object_that_took_the_place_of_one_written_down_stays() {
    let names = CredentialNames::further(&own_gateway());
    let mut fake = exposed(&own_gateway());
    // The note, the route, the Gateway.
    assert!(run_with(&purge(), &mut fake, 3, |_| {}).is_none());
    let another = secret(names.credential());
    fake.objects.remove(another.reference());
    fake.put(&another.with_label(ISSUED_LABEL, "true"));
    run(&purge(), &mut fake).unwrap();
    assert_eq!(
        left(&fake),
        [format!("Secret {INGRESS_NAMESPACE}/{}", names.credential())]
    );
}

#[test]
fn without_purge_the_secrets_stay_and_without_gateway_too_all_but_the_route() {
    let mut fake = exposed(&own_gateway());
    let request = Request {
        purge: false,
        ..purge()
    };
    run(&request, &mut fake).unwrap();
    assert_eq!(left(&fake).len(), 2, "{:?}", left(&fake));
    let mut fake = exposed(&own_gateway());
    let request = Request {
        gateway_too: false,
        ..request
    };
    run(&request, &mut fake).unwrap();
    assert_eq!(fake.writes, ["delete APIRule shop/httpbin-mtls"]);
}

#[test]
fn a_purge_says_what_stays_and_how_to_remove_it() {
    let mut fake = exposed(&own_gateway());
    let names = CredentialNames::further(&own_gateway());
    fake.put(&Object::new(names.state()));
    fake.put(&crate::resources::sample::service("shop"));
    let request = Request {
        dry_run: true,
        ..purge()
    };
    let report = run(&request, &mut fake).unwrap();
    assert_eq!(fake.writes, Vec::<String>::new());
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
