//! Whether an APIRule can be put into effect, in the words of kyma-project/api-gateway `internal/validation/v2alpha1`.

use super::fault::Fault;
use super::owner::is_owned;
use super::paths;
use super::spec::{ApiRule, Gateway, Rule};
use super::surroundings::{Backend, Surroundings};

/// All faults, in the order in which the real controller finds them. It does not look at the Gateway's TLS mode, at whether
/// the Gateway serves the host, nor at the Service's ports.
pub(super) fn faults(rule: &ApiRule, seen: &Surroundings) -> Vec<Fault> {
    let mut faults = rule_faults(rule, &seen.backends);
    faults.extend(host_faults(rule, seen));
    faults.extend(gateway_faults(rule, seen));
    faults
}

fn rule_faults(rule: &ApiRule, backends: &[Backend]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, (each, backend)) in rule.spec.rules.iter().zip(backends).enumerate() {
        let attribute = format!(".spec.rules[{index}]");
        if rule.service(each).is_none() {
            let message =
                "The rule must define a service, because no service is defined on spec level";
            faults.push(Fault::new(format!("{attribute}.service"), message));
        }
        if let Some(jwt) = &each.jwt {
            faults.extend(jwt.faults(&attribute));
        }
        faults.extend(backend_faults(&attribute, backend));
        if let Some(message) = paths::fault(&each.path) {
            faults.push(Fault::new(format!("{attribute}.path"), message));
        }
    }
    faults.extend(hidden_path(&rule.spec.rules));
    faults
}

fn backend_faults(attribute: &str, backend: &Backend) -> Vec<Fault> {
    match backend {
        Backend::Unread(error) => {
            vec![Fault::new(
                attribute,
                format!("Failed to execute sidecar injection validation, err: {error}"),
            )]
        }
        Backend::WithoutSelector => {
            vec![Fault::new(
                format!("{attribute}.injection"),
                "Target service label selectors are not defined",
            )]
        }
        Backend::Selecting {
            without_sidecar, ..
        } => without_sidecar
            .iter()
            .map(|pod| {
                Fault::new(
                    attribute,
                    format!("Pod {pod} does not have an injected istio sidecar"),
                )
            })
            .collect(),
    }
}

fn hidden_path(rules: &[Rule]) -> Option<Fault> {
    rules.iter().enumerate().find_map(|(index, later)| {
        later.methods.iter().find_map(|method| {
            let earlier = rules.get(..index)?.iter().filter(|earlier| earlier.methods.contains(method));
            let hidden = earlier.into_iter().any(|earlier| paths::hides(&earlier.path, &later.path));
            let path = paths::standardize(&later.path);
            hidden.then(|| {
                let message = format!("Path {path} with method {method} conflicts with at least one of the previous rule paths");
                Fault::new(".spec.rules", message)
            })
        })
    })
}

fn host_faults(rule: &ApiRule, seen: &Surroundings) -> Vec<Fault> {
    let Some(host) = rule.spec.hosts.first() else {
        return vec![Fault::new(".spec.hosts", "No hosts defined")];
    };
    let attribute = ".spec.hosts[0]";
    let mut faults = Vec::new();
    let mut domain = None;
    if !host.contains('.') {
        let name = rule.spec.gateway.as_deref().unwrap_or_default();
        let gateway = find(seen, name);
        match gateway {
            None => faults.push(Fault::new(attribute, format!("Unable to find Gateway \"{name}\""))),
            Some(gateway) if !has_one_wildcard(gateway) => faults.push(Fault::new(
                attribute,
                "Lowercase RFC 1123 label (short host) is only supported as the APIRule host when selected Gateway has a \
                 single host definition matching *.<fqdn> format",
            )),
            Some(_) => {}
        }
        domain = gateway.and_then(Gateway::domain);
    }
    let full = rule.host(domain);
    let strangers = seen
        .routes
        .iter()
        .filter(|route| route.hosts.contains(&full) && !is_owned(&route.labels, &rule.key));
    faults.extend(
        strangers.map(|_| Fault::new(attribute, "Host is occupied by another Virtual Service")),
    );
    faults
}

fn gateway_faults(rule: &ApiRule, seen: &Surroundings) -> Option<Fault> {
    let name = rule.spec.gateway.as_deref()?;
    find(seen, name)
        .is_none()
        .then(|| Fault::new(".spec.gateway", "Gateway not found"))
}

fn find<'a>(seen: &'a Surroundings, name: &str) -> Option<&'a Gateway> {
    seen.gateways
        .iter()
        .find(|gateway| gateway.key.to_string() == name)
}

fn has_one_wildcard(gateway: &Gateway) -> bool {
    let mut hosts = gateway.servers.iter().flat_map(|server| &server.hosts);
    gateway.servers.iter().all(|server| server.hosts.len() == 1)
        && hosts.clone().all(|host| host.starts_with("*."))
        && hosts
            .next()
            .is_some_and(|first| hosts.all(|host| host == first))
}

/// What is wrong with the Gateway of the default domain: any other shape than one HTTPS server with one `*.` host stops every
/// APIRule, without a word in its status.
pub(super) fn default_gateway_fault(gateway: &Gateway) -> Option<String> {
    let secure: Vec<_> = gateway
        .servers
        .iter()
        .filter(|server| server.port.protocol.eq_ignore_ascii_case("https"))
        .collect();
    let [server] = secure.as_slice() else {
        return Some(format!(
            "gateway must have a single https server definition, num={}",
            secure.len()
        ));
    };
    match server.hosts.as_slice() {
        [host] if host.len() > 2 && host.starts_with("*.") => None,
        [host] => Some(format!(
            "gateway https server host \"{host}\" does not start with the prefix \"*.\""
        )),
        hosts => Some(format!(
            "gateway https server must have a single host definition, num={}",
            hosts.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::fault::description;
    use super::super::objects::tests::{api_rule, gateway};
    use super::super::surroundings::Route;
    use super::*;

    fn sound() -> Surroundings {
        Surroundings {
            gateways: vec![gateway(
                &json!([{"hosts": ["*.mtls.example.com"], "port": {"protocol": "HTTPS"}}]),
            )],
            routes: Vec::new(),
            backends: vec![Backend::Selecting {
                labels: BTreeMap::new(),
                without_sidecar: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_sound_rule_without_any_pod_has_no_fault() {
        assert_eq!(faults(&api_rule(), &sound()), []);
    }

    #[test]
    fn a_host_of_a_foreign_route_is_occupied_and_an_own_one_is_not() {
        let mut seen = sound();
        let hosts = vec!["orders.mtls.example.com".to_owned()];
        seen.routes.push(Route {
            hosts: hosts.clone(),
            labels: super::super::owner::owner_labels(&api_rule().key),
        });
        assert_eq!(faults(&api_rule(), &seen), []);
        seen.routes.push(Route {
            hosts,
            labels: BTreeMap::new(),
        });
        let text = description(&faults(&api_rule(), &seen));
        assert_eq!(
            text,
            "Validation errors: Attribute '.spec.hosts[0]': Host is occupied by another Virtual Service"
        );
    }

    #[test]
    fn a_missing_service_and_a_pod_without_a_sidecar_are_told() {
        let mut seen = sound();
        seen.backends = vec![Backend::Unread("Service \"orders\" not found".into())];
        let text = description(&faults(&api_rule(), &seen));
        let expected = "Validation errors: Attribute '.spec.rules[0]': Failed to execute sidecar injection validation, err: \
                        Service \"orders\" not found";
        assert_eq!(text, expected);
        seen.backends = vec![Backend::Selecting {
            labels: BTreeMap::new(),
            without_sidecar: vec!["shop/orders-1".into()],
        }];
        let text = description(&faults(&api_rule(), &seen));
        assert_eq!(
            text,
            "Validation errors: Attribute '.spec.rules[0]': Pod shop/orders-1 does not have an injected istio sidecar"
        );
    }

    #[test]
    fn no_more_than_three_faults_are_spelled_out() {
        let fault = Fault::new("a", "b");
        let text = description(&vec![fault; 5]);
        assert!(text.ends_with("\n2 more error(s)..."));
    }

    #[test]
    fn a_second_https_server_in_the_default_gateway_stops_everything() {
        let server = json!({"hosts": ["*.example.com"], "port": {"protocol": "HTTPS"}});
        let plain = json!({"hosts": ["*.example.com"], "port": {"protocol": "HTTP"}});
        assert_eq!(
            default_gateway_fault(&gateway(&json!([server, plain]))),
            None
        );
        assert!(default_gateway_fault(&gateway(&json!([server, server]))).is_some());
    }

    #[test]
    fn a_short_host_needs_a_gateway_with_one_wildcard() {
        let mut rule = api_rule();
        rule.spec.hosts = vec!["orders".into()];
        assert_eq!(faults(&rule, &sound()), []);
        let mut seen = sound();
        seen.gateways = vec![gateway(&json!([{"hosts": ["orders.example.com"]}]))];
        assert_eq!(faults(&rule, &seen).len(), 1);
    }
}
