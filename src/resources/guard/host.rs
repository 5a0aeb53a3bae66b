//! The host guard: the requests for a host that the ingress gateway's proxies deny.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Clients, Listener, denying, headers};
use crate::resources::ingress::IngressGateway;
use crate::resources::names::GatewayName;
use crate::resources::{Object, ObjectRef};

/// The host guard of a Service.
#[derive(Debug)]
pub struct HostGuard<'a> {
    /// The host.
    pub host: &'a str,
    /// The clients that may call the host.
    pub clients: &'a Clients,
    /// Further headers that only the route may set, in any case.
    pub headers: &'a BTreeSet<String>,
    /// The Gateway that the route is attached to.
    pub gateway: &'a GatewayName,
    /// The Gateway's proxies.
    pub ingress: &'a IngressGateway,
    /// The mutual-TLS server through which requests must come.
    pub listener: &'a Listener,
}

impl HostGuard<'_> {
    /// The manifest. It denies clients that are not listed, requests that came in through another server, and requests with a guarded
    /// header.
    pub fn object(&self, reference: ObjectRef) -> Object {
        let hosts = authorities(self.host);
        let unlisted = json!({
            "from": [{"source": {"notPrincipals": self.clients.principals()}}],
            "to": [{"operation": {"hosts": hosts}}],
        });
        let mut rules = self.listener.own_rules(&unlisted, &[]);
        rules.extend(self.listener.foreign_rules(&hosts));
        let headers = headers::rules(self.headers.iter().map(String::as_str), self.listener);
        rules.extend(headers.into_iter().map(|mut rule| {
            if rule.get("to").is_none() {
                rule["to"] = json!([{"operation": {}}]);
            }
            rule["to"][0]["operation"]["hosts"] = json!(hosts);
            rule
        }));
        denying(reference, self.gateway, self.ingress, &rules)
    }
}

/// The `Host` and `:authority` values of a host: with a port and without (Istio compares the whole value).
pub(super) fn authorities(host: &str) -> [String; 2] {
    [host.to_owned(), format!("{host}:*")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::gateway::Gateway;
    use crate::resources::guard::{ProxyPorts, host_reference};
    use crate::resources::service::Port;
    use crate::resources::{Kind, ObjectRef};
    use serde_json::Value;

    fn ingress() -> IngressGateway {
        IngressGateway::default()
    }

    fn gateway(servers: &Value) -> Gateway {
        let object = Object::new(GatewayName::new("team", "theirs").reference()).with(
            "spec",
            json!({"selector": ingress().selector, "servers": servers}),
        );
        Gateway::read(&object).unwrap()
    }

    fn rules(gateways: &[Gateway]) -> Value {
        let port = |name: &str, port, target: u16| Port {
            node_port: None,
            name: name.to_owned(),
            port,
            protocol: "TCP".to_owned(),
            target_port: json!(target),
            app_protocol: None,
        };
        let pod = Object::new(ObjectRef::new(Kind::Pod, "istio-system", "gw-1"));
        let ports = ProxyPorts {
            service: &[port("http", 80, 8080), port("https", 443, 8443)],
            pods: &[pod],
        };
        let name = GatewayName::new("shop", "gw");
        let names = ["*.mtls.d".to_owned()].into();
        let listener = Listener::new(names, 443, &ingress(), gateways, &[ports]);
        let guard = HostGuard {
            host: "a.mtls.d",
            clients: &Clients::Any,
            headers: &BTreeSet::new(),
            gateway: &name,
            ingress: &ingress(),
            listener: &listener,
        };
        let object = guard.object(host_reference("istio-system", "shop", "a"));
        object.at(&["spec", "rules"]).unwrap().clone()
    }

    #[test]
    fn requests_are_denied_without_a_listed_client_by_another_server_name_and_on_another_port() {
        let hosts = json!(["a.mtls.d", "a.mtls.d:*"]);
        let expected = json!([
            {
                "from": [{"source": {"notPrincipals": ["*"]}}],
                "to": [{"operation": {"hosts": hosts}}],
                "when": [{"key": "connection.sni", "values": ["*.mtls.d"]}],
            },
            {
                "to": [{"operation": {"hosts": hosts, "ports": ["443", "8443"]}}],
                "when": [{"key": "connection.sni", "notValues": ["*.mtls.d"]}],
            },
            {"to": [{"operation": {"hosts": hosts, "notPorts": ["443", "8443"]}}]},
        ]);
        assert_eq!(rules(&[]), expected);
    }

    #[test]
    fn every_rule_spares_the_tcp_servers_of_others_by_port_or_server_name() {
        let theirs = gateway(&json!([
            {"hosts": ["*"], "port": {"name": "db", "number": 5432, "protocol": "TCP"}},
            {"hosts": ["pass.d"], "port": {"name": "p", "number": 443, "protocol": "TLS"}, "tls": {"mode": "PASSTHROUGH"}},
        ]));
        let rules = rules(&[theirs]);
        let names = &rules[1]["when"][0]["notValues"];
        assert_eq!(names, &json!(["*.mtls.d", "pass.d"]));
        let spared = &rules[2]["to"][0]["operation"]["notPorts"];
        assert_eq!(spared, &json!(["443", "5432", "8443"]));
    }

    #[test]
    fn a_passthrough_host_below_our_wildcard_is_spared_on_its_port_only() {
        let theirs = gateway(&json!([
            {"hosts": ["pass.mtls.d"], "port": {"name": "p", "number": 443, "protocol": "TLS"}, "tls": {"mode": "PASSTHROUGH"}},
        ]));
        let rules = rules(&[theirs]);
        let own = &rules[0];
        assert_eq!(own["when"][0]["notValues"], json!(["pass.mtls.d"]));
        assert_eq!(own["to"][0]["operation"]["ports"], json!(["443", "8443"]));
        assert_eq!(
            rules[2]["to"][0]["operation"]["notPorts"],
            json!(["443", "8443"])
        );
    }

    #[test]
    fn services_whose_names_meet_have_guards_of_their_own() {
        assert_ne!(
            host_reference("istio-system", "a-b", "c"),
            host_reference("istio-system", "a", "b-c")
        );
    }
}
