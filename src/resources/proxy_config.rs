//! What an Envoy of Istio says of its own configuration (`/config_dump`, `envoy.admin.v3.ListenersConfigDump`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::names::GatewayName;

/// The prefix of a Secret's name where istiod hands it to a gateway (`pilot/pkg/model/credentials`).
const OF_KUBERNETES: &str = "kubernetes://";

/// A part of the configuration that a proxy can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The Secrets by which its active listeners check client certificates.
    TrustedSecrets,
    /// The hosts for which it has routes, of those behind a Gateway's HTTPS servers.
    Hosts(GatewayName),
}

impl Part {
    /// Path and query by which its administration page tells it.
    ///
    /// The routes of an HTTPS server stand under `https.PORT.NAME.GATEWAY.NAMESPACE`, and an address where the server is
    /// bound to one (istiod's `gatewayRDSRouteName`, in `pilot/pkg/model/gateway.go`); Envoy matches the whole name.
    pub fn path(&self) -> String {
        match self {
            Self::TrustedSecrets => "/config_dump?resource=dynamic_listeners".to_owned(),
            Self::Hosts(gateway) => format!(
                "/config_dump?resource=dynamic_route_configs&name_regex=https.*.{}.{}.*",
                gateway.name, gateway.namespace
            ),
        }
    }

    /// What the proxy answered.
    pub fn read(&self, dump: &Value) -> BTreeSet<String> {
        let items = dump.get("configs").and_then(Value::as_array);
        let items = items.into_iter().flatten();
        let mut told = BTreeSet::new();
        match self {
            Self::TrustedSecrets => {
                let active = items.filter_map(|listener| listener.get("active_state"));
                active.for_each(|state| collect(state, &mut told));
            }
            Self::Hosts(_) => told.extend(items.flat_map(hosts)),
        }
        told
    }
}

/// The hosts of a route configuration; with a port or without, they are the same host.
fn hosts(routes: &Value) -> impl Iterator<Item = String> {
    let virtual_hosts = routes.pointer("/route_config/virtual_hosts");
    let virtual_hosts = virtual_hosts.and_then(Value::as_array);
    let domains = virtual_hosts
        .into_iter()
        .flatten()
        .filter_map(|host| host.get("domains")?.as_array());
    domains.flatten().filter_map(|domain| {
        let domain = domain.as_str()?;
        Some(domain.split(':').next().unwrap_or(domain).to_owned())
    })
}

fn collect(value: &Value, secrets: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let named = fields
                .get("validation_context_sds_secret_config")
                .and_then(|config| config.get("name")?.as_str());
            secrets.extend(
                named.map(|name| name.strip_prefix(OF_KUBERNETES).unwrap_or(name).to_owned()),
            );
            fields.values().for_each(|field| collect(field, secrets));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secrets)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_listener_still_drains_counts_no_more() {
        let with = |name: &str| {
            json!({"listener": {"filter_chains": [{"transport_socket": {"typed_config": {
                "common_tls_context": {"combined_validation_context": {
                    "validation_context_sds_secret_config": {"name": format!("kubernetes://{name}")},
                }},
            }}}]}})
        };
        let dump =
            json!({"configs": [{"active_state": with("new"), "draining_state": with("old")}]});
        assert_eq!(Part::TrustedSecrets.read(&dump), ["new".to_owned()].into());
    }

    #[test]
    fn hosts_are_told_without_their_ports() {
        let routes =
            |domains: &[&str]| json!({"route_config": {"virtual_hosts": [{"domains": domains}]}});
        let dump =
            json!({"configs": [routes(&["a.example", "a.example:443"]), routes(&["*"]), {}]});
        let part = Part::Hosts(GatewayName::new("shop", "gateway"));
        assert_eq!(
            part.read(&dump),
            ["a.example".to_owned(), "*".to_owned()].into()
        );
        assert!(part.path().ends_with("=https.*.gateway.shop.*"));
    }
}
