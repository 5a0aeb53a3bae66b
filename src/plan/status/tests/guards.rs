//! Guards that were deleted, changed or outrun, and servers through which others get in.

use serde_json::Value;

use super::*;
use crate::resources::names::CLIENTS_ANNOTATION;

fn listed(name: &str) -> Clients {
    Clients::Listed([format!("spiffe://kyma-mtls-clients/{name}")].into())
}

/// A host with both guards as `expose` writes them, and further servers on its Gateway.
struct Guarded {
    cluster: Cluster,
    gateways: Vec<Object>,
}

impl Guarded {
    fn new(further: &[Value]) -> Self {
        let mut cluster = Cluster::healthy();
        let mut spec = gateway("kyma-mtls-gateway").at(&["spec"]).unwrap().clone();
        let servers = spec["servers"].as_array_mut().unwrap();
        servers.extend(further.iter().cloned());
        let own = gateway("kyma-mtls-gateway").with("spec", spec);
        let gateways = vec![own];
        cluster.list(Query::everywhere(Kind::Gateway), gateways.clone());
        let mut guarded = Self { cluster, gateways };
        guarded.note("*");
        let guards = guarded.cluster.guards(&Clients::Any);
        guarded.policies(guards);
        guarded
    }

    /// What the route notes of its clients.
    fn note(&mut self, clients: &str) {
        let route = rule("httpbin", HOST).with_annotation(CLIENTS_ANNOTATION, clients);
        self.cluster.list(Query::everywhere(Kind::ApiRule), [route]);
    }

    fn policies(&mut self, policies: impl IntoIterator<Item = Object>) {
        self.cluster
            .list(crate::plan::status::policies("istio-system"), policies);
    }

    /// A Gateway of somebody else on the same proxies.
    fn add(&mut self, server: &Value) {
        let spec = json!({"selector": default_selector(), "servers": [server]});
        let other = Object::new(GatewayName::new("team", "theirs").reference());
        self.gateways.push(other.with("spec", spec));
        let all = Query::everywhere(Kind::Gateway);
        self.cluster.list(all, self.gateways.clone());
    }

    fn checks(&mut self) -> Vec<Finding> {
        let mut findings = self.cluster.report().findings;
        findings.retain(|finding| {
            let subject = finding.check.id.split('/').next();
            matches!(subject, Some("guard" | "gateway" | "allow-list"))
                && finding.check.id != "guard/not-checked"
        });
        findings
    }
}

fn ids(checks: &[Finding]) -> Vec<(&str, Severity)> {
    checks
        .iter()
        .map(|check| (check.check.id, check.severity))
        .collect()
}

fn edited(guard: &Object, pointer: &str, value: Value) -> Object {
    let mut spec = guard.at(&["spec"]).unwrap().clone();
    *spec.pointer_mut(pointer).unwrap() = value;
    guard.clone().with("spec", spec)
}

#[test]
fn a_host_with_its_guards_has_no_finding() {
    assert_eq!(Guarded::new(&[]).checks(), []);
}

#[test]
fn a_lost_guard_is_an_error_and_one_that_was_never_noted_is_none() {
    let mut guarded = Guarded::new(&[]);
    let [host, headers] = guarded.cluster.guards(&Clients::Any);
    guarded.policies([headers.clone()]);
    let lost = guarded.checks();
    assert_eq!(ids(&lost), [("guard/missing", Severity::Error)]);
    assert!(
        lost[0]
            .seen
            .contains("APIRule shop/httpbin-mtls says that it must"),
        "{lost:#?}"
    );
    assert_eq!(lost[0].remedy, "kubectl mtls expose httpbin -n shop");
    guarded.policies([host]);
    let lost = guarded.checks();
    assert_eq!(ids(&lost), [("guard/missing", Severity::Error)]);
    assert!(lost[0].seen.contains("header guard"), "{lost:#?}");
    guarded
        .cluster
        .list(Query::everywhere(Kind::ApiRule), [rule("httpbin", HOST)]);
    guarded.policies([headers]);
    assert_eq!(guarded.checks(), []);
}

#[test]
fn every_way_to_weaken_a_guard_is_an_error() {
    let mut guarded = Guarded::new(&[]);
    let [host, headers] = guarded.cluster.guards(&Clients::Any);
    let hosts = "/rules/0/to/0/operation/hosts";
    for weakened in [
        edited(
            &host,
            hosts,
            json!(["other.example.com", "other.example.com:*"]),
        ),
        edited(&host, hosts, json!([HOST])),
        edited(&host, "/action", "AUDIT".into()),
        edited(&host, "/selector", json!({"matchLabels": {"app": "other"}})),
        edited(
            &host,
            "/rules/0/from/0/source/notPrincipals",
            json!(["nobody"]),
        ),
        edited(&host, "/rules", json!([])),
        host.clone().with_annotation("istio.io/dry-run", "true"),
        host.clone().with_label("istio.io/rev", "canary"),
    ] {
        guarded.policies([weakened.clone(), headers.clone()]);
        let checks = guarded.checks();
        assert!(
            checks.iter().any(|check| check.severity == Severity::Error),
            "{} {checks:#?}",
            weakened.body()
        );
    }
    guarded.policies([host, edited(&headers, "/rules", json!([]))]);
    assert_eq!(
        ids(&guarded.checks()),
        [("guard/weakened", Severity::Error)]
    );
}

#[test]
fn a_list_that_somebody_opened_is_an_error_and_one_that_differs_a_warning() {
    let mut guarded = Guarded::new(&[]);
    guarded.note("spiffe://kyma-mtls-clients/ada");
    let of = |guarded: &mut Guarded, clients: &Clients| {
        let guards = guarded.cluster.guards(clients);
        guarded.policies(guards);
        let checks = guarded.checks();
        let checks = checks
            .into_iter()
            .filter(|check| check.check.id != "allow-list/nobody");
        checks.collect::<Vec<_>>()
    };
    assert_eq!(of(&mut guarded, &listed("ada")), []);
    let opened = of(&mut guarded, &Clients::Any);
    assert_eq!(ids(&opened), [("guard/weakened", Severity::Error)]);
    assert!(
        opened[0].why.contains("not on the allow-list may call"),
        "{opened:#?}"
    );
    let differs = of(&mut guarded, &listed("ben"));
    assert_eq!(ids(&differs), [("guard/differs", Severity::Warning)]);
    assert!(
        differs[0].why.starts_with("the guard is in force"),
        "{differs:#?}"
    );
}

fn tcp(port: u16) -> Value {
    json!({"hosts": ["*"], "port": {"name": "db", "number": port, "protocol": "TCP"}})
}

#[test]
fn a_tcp_server_that_came_after_the_guard_is_named_and_a_rerun_spares_it() {
    let mut guarded = Guarded::new(&[]);
    guarded.add(&tcp(5432));
    let checks = guarded.checks();
    assert_eq!(checks.len(), 1, "{checks:#?}");
    assert_eq!(ids(&checks), [("guard/cuts-others", Severity::Error)]);
    assert!(
        checks[0]
            .seen
            .ends_with("TCP server `db` (port 5432) of the Gateway team/theirs"),
        "{checks:#?}"
    );
    let renewed = guarded.cluster.guards(&Clients::Any);
    guarded.policies(renewed);
    assert_eq!(guarded.checks(), []);
}

/// Every server that lets a request for the host in past the certificate check.
fn others() -> [Value; 10] {
    let server = |hosts: &str, port: u16, protocol: &str, tls: Value| json!({"hosts": [hosts], "port": {"name": "x", "number": port, "protocol": protocol}, "tls": tls});
    let simple = json!({"mode": "SIMPLE", "credentialName": "kyma-mtls"});
    let optional = json!({"mode": "OPTIONAL_MUTUAL", "credentialName": "kyma-mtls"});
    let other_ca = json!({"mode": "MUTUAL", "credentialName": "theirs"});
    let of_the_mesh = json!({"mode": "ISTIO_MUTUAL"});
    let mut careless =
        json!({"mode": "MUTUAL", "credentialName": "kyma-mtls", "caCertCredentialName": FIELD});
    careless["insecureSkipVerify"] = true.into();
    [
        server(PATTERN, 80, "HTTP", Value::Null),
        server(PATTERN, 80, "HTTP2", Value::Null),
        server(PATTERN, 80, "GRPC", Value::Null),
        server("*.example.com", 443, "HTTPS", of_the_mesh),
        server("*.example.com", 443, "HTTPS", careless),
        server("*.example.com", 443, "HTTPS", simple.clone()),
        server("*", 443, "HTTPS", simple),
        server("*.example.com", 443, "HTTPS", optional),
        server("*.example.com", 443, "HTTPS", other_ca.clone()),
        server(PATTERN, 8443, "HTTPS", other_ca),
    ]
}

#[test]
fn another_server_of_the_gateway_is_an_error_without_a_guard_and_a_warning_behind_one() {
    for server in others() {
        let mut guarded = Guarded::new(std::slice::from_ref(&server));
        let id = "gateway/other-server";
        let checks = |guarded: &mut Guarded| {
            let mut checks = guarded.checks();
            // The server has a finding of its own.
            checks.retain(|check| check.check.id != "gateway/skips-verification");
            checks
        };
        let behind = checks(&mut guarded);
        assert_eq!(ids(&behind), [(id, Severity::Warning)], "{server}");
        let [_, headers] = guarded.cluster.guards(&Clients::Any);
        guarded
            .cluster
            .list(Query::everywhere(Kind::ApiRule), [rule("httpbin", HOST)]);
        guarded.policies([headers]);
        let open = checks(&mut guarded);
        assert_eq!(ids(&open), [(id, Severity::Error)], "{server}");
        assert!(
            open[0]
                .seen
                .contains("of the Gateway shop/kyma-mtls-gateway serves")
        );
        assert_eq!(
            open[0].remedy,
            "kubectl mtls expose httpbin -n shop --guard"
        );
    }
}

#[test]
fn a_guard_that_may_not_be_seen_leaves_it_unknown_whether_it_closes_another_server() {
    let [server, ..] = others();
    let mut guarded = Guarded::new(&[server]);
    guarded
        .cluster
        .deny(crate::plan::status::policies("istio-system"));
    let checks = guarded.checks();
    assert_eq!(ids(&checks), [("gateway/other-server", Severity::Unknown)]);
}

#[test]
fn servers_with_the_same_trust_redirects_and_other_hosts_are_no_finding() {
    let server = |hosts: &str, port: u16, protocol: &str, tls: Value| json!({"hosts": [hosts], "port": {"name": "x", "number": port, "protocol": protocol}, "tls": tls});
    let same =
        json!({"mode": "MUTUAL", "credentialName": "kyma-mtls", "caCertCredentialName": FIELD});
    for harmless in [
        server("more.mtls.example.com", 443, "HTTPS", same.clone()),
        server(PATTERN, 80, "HTTP", json!({"httpsRedirect": true})),
        server(
            "other.mtls.example.com",
            443,
            "HTTPS",
            json!({"mode": "SIMPLE", "credentialName": "x"}),
        ),
    ] {
        let mut guarded = Guarded::new(std::slice::from_ref(&harmless));
        assert_eq!(guarded.checks(), [], "{harmless}");
    }
    // Its clients are the same, but the header guard knows nothing of it yet.
    let mut guarded = Guarded::new(&[server(PATTERN, 8443, "HTTPS", same)]);
    let checks = guarded.checks();
    assert_eq!(ids(&checks), [("guard/weakened", Severity::Error)]);
    assert!(checks[0].seen.contains("the header guard"), "{checks:#?}");
}
