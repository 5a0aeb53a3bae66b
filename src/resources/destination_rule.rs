//! Istio's `DestinationRule`: which of them act on the connections of a proxy to a Service, and what they say of them.
//!
//! The rules of istiod (<https://github.com/istio/istio>, `pilot/pkg/model/push_context.go`, `destinationRule` and
//! `setDestinationRules`; `pilot/pkg/model/destination_rule.go`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::http_routes::is_exported;
use super::workload_access::Labels;
use super::{Object, ObjectRef};

/// The domain of a cluster's Services.
const DOMAIN: &str = "svc.cluster.local";

/// The rules with the closest host of a Service, the oldest first: istiod merges them.
pub fn closest<'a>(
    rules: impl Iterator<Item = &'a Object>,
    service: &ObjectRef,
) -> Vec<&'a Object> {
    let matching = rules.filter_map(|rule| Some((closeness(rule, service)?, rule)));
    let matching: Vec<(usize, &Object)> = matching.collect();
    let best = matching.iter().map(|(closeness, _)| *closeness).max();
    let mut found: Vec<&Object> = matching
        .into_iter()
        .filter(|(closeness, _)| Some(*closeness) == best)
        .map(|(_, rule)| rule)
        .collect();
    found.sort_by_key(|rule| (rule.text(&["metadata", "creationTimestamp"]), rule.name()));
    found
}

/// How closely the host of a rule matches a Service; `None` if it is another one. A host with a dot is a full name
/// (`pilot/pkg/model/config.go`, `ResolveShortnameToFQDN`).
fn closeness(rule: &Object, service: &ObjectRef) -> Option<usize> {
    let host = rule.text(&["spec", "host"]);
    let full = |name: &str, namespace: &str| format!("{name}.{namespace}.{DOMAIN}");
    let name = full(&service.name, &service.namespace);
    if let Some(end) = host.strip_prefix('*') {
        return name.ends_with(end).then_some(host.len());
    }
    let is_it = if host.contains('.') {
        // The mesh may have another domain than the default one.
        host.starts_with(&format!("{}.{}.svc.", service.name, service.namespace))
    } else {
        full(host, rule.namespace()) == name
    };
    is_it.then_some(usize::MAX)
}

fn export_to(rule: &Object) -> impl Iterator<Item = &str> {
    let said = rule.at(&["spec", "exportTo"]).and_then(Value::as_array);
    said.into_iter().flatten().filter_map(Value::as_str)
}

/// The rules that count for proxies with these labels, of those that have the closest host: those that select them, else those for all.
pub fn for_proxies<'a>(closest: &[&'a Object], labels: Labels<'_>) -> Vec<&'a Object> {
    let selecting = closest.iter().copied().filter(|rule| {
        let selector = selector(rule);
        selector.is_some() && labels.are_selected_by(selector) == Some(true)
    });
    let selecting: Vec<&Object> = selecting.collect();
    if selecting.is_empty() {
        let for_all = closest.iter().copied();
        for_all.filter(|rule| selector(rule).is_none()).collect()
    } else {
        selecting
    }
}

/// The proxies that a rule is for; `None` for all.
fn selector(rule: &Object) -> Option<&Value> {
    rule.at(&["spec", "workloadSelector"])
}

/// Whether only proxies of the rule's own namespace see it; `by_default` where it does not say so.
pub fn is_private(rule: &Object, by_default: bool) -> bool {
    let is_own = |to: &str| to == "." || to == rule.namespace();
    let mut said = export_to(rule);
    if selector(rule).is_some() {
        return true;
    }
    said.next().map_or(by_default, is_own) && said.next().is_none()
}

/// Whether proxies of the rule's own namespace see it.
pub fn is_local(rule: &Object) -> bool {
    selector(rule).is_some() || is_exported_to(rule, rule.namespace())
}

/// The namespaces that see a rule as its `exportTo` says, and this one.
pub fn exports_with(rule: &Object, namespace: &str) -> Vec<String> {
    let said = export_to(rule).filter(|namespace| *namespace != "~");
    let mut all: Vec<String> = said.map(str::to_owned).collect();
    if all.is_empty() {
        all.push(".".to_owned());
    }
    all.push(namespace.to_owned());
    all
}

/// Whether proxies in a namespace see a rule.
pub fn is_exported_to(rule: &Object, namespace: &str) -> bool {
    is_exported(export_to(rule), rule.namespace(), namespace)
}

/// The TLS mode of merged rules for a port of the Service, with the rule that sets it; that of any port if none is known.
pub fn tls_mode<'a>(rules: &[&'a Object], port: Option<u16>) -> Option<(&'a Object, &'a str)> {
    let mut policies = rules
        .iter()
        .filter_map(|rule| Some((*rule, rule.at(&["spec", "trafficPolicy"])?)));
    let (rule, policy) = policies.next()?;
    let of_ports = policy.get("portLevelSettings").and_then(Value::as_array);
    let of_ports = of_ports.into_iter().flatten();
    let tls = match port {
        // What is said of a port replaces what is said of all.
        Some(port) => of_ports
            .into_iter()
            .find(|settings| settings.pointer("/port/number") == Some(&port.into()))
            .unwrap_or(policy)
            .get("tls"),
        None => of_ports
            .chain([policy])
            .find_map(|settings| settings.get("tls")),
    };
    // What the API takes for no mode.
    let mode = tls?.get("mode").and_then(Value::as_str);
    Some((rule, mode.unwrap_or("DISABLE")))
}

/// The labels of a subset that merged rules define.
pub fn subset(rules: &[&Object], name: &str) -> Option<BTreeMap<String, String>> {
    let subsets = rules
        .iter()
        .filter_map(|rule| rule.at(&["spec", "subsets"])?.as_array());
    let mut subsets = subsets.flatten();
    let found = subsets.find(|known| known.get("name").and_then(Value::as_str) == Some(name))?;
    let labels = found.get("labels").cloned();
    let labels = labels.and_then(|labels| serde_json::from_value(labels).ok());
    Some(labels.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Kind;
    use serde_json::json;

    fn rule(namespace: &str, spec: Value) -> Object {
        Object::new(ObjectRef::new(Kind::DestinationRule, namespace, "a")).with("spec", spec)
    }

    fn httpbin() -> ObjectRef {
        ObjectRef::new(Kind::Service, "shop", "httpbin")
    }

    #[test]
    fn a_rule_is_of_its_host_and_the_closest_host_counts() {
        let of = |namespace: &str, host: &str| {
            let rule = rule(namespace, json!({"host": host}));
            closeness(&rule, &httpbin())
        };
        let closest = of("shop", "httpbin");
        assert!(closest.is_some());
        assert_eq!(
            of("istio-system", "httpbin.shop.svc.cluster.local"),
            closest
        );
        assert_eq!(of("istio-system", "httpbin.shop.svc.corp.example"), closest);
        let wildcards = [
            "*",
            "*.local",
            "*.svc.cluster.local",
            "*.shop.svc.cluster.local",
        ];
        let wildcards = wildcards.map(|host| of("istio-system", host));
        assert!(wildcards.is_sorted() && wildcards[0].is_some() && wildcards[3] < closest);
        for (namespace, host) in [
            ("team", "httpbin"),
            ("shop", "other"),
            // Not a full name, and so none of a Service (`ResolveShortnameToFQDN`).
            ("shop", "httpbin.shop"),
            ("shop", "*.team.svc.cluster.local"),
            ("shop", "*.example.com"),
        ] {
            assert_eq!(of(namespace, host), None, "{namespace}: {host}");
        }
    }

    #[test]
    fn a_subset_is_defined_by_any_of_the_rules() {
        let subsets = json!([{"name": "v2", "labels": {"version": "v2"}}]);
        let one = rule("shop", json!({"host": "httpbin"}));
        let two = rule("shop", json!({"host": "httpbin", "subsets": subsets}));
        let rules = closest([&one, &two].into_iter(), &httpbin());
        assert_eq!(subset(&rules, "v2").unwrap()["version"], "v2");
        assert_eq!(subset(&rules, "v1"), None);
    }

    #[test]
    fn what_is_said_of_a_port_replaces_what_is_said_of_all() {
        let ports = json!([{"port": {"number": 80}, "loadBalancer": {}}]);
        let policy = json!({"tls": {"mode": "DISABLE"}, "portLevelSettings": ports});
        let own = rule("shop", json!({"host": "httpbin", "trafficPolicy": policy}));
        let mode = |port| tls_mode(&[&own], port).map(|(_, mode)| mode);
        assert_eq!(mode(Some(80)), None);
        assert_eq!(mode(Some(8000)), Some("DISABLE"));
        assert_eq!(mode(None), Some("DISABLE"));
    }
}
