//! Faults of the guards on the ingress gateway, and of further servers that they close.

use super::*;
use crate::pki::bundle::Bundle;
use crate::plan::expose::Allow;
use crate::plan::testing::foreign_ca;
use crate::resources::environment::mesh_config;
use crate::resources::guard::{Clients, headers_reference, host_reference};
use crate::resources::names::{CLIENTS_ANNOTATION, FIELD_MANAGER, MANAGED_BY};

const ERROR: Severity = Severity::Error;

fn header_guard() -> ObjectRef {
    headers_reference(
        "istio-system",
        &GatewayName::new("shop", "kyma-mtls-gateway"),
    )
}

fn host_guard() -> ObjectRef {
    host_reference("istio-system", "shop", "httpbin")
}

/// With an allow-list, which the host guard holds.
fn listed(mut cluster: Cluster) -> Cluster {
    let mut request = exposure(&cluster);
    request.access.allow = Allow::Only(vec!["alice".to_owned()]);
    cluster.run(&request).unwrap();
    assert_eq!(findings(&mut cluster), []);
    cluster
}

#[test]
fn a_guard_that_is_gone() {
    for cluster in both() {
        let mut cluster = listed(cluster);
        for guard in [header_guard(), host_guard()] {
            remove(&mut cluster, &guard);
            only_until_repaired(&mut cluster, "guard/missing", ERROR);
        }
    }
}

/// Adds the guard of another Service for the same host, with this allow-list.
fn add_former(cluster: &mut Cluster, clients: &Value) {
    let former = host_reference("istio-system", "shop", "former");
    let mut spec = cluster.objects[&host_guard()].body()["spec"].clone();
    spec["rules"][0]["from"][0]["source"]["notPrincipals"] = clients.clone();
    let guard = Object::new(former).with_label(MANAGED_BY, FIELD_MANAGER);
    add(cluster, &guard.with("spec", spec));
}

#[test]
fn a_guard_of_a_service_that_is_not_behind_the_host_any_more() {
    for cluster in both() {
        for (clients, severity) in [
            (json!(["kyma-mtls-clients/bob"]), ERROR),
            (json!(["kyma-mtls-clients/alice"]), Severity::Warning),
            (json!(["*"]), Severity::Warning),
        ] {
            let mut cluster = listed(cluster.clone());
            add_former(&mut cluster, &clients);
            let finding = only_until_repaired(&mut cluster, "guard/left-over", severity);
            assert!(
                finding.seen.contains("shop-former-mtls-"),
                "{}",
                finding.seen
            );
        }
    }
}

#[test]
fn the_guard_of_another_route_is_its_own() {
    let mut cluster = listed(plain());
    add_former(&mut cluster, &json!(["kyma-mtls-clients/bob"]));
    let route = cluster.objects[&own_route(&cluster)].clone();
    let mut spec = route.body()["spec"].clone();
    spec["hosts"] = json!(["other.example.org"]);
    spec["gateways"] = json!(["shop/other"]);
    let name = ObjectRef::new(Kind::VirtualService, "shop", "former-mtls");
    add(&mut cluster, &Object::new(name).with("spec", spec));
    let ids: Vec<&str> = findings(&mut cluster).iter().map(|(id, _)| *id).collect();
    assert!(!ids.contains(&"guard/left-over"), "{ids:?}");
}

#[test]
fn a_guard_that_was_changed() {
    for cluster in both() {
        let mut cluster = listed(cluster);
        for guard in [header_guard(), host_guard()] {
            for (field, value) in [
                ("action", json!("AUDIT")),
                ("rules", json!([])),
                ("selector", json!({"matchLabels": {"app": "other"}})),
            ] {
                edit(&mut cluster, &guard, |spec| spec[field] = value);
                only_until_repaired(&mut cluster, "guard/weakened", ERROR);
            }
            let trial = cluster.objects[&guard].clone();
            add(
                &mut cluster,
                &trial.with_annotation("istio.io/dry-run", "true"),
            );
            only_until_repaired(&mut cluster, "guard/weakened", ERROR);
        }
    }
}

/// Adds a server to the Gateway.
fn further(cluster: &mut Cluster, hosts: &Value, port: &Value, tls: &Value) {
    edit(cluster, &own_gateway(), |spec| {
        let server = json!({"hosts": hosts, "port": port, "tls": tls});
        spec["servers"].as_array_mut().unwrap().push(server);
    });
}

#[test]
fn a_further_server_of_the_gateway_with_other_trust() {
    let https = |number: u16| json!({"name": "more", "number": number, "protocol": "HTTPS"});
    let http = json!({"name": "more", "number": 80, "protocol": "HTTP"});
    let simple = json!({"mode": "SIMPLE", "credentialName": "kyma-mtls"});
    for mut cluster in both() {
        for (port, tls) in [(https(8443), &simple), (http.clone(), &Value::Null)] {
            let mut cluster = cluster.clone();
            let own = cluster.objects[&own_gateway()].body()["spec"]["servers"][0]["hosts"].clone();
            further(&mut cluster, &own, &port, tls);
            let finding = only(&mut cluster, "gateway/other-server", ERROR);
            assert!(finding.remedy.ends_with("--guard"), "{}", finding.remedy);
        }
        let own = cluster.objects[&own_gateway()].body()["spec"]["servers"][0]["hosts"].clone();
        let redirect = json!({"httpsRedirect": true});
        further(&mut cluster, &own, &http, &redirect);
        assert_eq!(findings(&mut cluster), []);
        // A header bypasses the redirect where a proxy, or all of the mesh, takes clients for proxies in front.
        let trusting = json!({"gatewayTopology": {"numTrustedProxies": 1}});
        let mut by_pod = cluster.clone();
        let pod = cluster.proxy_pods().remove(0);
        super::dns::edit(&mut by_pod, &pod, |body| {
            let annotations = &mut body["metadata"]["annotations"];
            annotations["proxy.istio.io/config"] = trusting.to_string().into();
        });
        let mut by_mesh = cluster;
        let mesh = json!({"defaultConfig": trusting}).to_string();
        let mesh = Object::new(mesh_config()).with("data", json!({"mesh": mesh}));
        add(&mut by_mesh, &mesh);
        for mut cluster in [by_pod, by_mesh] {
            let finding = only(&mut cluster, "gateway/other-server", ERROR);
            assert!(finding.seen.contains("X-Forwarded-Proto"), "{finding:?}");
        }
    }
}

#[test]
fn a_tcp_server_that_came_after_the_guards() {
    for cluster in both() {
        let mut cluster = listed(cluster);
        let port = json!({"name": "db", "number": 443, "protocol": "TLS"});
        let server =
            json!({"hosts": ["db.example.org"], "port": port, "tls": {"mode": "PASSTHROUGH"}});
        let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [server]});
        let name = GatewayName::new("team", "db").reference();
        add(&mut cluster, &Object::new(name).with("spec", spec));
        only_until_repaired(&mut cluster, "guard/cuts-others", ERROR);
    }
}

/// A listener of the Kubernetes Gateway API on the proxies behind the Service of the default ingress gateway.
fn kubernetes_gateway() -> Object {
    let address = "istio-ingressgateway.istio-system.svc.cluster.local";
    let listener = json!({
        "name": "db", "port": 443, "protocol": "TLS", "hostname": "db.example.org",
        "tls": {"mode": "Passthrough"},
    });
    let spec = json!({
        "addresses": [{"type": "Hostname", "value": address}], "listeners": [listener],
    });
    let name = ObjectRef::new(Kind::KubernetesGateway, "team", "db");
    Object::new(name).with("spec", spec)
}

#[test]
fn a_tls_listener_of_the_kubernetes_gateway_api_that_came_after_the_guards() {
    for cluster in both() {
        let mut cluster = listed(cluster);
        add(&mut cluster, &kubernetes_gateway());
        let finding = only_until_repaired(&mut cluster, "guard/cuts-others", ERROR);
        assert!(
            finding.seen.contains("server `db` (port 443"),
            "{}",
            finding.seen
        );
    }
}

#[test]
fn kubernetes_gateways_that_could_not_be_listed_beside_a_host_guard() {
    for cluster in both() {
        let mut cluster = listed(cluster);
        let query = crate::plan::probe::kubernetes_gateways();
        let denied = crate::plan::Seen::Denied("you cannot list them".to_owned());
        cluster.fixed.insert(query, denied);
        only(&mut cluster, "guard/not-checked", Severity::Unknown);
    }
}

#[test]
fn without_the_header_guard_clients_of_an_external_ca_forge_headers_which_the_guard_ends() {
    let mut cluster = Cluster::kyma();
    let ca = foreign_ca();
    let given = Bundle::of([ca.certificate().clone()]).unwrap();
    let mut first = exposure(&cluster);
    first.client_ca = Some(given);
    cluster.run(&first).unwrap();
    cluster.load();
    let before = findings(&mut cluster);
    remove(&mut cluster, &header_guard());
    let report = report(&mut cluster);
    let missing = report.findings.iter();
    let missing: Vec<_> = missing
        .filter(|finding| finding.check.id == "guard/missing")
        .collect();
    assert_eq!(missing.len(), 1);
    let below: Vec<_> = missing[0]
        .consequences
        .iter()
        .map(|one| one.check.id)
        .collect();
    assert_eq!(below, ["route/headers-forgeable"]);
    assert_eq!(report.findings.len(), before.len() + 1);
}

#[test]
fn a_guard_that_a_proxy_does_not_enforce() {
    for cluster in both() {
        let mut cluster = listed(cluster);
        let guard = cluster.objects[&host_guard()].clone();
        edit(&mut cluster, &host_guard(), |spec| {
            spec["rules"] = json!([]);
        });
        cluster.proxies.lagging = vec![1];
        add(&mut cluster, &guard);
        let finding = only_until_repaired(&mut cluster, "guard/not-enforced", ERROR);
        let restart = "kubectl delete pods -n istio-system istio-ingressgateway-2";
        assert_eq!(finding.remedy, restart);
    }
}

#[test]
fn a_route_that_notes_other_clients_than_its_guard_admits() {
    for cluster in both() {
        let mut cluster = listed(cluster);
        let route = cluster.objects[&own_route(&cluster)].clone();
        let other = Clients::Listed(["spiffe://kyma-mtls-clients/bob".to_owned()].into());
        add(
            &mut cluster,
            &route.with_annotation(CLIENTS_ANNOTATION, &other.annotation()),
        );
        only_until_repaired(&mut cluster, "guard/differs", Severity::Warning);
    }
}

#[test]
fn without_any_guard_clients_of_an_external_ca_forge_headers() {
    let mut cluster = kyma();
    let mut state = cluster.state();
    state.external.push(foreign_ca().certificate().clone());
    cluster.put(&state.object());
    let route = cluster.objects[&own_route(&cluster)].clone();
    add(&mut cluster, &route.without_label(MANAGED_BY));
    remove(&mut cluster, &header_guard());
    let report = report(&mut cluster);
    let mut findings = report.findings.iter();
    let forgeable = findings.find(|finding| finding.check.id == "route/headers-forgeable");
    let forgeable = forgeable.unwrap_or_else(|| panic!("{:#?}", report.findings));
    assert_eq!(forgeable.severity, Severity::Warning);
    assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
    count("made", forgeable.check.id);
    count("named", forgeable.check.id);
    remedies::ends(&cluster, forgeable);
}
