//! What stands in the way stops a run before its first write, and is named.

use super::several::findings;
use super::*;
use crate::resources::guard::host_reference;
use crate::resources::names::MANAGED_BY;
use crate::resources::route::Routing;
use crate::resources::{Kind, Object, ObjectRef, guard};

/// Asserts that a run is refused without a write, and names what stands in its way.
#[track_caller]
fn refused(cluster: &mut Cluster, request: &Request, named: &str) {
    cluster.writes.clear();
    let failure = cluster.run(request).unwrap_err();
    assert!(failure.to_string().contains(named), "{failure}");
    assert_eq!(cluster.writes, Vec::<String>::new(), "{failure}");
}

fn server(hosts: &[&str], port: u16, tls: &serde_json::Value) -> serde_json::Value {
    let port = json!({"name": "theirs", "number": port, "protocol": "HTTPS"});
    json!({"hosts": hosts, "port": port, "tls": tls})
}

fn their_gateway(host: &str, mode: &str) -> Object {
    let tls = json!({"mode": mode, "credentialName": "theirs"});
    let selector = json!({"istio": "ingressgateway"});
    let spec = json!({"selector": selector, "servers": [server(&[host], 443, &tls)]});
    Object::new(GatewayName::new("team", "theirs").reference()).with("spec", spec)
}

#[test]
fn another_gateway_with_the_host() {
    for (mut cluster, request, host) in both() {
        for mode in ["MUTUAL", "SIMPLE"] {
            cluster.put(&their_gateway(&host, mode));
            refused(&mut cluster, &request, "`team/theirs`");
        }
    }
}

#[test]
fn a_server_before_the_mutual_tls_one_with_the_same_host() {
    for (mut cluster, request, host) in both() {
        let name = GatewayName::new("team", "theirs");
        let tls = |mode: &str| json!({"mode": mode, "credentialName": "theirs"});
        let mut servers = ["SIMPLE", "MUTUAL"].map(|mode| server(&[&host], 443, &tls(mode)));
        servers[1]["port"]["name"] = "second".into();
        let selector = crate::resources::ingress::default_selector();
        let spec = json!({"selector": selector, "servers": servers});
        cluster.put(&Object::new(name.reference()).with("spec", spec));
        let request = Request {
            gateway: Some(name),
            host: Some(host.clone()),
            ..request
        };
        refused(&mut cluster, &request, "in mode `SIMPLE`, not MUTUAL");
        let hints = cluster.run(&request).unwrap_err().what_to_do().join("\n");
        assert!(
            hints.contains("server `second` (port 443, HTTPS MUTUAL)"),
            "{hints}"
        );
        assert!(
            hints.contains("kubectl edit gateways.networking.istio.io -n team theirs"),
            "{hints}"
        );
    }
}

#[test]
fn a_gateway_with_names_that_no_object_can_have() {
    for (mut cluster, request, host) in both() {
        run(&mut cluster, &request, &host);
        let name = GatewayName::new("shop", "kyma-mtls-gateway").reference();
        let own = cluster.objects[&name].clone();
        for field in ["credentialName", "caCertCredentialName"] {
            let mut spec = own.at(&["spec"]).unwrap().clone();
            spec["servers"][0]["tls"][field] = "../configmaps/x".into();
            cluster.put(&own.clone().with("spec", spec));
            let says = format!("`{field}` of the Gateway `shop/kyma-mtls-gateway`");
            refused(&mut cluster, &request, &says);
            let hints = cluster.run(&request).unwrap_err().what_to_do().join("\n");
            let edit = "kubectl edit gateways.networking.istio.io -n shop kyma-mtls-gateway";
            assert!(hints.contains(edit), "{hints}");
        }
    }
}

#[test]
fn a_route_of_others_with_the_host() {
    for (mut cluster, request, host) in both() {
        let spec = json!({"hosts": [host], "gateways": ["team/theirs"]});
        let route = ObjectRef::new(Kind::VirtualService, "team", "theirs");
        cluster.put(&Object::new(route).with("spec", spec));
        refused(&mut cluster, &request, "VirtualService team/theirs");
    }
}

#[test]
fn another_server_of_the_gateway_that_serves_the_host_with_other_trust() {
    for (mut cluster, request, host) in both() {
        run(&mut cluster, &request, &host);
        let name = GatewayName::new("shop", "kyma-mtls-gateway").reference();
        let own = cluster.objects[&name].clone();
        let tls = own.at(&["spec"]).unwrap()["servers"][0]["tls"].clone();
        let mut careless = tls.clone();
        careless["insecureSkipVerify"] = true.into();
        let mut other_ca = tls.clone();
        other_ca["caCertCredentialName"] = "theirs".into();
        let of = |protocol: &str, tls: serde_json::Value| {
            let mut server = server(&[&host], 8443, &tls);
            server["port"]["protocol"] = protocol.into();
            server
        };
        let simple = json!({"mode": "SIMPLE", "credentialName": "kyma-mtls"});
        let optional = json!({"mode": "OPTIONAL_MUTUAL", "credentialName": "kyma-mtls"});
        for other in [
            of("HTTPS", simple),
            of("HTTPS", optional),
            of("HTTPS", json!({"mode": "ISTIO_MUTUAL"})),
            of("HTTPS", careless),
            of("HTTPS", other_ca),
            of("HTTP", json!(null)),
            of("HTTP2", json!(null)),
            of("GRPC", json!(null)),
        ] {
            let mut spec = own.at(&["spec"]).unwrap().clone();
            spec["servers"].as_array_mut().unwrap().push(other);
            cluster.put(&own.clone().with("spec", spec));
            refused(&mut cluster, &request, "server `theirs`");
        }
    }
}

#[test]
fn an_occupied_name() {
    let policy = |reference| {
        let spec = json!({"action": "DENY", "rules": [{}]});
        Object::new(reference).with("spec", spec)
    };
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
    let named = |kind, namespace, name| Object::new(ObjectRef::new(kind, namespace, name));
    let pem = crate::plan::testing::foreign_ca().certificate().pem();
    for object in [
        policy(guard::host_reference("istio-system", "shop", "httpbin")),
        policy(guard::headers_reference("istio-system", &gateway)),
        named(Kind::Secret, "istio-system", "kyma-mtls"),
        named(Kind::Certificate, "istio-system", "domain-certificate").with(
            "spec",
            json!({"commonName": "a.example.com", "secretName": "theirs"}),
        ),
        named(Kind::ApiRule, "shop", "httpbin-mtls").with(
            "spec",
            json!({"hosts": ["a.example.com"], "gateway": "team/theirs", "rules": []}),
        ),
        named(Kind::Secret, "istio-system", "kyma-mtls-cacert").with("data", {
            use base64::Engine;
            let encoded = base64::engine::general_purpose::STANDARD.encode(&pem);
            json!({"cacert": encoded})
        }),
    ] {
        let mut cluster = Cluster::kyma();
        cluster.controllers = Controllers::default();
        cluster.put(&object);
        let name = object.reference().to_string();
        refused(&mut cluster, &expose_request(), &name);
    }
}

#[test]
fn a_field_of_another_manager() {
    for (mut cluster, request, host) in both() {
        run(&mut cluster, &request, &host);
        let name = GatewayName::new("shop", "kyma-mtls-gateway").reference();
        let own = cluster.objects[&name].clone();
        let mut body = own.body().clone();
        body["spec"]["servers"][0]["tls"]["credentialName"] = "theirs".into();
        let entries = body["metadata"]["managedFields"].as_array_mut().unwrap();
        entries.push(json!({
            "manager": "argocd-controller",
            "operation": "Update",
            "fieldsV1": {"f:spec": {"f:servers": {}}},
        }));
        cluster.put(&Object::from_server(Kind::Gateway, body).unwrap());
        refused(&mut cluster, &request, "argocd-controller");
        let forced = Request {
            force_conflicts: true,
            ..request
        };
        cluster.run(&forced).unwrap();
        assert_eq!(cluster.writes, ["apply Gateway shop/kyma-mtls-gateway"]);
    }
}

#[test]
fn a_secret_of_ours_that_a_tool_keeps_is_not_written_again() {
    use crate::plan::testing::foreign_ca;
    use base64::Engine;
    let mark = |object: Object| object.with_annotation("argocd.argoproj.io/tracking-id", "shop");
    let secret = |name| ObjectRef::new(Kind::Secret, "istio-system", name);
    let forced = Request {
        force_conflicts: true,
        ..plain_request()
    };
    let mut cluster = Cluster::plain();
    run(&mut cluster, &plain_request(), HOST);

    // The server certificate: a kept one is used as long as it need not be renewed.
    let mut server = cluster.clone();
    let name = secret("kyma-mtls");
    server.put(&mark(server.objects[&name].clone()));
    server.writes.clear();
    run(&mut server, &plain_request(), HOST);
    assert_eq!(server.writes, Vec::<String>::new());
    server.now += time::Duration::days(365);
    // Nor is another CA made for it.
    for is_ca_lost in [false, true] {
        let mut server = server.clone();
        if is_ca_lost {
            server
                .objects
                .retain(|name, _| !name.name.ends_with("-server-ca"));
        }
        let says = "Argo CD manages Secret istio-system/kyma-mtls,";
        refused(&mut server, &plain_request(), says);
        server.run(&forced).unwrap();
    }

    // The fail-closed Secret: told on a Gateway that stands, refused before a new one.
    let name = secret("kyma-mtls-cacert");
    let pem = foreign_ca().certificate().pem();
    let pem = base64::engine::general_purpose::STANDARD.encode(&pem);
    let changed = mark(cluster.objects[&name].clone()).with("data", json!({"cacert": pem}));
    cluster.put(&changed);
    cluster.writes.clear();
    let report = cluster.run(&plain_request()).unwrap();
    let says = "Argo CD manages Secret istio-system/kyma-mtls-cacert";
    assert!(report.notes.iter().any(|note| note.contains(says)));
    assert_eq!(cluster.writes, Vec::<String>::new());
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
    let mut anew = cluster.clone();
    anew.objects.remove(&gateway);
    refused(&mut anew, &plain_request(), says);
    cluster.run(&forced).unwrap();
    assert!(cluster.objects[&name] != changed);
}

#[test]
fn an_authority_that_a_tool_keeps_is_not_changed_for_a_gateway() {
    let mut cluster = Cluster::kyma();
    cluster.issue("alice");
    let name = crate::resources::names::CredentialNames::first().state();
    let kept = cluster.objects[&name]
        .clone()
        .with_annotation("meta.helm.sh/release-name", "shop");
    cluster.put(&kept);
    let says = format!("Helm manages {name}");
    refused(&mut cluster, &expose_request(), &says);
    let forced = Request {
        force_conflicts: true,
        ..expose_request()
    };
    cluster.run(&forced).unwrap();
    // As long as nothing of it changes, it is used as it is.
    cluster.writes.clear();
    cluster.run(&expose_request()).unwrap();
    assert_eq!(cluster.writes, Vec::<String>::new());
}

#[test]
fn a_guard_that_only_a_mark_says_is_kept_is_not_changed() {
    let allow = |name: &str| Request {
        access: AccessChoice {
            allow: Allow::Only(vec![name.to_owned()]),
            ..AccessChoice::default()
        },
        ..expose_request()
    };
    let mut cluster = Cluster::kyma();
    cluster.run(&allow("spiffe://example.org/ada")).unwrap();
    let guard = host_reference("istio-system", "shop", "httpbin");
    let kept = cluster.objects[&guard]
        .clone()
        .with_annotation("argocd.argoproj.io/tracking-id", "shop");
    cluster.put(&kept);
    let request = allow("spiffe://example.org/ben");
    refused(&mut cluster, &request, &format!("Argo CD manages {guard}"));
    let forced = Request {
        force_conflicts: true,
        ..request.clone()
    };
    cluster.run(&forced).unwrap();
    cluster.writes.clear();
    cluster.run(&request).unwrap();
    assert_eq!(cluster.writes, Vec::<String>::new());
}

/// The route of Kyma's tutorial has no place for our notes: the header guard, which is always ours, has one.
#[test]
fn the_allow_list_of_a_route_of_somebody_else_is_restored_with_its_clients() {
    let (mut cluster, host) = (Cluster::kyma(), default_host());
    let request = expose_request();
    run(&mut cluster, &request, &host);
    let [ada, ben] = ["ada", "ben"].map(|name| {
        let client = cluster.issue(name);
        cluster.certificate(client).clone()
    });
    let name = Routing::ApiRule.reference("shop", "httpbin");
    let route = cluster.objects[&name].clone().without_label(MANAGED_BY);
    cluster.put(&route);
    let allow = |allow| Request {
        access: AccessChoice {
            allow,
            ..AccessChoice::default()
        },
        ..request.clone()
    };
    let only = allow(Allow::Only(vec!["ada".to_owned()]));
    cluster.writes.clear();
    run(&mut cluster, &only, &host);
    let is_of_the_route = |write: &String| write.contains("APIRule");
    assert!(
        !cluster.writes.iter().any(is_of_the_route),
        "{:#?}",
        cluster.writes
    );
    assert_eq!(cluster.statuses(&host, Some(&ben)), [Some(403); 2]);

    let guard = host_reference("istio-system", "shop", "httpbin");
    cluster.objects.remove(&guard).unwrap();
    cluster.load();
    assert_eq!(cluster.statuses(&host, Some(&ben)), [Some(200); 2]);
    let found = findings(&mut cluster).join("\n");
    let says = format!(
        "{guard}, the host guard of `{host}`, does not exist, and AuthorizationPolicy istio-system/shop-kyma-mtls-gateway-mtls-headers-"
    );
    assert!(found.contains(&says), "{found}");
    let report = run(&mut cluster, &request, &host);
    let notes = report.notes.join("\n");
    assert!(
        notes.contains("only these clients may call the host: spiffe://"),
        "{notes}"
    );
    assert_eq!(cluster.statuses(&host, Some(&ben)), [Some(403); 2]);
    assert_eq!(cluster.statuses(&host, Some(&ada)), [Some(200); 2]);
    let written = cluster.writes.len();
    run(&mut cluster, &request, &host);
    assert_eq!(cluster.writes[written..], [] as [&str; 0]);

    // Where the route is gone too, the list still holds for the one that this run makes.
    let mut without = cluster.clone();
    for gone in [&guard, &name] {
        without.objects.remove(gone).unwrap();
    }
    without.load();
    run(&mut without, &request, &host);
    assert_eq!(without.statuses(&host, Some(&ben)), [Some(403); 2]);

    // Where every client may call again, nothing is left of the list.
    let any = allow(Allow::Any);
    let mut any = any;
    any.access.guard = Some(false);
    run(&mut cluster, &any, &host);
    assert_eq!(cluster.statuses(&host, Some(&ben)), [Some(200); 2]);
    run(&mut cluster, &request, &host);
    assert!(!cluster.objects.contains_key(&guard));
}
