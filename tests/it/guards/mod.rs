//! The guards on the ingress gateway: what comes in past the certificate check or without being listed is denied there, and
//! nothing else is.

mod allow_list;
mod servers;

use kubectl_mtls::resources::guard::{self, IDENTITY_HEADERS, spellings};
use kubectl_mtls::resources::names::{CLIENTS_ANNOTATION, GatewayName};
use sandbox::{Caller, Environment, Fault, Interceptor, Reply, Rule};
use serde_json::{Value, json};

use crate::lab::{
    Desk, Run, call, eventually, let_in, own_namespace, own_namespace_on, plain_job,
    seen_by_application, started,
};
use crate::shop::Shop;

const GATEWAYS: &str = "gateways.networking.istio.io";
const POLICIES: &str = "authorizationpolicies.security.istio.io";

fn host_guard(desk: &Desk) -> String {
    guard::host_reference("istio-system", &desk.namespace, "httpbin").name
}

fn header_guard(desk: &Desk) -> String {
    guard::headers_reference(
        "istio-system",
        &GatewayName::new(&desk.namespace, "kyma-mtls-gateway"),
    )
    .name
}

fn policy(desk: &Desk, name: &str) -> Value {
    desk.get("istio-system", POLICIES, name)
}

fn has_policy(desk: &Desk, name: &str) -> bool {
    let found = [
        "-n",
        "istio-system",
        "get",
        POLICIES,
        name,
        "--ignore-not-found",
        "-o",
        "name",
    ];
    !desk.kubectl(&found, "").is_empty()
}

#[track_caller]
fn status(reply: &Reply) -> u16 {
    match reply {
        Reply::Answered { status, .. } => *status,
        other => panic!("{other:?}"),
    }
}

/// What each replica answers a client.
fn at_each_replica(shop: &Shop, client: &str) -> Vec<u16> {
    let desk = &shop.desk;
    let replicas = desk.instance.replicas().iter();
    let [certificate, key] = ["crt", "key"].map(|suffix| desk.read(&format!("{client}.{suffix}")));
    replicas
        .map(|replica| {
            let caller =
                Caller::careless(replica.tls().to_string()).with_certificate(&certificate, &key);
            status(&call(&caller, &shop.host, &[]))
        })
        .collect()
}

fn expose(shop: &Shop, flags: &[&str]) -> Run {
    shop.desk.run(&[&["expose", "httpbin"], flags].concat())
}

#[test]
fn a_guard_of_the_old_form_gets_the_rules_of_the_new_one() {
    let shop = Shop::open("old-form", &["ada", "ben"]);
    let desk = &shop.desk;
    expose(&shop, &["--allow", "ada"]).exits(0);
    let new = policy(desk, &host_guard(desk))["spec"]["rules"].clone();
    // One rule without conditions on the connection, as earlier versions wrote it.
    let mut old = new[0].clone();
    old.as_object_mut().unwrap().remove("when");
    let patch = json!([{"op": "replace", "path": "/spec/rules", "value": [old]}]).to_string();
    let object = ["-n", "istio-system", "patch", POLICIES, &host_guard(desk)];
    desk.kubectl(&[&object[..], &["--type=json", "-p", &patch]].concat(), "");
    expose(&shop, &[]).exits(0);
    assert_eq!(policy(desk, &host_guard(desk))["spec"]["rules"], new);
    assert_eq!(new.as_array().unwrap().len(), 3);
    assert_eq!(at_each_replica(&shop, "ada"), [200, 200]);
    assert_eq!(at_each_replica(&shop, "ben"), [403, 403]);
}

#[test]
fn a_lost_or_weakened_guard_is_restored_with_its_names() {
    let shop = Shop::open("restored", &["ada", "ben", "zoe"]);
    let desk = &shop.desk;
    expose(&shop, &["--allow", "ada,zoe"]).exits(0);
    let name = host_guard(desk);
    let right = policy(desk, &name)["spec"].clone();
    let in_istio = |arguments: &[&str]| {
        desk.kubectl(&[&["-n", "istio-system"], arguments].concat(), "");
    };
    let patch = |patch: Value| {
        in_istio(&[
            "patch",
            POLICIES,
            &name,
            "--type=json",
            "-p",
            &patch.to_string(),
        ]);
    };
    let is_right = |words: &str| {
        let run = expose(&shop, &[]).exits(0);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(words), "{run:#?}");
        for name in ["/ada", "/zoe"] {
            assert!(said.contains(name), "no `{name}`: {run:#?}");
        }
        assert_eq!(policy(desk, &name)["spec"], right);
        assert_eq!(at_each_replica(&shop, "ben"), [403, 403], "{words}");
        assert_eq!(at_each_replica(&shop, "ada"), [200, 200], "{words}");
    };
    in_istio(&["delete", POLICIES, &name]);
    is_right("only these clients may call the host");
    in_istio(&["annotate", POLICIES, &name, "istio.io/dry-run=true"]);
    is_right("configured");
    let metadata = policy(desk, &name)["metadata"].clone();
    assert!(
        metadata["annotations"].get("istio.io/dry-run").is_none(),
        "{metadata}"
    );
    in_istio(&["label", POLICIES, &name, "istio.io/rev=canary"]);
    is_right("configured");
    for (path, value) in [
        ("/spec/action", json!("AUDIT")),
        ("/spec/selector/matchLabels", json!({"app": "other"})),
        ("/spec/rules/0/from/0/source/notPrincipals", json!(["*"])),
        ("/spec/rules/0/to/0/operation/hosts", json!([shop.host])),
        (
            "/spec/rules/0/to/0/operation/hosts",
            json!(["other.example.com", "other.example.com:*"]),
        ),
        ("/spec/rules", json!([])),
    ] {
        patch(json!([{"op": "replace", "path": path, "value": value}]));
        is_right("configured");
    }
    in_istio(&["delete", POLICIES, &header_guard(desk)]);
    is_right("created");
    assert!(has_policy(desk, &header_guard(desk)));
}

/// A shop in a cluster without Kyma, whose route is a `VirtualService`, and its client.
fn with_virtual_service(purpose: &str) -> (Shop, Caller) {
    let instance = &plain_job().instance;
    let shop = Shop::exposed_in(own_namespace_on(instance, purpose), &[]);
    shop.issue("alice", &[]);
    let [certificate, key, root] =
        ["alice.crt", "alice.key", "server-ca.crt"].map(|name| shop.desk.read(name));
    let caller = Caller::new(instance.connect_to(), &root);
    let alice = caller.with_certificate(&certificate, &key);
    (shop, alice)
}

fn no_spelling_reaches_the_application(shop: &Shop, alice: &Caller) {
    let of_envoy = spellings("X-Forwarded-Client-Cert");
    let of_client = IDENTITY_HEADERS.into_iter().flat_map(spellings);
    // Envoy sets this one itself, and takes none with `-` only from a client.
    let forged: Vec<String> = of_client.chain(of_envoy.into_iter().skip(1)).collect();
    assert_eq!(forged.len(), 31);
    for forged in &forged {
        for value in ["CN=mallory", ""] {
            let reply = call(alice, &shop.host, &[(forged, value)]);
            assert_eq!(status(&reply), 403, "{forged}: {value:?}");
        }
    }
    let capital = call(alice, &shop.host, &[("X-CLIENT_SSL-SAN", "CN=mallory")]);
    assert_eq!(status(&capital), 403);
    let honest = [("X-Client-Ssl", "a"), ("X-Forwarded-For", "10.0.0.1")];
    let headers = seen_by_application(&call(alice, &shop.host, &honest));
    assert_eq!(headers["X-Client-Ssl-Cn"], "CN=alice");
}

#[test]
fn no_spelling_of_an_identity_header_reaches_the_application() {
    let shop = Shop::open("forged", &["alice"]);
    no_spelling_reaches_the_application(&shop, &shop.desk.client("alice"));
}

#[test]
fn no_spelling_of_an_identity_header_comes_through_a_virtual_service() {
    let (shop, alice) = with_virtual_service("forged");
    no_spelling_reaches_the_application(&shop, &alice);
}

/// A header that the route sets from the client's certificate, which holds no DNS name.
const OF_CERTIFICATE: [&str; 2] = ["--header", "X-CLIENT-DNS=%DOWNSTREAM_PEER_DNS_SAN%"];

#[test]
fn a_client_cannot_choose_a_header_that_the_route_sets_from_its_certificate() {
    let shop = Shop::open("chosen", &["alice"]);
    expose(&shop, &OF_CERTIFICATE).exits(0);
    let alice = shop.desk.client("alice");
    for spelling in ["X-CLIENT-DNS", "x_client_dns", "X_CLIENT-DNS"] {
        let reply = call(&alice, &shop.host, &[(spelling, "admin.example.com")]);
        assert_eq!(status(&reply), 403, "{spelling}");
    }
    seen_by_application(&call(&alice, &shop.host, &[]));
}

#[test]
fn a_virtual_service_removes_every_spelling_of_a_header_that_it_sets() {
    let (shop, alice) = with_virtual_service("chosen");
    let chosen = "admin.example.com";
    let comes_through = |spelling: &str| {
        let reply = call(&alice, &shop.host, &[(spelling, chosen)]);
        seen_by_application(&reply).to_string().contains(chosen)
    };
    // Nothing is said of it yet.
    assert!(comes_through("X-CLIENT-DNS"));
    expose(&shop, &OF_CERTIFICATE).exits(0);
    for spelling in spellings("X-CLIENT-DNS") {
        // Each replica takes up the route by itself.
        eventually(&format!("{spelling} is removed"), || {
            (0..4).all(|_| !comes_through(&spelling))
        });
    }
    let long = "X-A-B-C-D-E-F-G=%DOWNSTREAM_PEER_DNS_SAN%";
    expose(&shop, &["--header", long])
        .exits(2)
        .says("`x-a-b-c-d-e-f-g` has more than 6");
}

#[test]
fn who_may_not_write_policies_gets_them_as_yaml_and_goes_on_when_they_stand() {
    let (desk, host) = own_namespace("unprivileged");
    let rules = [
        Rule::in_cluster("", &["*"], &["*"]),
        Rule::in_cluster("networking.istio.io", &["*"], &["*"]),
        Rule::in_cluster("gateway.kyma-project.io", &["*"], &["*"]),
        Rule::in_cluster("cert.gardener.cloud", &["*"], &["*"]),
        Rule::in_cluster("dns.gardener.cloud", &["*"], &["*"]),
        Rule::in_cluster(
            "security.istio.io",
            &["authorizationpolicies"],
            &["get", "list"],
        ),
    ];
    let user = desk.instance.user(&rules).unwrap();
    let limited = desk.with_kubeconfig(&user.kubeconfig);
    // The policies that are missing or wrong, as an administrator can apply them.
    let refused = |arguments: &[&str]| {
        let mark = desk.instance.audit_mark().unwrap();
        let refused = limited
            .run(arguments)
            .exits(2)
            .says("forbidden")
            .says("ask an administrator");
        let events = desk.instance.audit_log_of(&user.name, mark).unwrap();
        assert!(!events.iter().any(|event| event.is_write()
            && !event.dry_run
            && event.resource != "selfsubjectreviews"));
        let yaml = refused.stderr.split_once("apiVersion:").unwrap().1;
        format!("apiVersion:{yaml}")
    };
    let goes_on = |arguments: &[&str], yaml: &str| {
        desk.kubectl(&["apply", "-f", "-"], yaml);
        limited.run(arguments).exits(0);
        let again = limited.run(arguments).exits(0);
        assert!(again.stdout.contains("already up to date"), "{again:#?}");
    };
    let any = ["expose", "httpbin", "--host", &host];
    goes_on(&any, &refused(&any));
    let listed = [&any[..], &["--allow", "spiffe://clients.example.com/ada"]].concat();
    let yaml = refused(&listed);
    assert!(yaml.contains("clients.example.com/ada"), "{yaml}");
    goes_on(&listed, &yaml);
    // One that stands there and is wrong is none.
    let audit = json!([{"op": "replace", "path": "/spec/action", "value": "AUDIT"}]).to_string();
    let patch = ["-n", "istio-system", "patch", POLICIES, &host_guard(&desk)];
    desk.kubectl(&[&patch[..], &["--type=json", "-p", &audit]].concat(), "");
    goes_on(&any, &refused(&any));
    assert_eq!(policy(&desk, &host_guard(&desk))["spec"]["action"], "DENY");
}
