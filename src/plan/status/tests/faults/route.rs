//! Faults of the route, of what Kyma makes of it, and of other ways to the Service.

mod api_rule;
mod destination_rule;
mod forwarding;
mod virtual_service;

use super::*;
use crate::resources::environment::{kyma_istio, mesh_config};
use crate::resources::names::MANAGED_BY;

const ERROR: Severity = Severity::Error;

/// The `VirtualService` that Kyma made for our route.
fn made() -> ObjectRef {
    ObjectRef::new(Kind::VirtualService, "shop", "httpbin-mtls-x7k2p")
}

fn set_status(cluster: &mut Cluster, name: &ObjectRef, status: &Value) {
    let object = cluster.objects[name].clone().with("status", status.clone());
    cluster.put(&object);
}

#[test]
fn a_route_that_its_controller_has_given_up_is_taken_up_again() {
    let mut cluster = kyma();
    let route = own_route(&cluster);
    let words = "Validation errors: Attribute '.spec.hosts[0]': Host is occupied by another Virtual Service";
    set_status(
        &mut cluster,
        &route,
        &json!({"state": "Error", "description": words}),
    );
    let finding = only_until_repaired(&mut cluster, "route/failed", ERROR);
    assert!(finding.seen.ends_with(words), "{}", finding.seen);
}

#[test]
fn a_pod_without_sidecar_is_told_by_its_api_rule_only() {
    let mut cluster = kyma();
    let route = own_route(&cluster);
    let words = "Validation errors: Pod shop/httpbin-1 is not injected with istio-proxy";
    set_status(
        &mut cluster,
        &route,
        &json!({"state": "Error", "description": words}),
    );
    let pod = ObjectRef::new(Kind::Pod, "shop", "httpbin-1");
    edit(&mut cluster, &pod, |spec| {
        spec["containers"] = json!([{"name": "app"}]);
    });
    let finding = only(&mut cluster, "route/failed", ERROR);
    assert!(finding.seen.ends_with(words), "{}", finding.seen);
}

#[test]
fn a_route_for_a_host_that_its_gateway_does_not_have() {
    for mut cluster in both() {
        let route = own_route(&cluster);
        edit(&mut cluster, &route, |spec| {
            let host = spec["hosts"][0].as_str().unwrap();
            spec["hosts"][0] = host.replace("example", "exmaple").into();
        });
        let finding = only_until_repaired(&mut cluster, "route/host-outside-gateway", ERROR);
        assert!(finding.seen.contains("exmaple"), "{}", finding.seen);
    }
}

#[test]
fn a_route_on_another_gateway() {
    let web = json!({
        "selector": {"istio": "ingressgateway"},
        "servers": [{
            "hosts": ["*.example.com"], "tls": {"mode": "SIMPLE", "credentialName": "kyma-mtls"},
            "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
        }],
    });
    for mut cluster in both() {
        let route = own_route(&cluster);
        let is_kyma = route.kind == Kind::ApiRule;
        let other = if is_kyma {
            "kyma-system/kyma-gateway"
        } else {
            "team/web"
        };
        if !is_kyma {
            let name = GatewayName::new("team", "web").reference();
            add(&mut cluster, &Object::new(name).with("spec", web.clone()));
        }
        for named in [other, "shop/gone"] {
            let mut cluster = cluster.clone();
            edit(&mut cluster, &route, |spec| {
                let field = if is_kyma { "gateway" } else { "gateways" };
                spec[field] = if is_kyma {
                    named.into()
                } else {
                    json!([named])
                };
            });
            if is_kyma {
                let status = json!({"state": "Error", "description": "what it says"});
                set_status(&mut cluster, &route, &status);
                let report = report(&mut cluster);
                let [cause] = report.findings.as_slice() else {
                    panic!("{:#?}", report.findings);
                };
                assert!(cause.consequences[0].seen.ends_with("what it says"));
            }
            let finding = only_until_repaired(&mut cluster, "route/wrong-gateway", ERROR);
            assert!(finding.seen.contains(named), "{}", finding.seen);
            assert_eq!(
                finding.remedy,
                "kubectl mtls expose httpbin -n shop --gateway shop/kyma-mtls-gateway"
            );
        }
    }
}

#[test]
fn a_route_that_sets_no_identity_headers() {
    for mut cluster in both() {
        let route = own_route(&cluster);
        edit(&mut cluster, &route, |spec| match route.kind {
            Kind::ApiRule => spec["rules"][0]["request"]["headers"] = json!({}),
            _ => spec["http"][0]["headers"] = json!({}),
        });
        only_until_repaired(&mut cluster, "route/headers-missing", ERROR);
    }
}

/// What demands a token of every request (<https://github.com/kyma-project/api-gateway>, `apis/gateway/v2/apirule_types.go`).
fn jwt() -> Value {
    let issuer = "https://idp.example.com";
    json!({"authentications": [{"issuer": issuer, "jwksUri": format!("{issuer}/keys")}]})
}

#[test]
fn an_api_rule_that_demands_more_than_a_certificate() {
    for (field, value) in [("jwt", jwt()), ("extAuth", json!({"authorizers": ["opa"]}))] {
        let mut cluster = kyma();
        let route = own_route(&cluster);
        edit(&mut cluster, &route, |spec| {
            let rule = spec["rules"][0].as_object_mut().unwrap();
            rule.remove("noAuth");
            rule.insert(field.to_owned(), value);
        });
        let finding = only_until_repaired(&mut cluster, "route/edited", ERROR);
        assert!(
            finding.seen.contains(&format!("`{field}`")),
            "{}",
            finding.seen
        );
        let rule = &cluster.objects[&route].body()["spec"]["rules"][0];
        assert_eq!(
            (&rule["noAuth"], &rule[field]),
            (&json!(true), &Value::Null)
        );
    }
}

#[test]
fn the_token_that_an_api_rule_of_others_demands_is_theirs_to_decide() {
    let mut cluster = kyma();
    let route = own_route(&cluster);
    let object = cluster.objects[&route].clone();
    add(&mut cluster, &object.without_label(MANAGED_BY));
    let before = findings(&mut cluster);
    edit(&mut cluster, &route, |spec| {
        let rule = spec["rules"][0].as_object_mut().unwrap();
        rule.remove("noAuth");
        rule.insert("jwt".to_owned(), jwt());
    });
    let made = ObjectRef::new(Kind::AuthorizationPolicy, "shop", "httpbin-mtls-x7k2p");
    edit(&mut cluster, &made, |spec| {
        spec["rules"][0]["from"][0]["source"]["requestPrincipals"] = json!(["https://idp/*"]);
    });
    assert_eq!(findings(&mut cluster), before);
}

#[test]
fn an_identity_header_that_is_set_to_something_else() {
    for mut cluster in both() {
        let route = own_route(&cluster);
        edit(&mut cluster, &route, |spec| {
            let headers = match route.kind {
                Kind::ApiRule => &mut spec["rules"][0]["request"]["headers"],
                _ => &mut spec["http"][0]["headers"]["request"]["set"],
            };
            headers["X-CLIENT-SSL-SAN"] = "nobody".into();
        });
        only_until_repaired(&mut cluster, "route/headers-missing", ERROR);
    }
}

#[test]
fn a_port_that_the_service_does_not_have() {
    for mut cluster in both() {
        let route = own_route(&cluster);
        edit(&mut cluster, &route, |spec| match route.kind {
            Kind::ApiRule => spec["service"]["port"] = 8001.into(),
            _ => spec["http"][0]["route"][0]["destination"]["port"]["number"] = 8001.into(),
        });
        only_until_repaired(&mut cluster, "service/no-port", ERROR);
    }
}

#[test]
fn a_service_that_is_gone() {
    for mut cluster in both() {
        remove(
            &mut cluster,
            &ObjectRef::new(Kind::Service, "shop", "httpbin"),
        );
        let finding = only(&mut cluster, "service/missing", ERROR);
        let command = "`kubectl mtls unexpose httpbin -n shop`";
        assert!(finding.remedy.ends_with(command), "{}", finding.remedy);
    }
}

#[test]
fn another_api_rule_to_the_same_service_without_mutual_tls() {
    let service = json!({"name": "httpbin", "namespace": "shop", "port": 8000});
    let rule = json!({"path": "/*", "methods": ["GET"], "noAuth": true});
    let mut with_service = rule.clone();
    with_service["service"] = service.clone();
    for (namespace, host, spec) in [
        (
            "shop",
            "open.c-1.kyma.example.com",
            json!({"service": service, "rules": [rule]}),
        ),
        ("shop", "open", json!({"service": service, "rules": [rule]})),
        ("team", "open", json!({"service": service, "rules": [rule]})),
        ("team", "open", json!({"rules": [with_service]})),
    ] {
        let mut cluster = kyma();
        let name = ObjectRef::new(Kind::ApiRule, namespace, "open");
        let mut spec = spec.clone();
        spec["gateway"] = "kyma-system/kyma-gateway".into();
        spec["hosts"] = json!([host]);
        add(&mut cluster, &Object::new(name).with("spec", spec));
        let finding = only_until_repaired(&mut cluster, "external-route/open", ERROR);
        assert!(finding.seen.contains(&format!("APIRule {namespace}/open")));
    }
}

/// What somebody does to the entries of a route.
type Change = Box<dyn Fn(&mut Value)>;

#[test]
fn a_route_that_the_gateways_proxies_do_not_see() {
    for (mut cluster, route) in [(kyma(), made()), (plain(), own_route(&plain()))] {
        for hidden in [json!(["."]), json!(["team"])] {
            edit(&mut cluster, &route, |spec| spec["exportTo"] = hidden);
            only_until_repaired(&mut cluster, "route/not-exported", ERROR);
        }
        for seen in [json!(["*"]), json!([".", "istio-system"])] {
            edit(&mut cluster, &route, |spec| spec["exportTo"] = seen);
            assert_eq!(findings(&mut cluster), []);
        }
    }
}

#[test]
fn a_service_that_the_gateways_proxies_do_not_see() {
    for mut cluster in both() {
        let service = ObjectRef::new(Kind::Service, "shop", "httpbin");
        for (said, is_fault) in [
            (".", true),
            ("~", true),
            ("*", false),
            (".,istio-system", false),
        ] {
            let object = cluster.objects[&service].clone();
            let exported = object.with_annotation("networking.istio.io/exportTo", said);
            add(&mut cluster, &exported);
            if !is_fault {
                assert_eq!(findings(&mut cluster), [], "{said}");
                continue;
            }
            let finding = only(&mut cluster, "service/not-exported", ERROR);
            assert_eq!(
                finding.remedy,
                "kubectl annotate services -n shop httpbin networking.istio.io/exportTo-"
            );
        }
    }
}

#[test]
fn a_port_of_the_service_that_is_not_tcp() {
    for mut cluster in both() {
        let service = ObjectRef::new(Kind::Service, "shop", "httpbin");
        edit(&mut cluster, &service, |spec| {
            spec["ports"][0]["protocol"] = "UDP".into();
        });
        only(&mut cluster, "service/no-port", ERROR);
    }
}

#[test]
fn an_api_rule_that_goes_is_told() {
    let mut cluster = kyma();
    let route = own_route(&cluster);
    super::dns::edit(&mut cluster, &route, |body| {
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    });
    only(&mut cluster, "route/failed", ERROR);
}

#[test]
fn a_host_without_a_route_names_the_only_service_that_it_can_be_for() {
    for mut cluster in both() {
        let is_route = |name: &ObjectRef| matches!(name.kind, Kind::ApiRule | Kind::VirtualService);
        cluster.objects.retain(|name, _| !is_route(name));
        cluster.load();
        let mut several = cluster.clone();
        let finding = only_until_repaired(&mut cluster, "route/none", Severity::Warning);
        let command = "kubectl mtls expose httpbin -n shop --gateway shop/kyma-mtls-gateway";
        assert!(finding.remedy.starts_with(command), "{}", finding.remedy);
        let other = ObjectRef::new(Kind::Service, "shop", "other");
        add(
            &mut several,
            &Object::new(other).with("spec", json!({"ports": [{"port": 80}]})),
        );
        let finding = only(&mut several, "route/none", Severity::Warning);
        assert_eq!(finding.remedy, "kubectl get services -n shop");
    }
}
