//! A Service: what a route needs to know of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Object, Unreadable};

/// A Service as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The labels of its Pods; empty for a Service without selector.
    pub selector: BTreeMap<String, String>,
    /// Its ports in order.
    pub ports: Vec<Port>,
    /// The load balancer's addresses, IPs or hostnames.
    pub load_balancer: Vec<String>,
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Its name; may be empty when it is the only one.
    #[serde(default)]
    pub name: String,
    /// The number that clients of the Service use.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(default)]
    pub protocol: String,
    /// A number, or the name of a port of the Pod.
    #[serde(default)]
    pub target_port: Value,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    selector: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<Port>,
}

impl Service {
    /// Reads a Service.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let ingress = object
            .at(&["status", "loadBalancer", "ingress"])
            .and_then(Value::as_array);
        let address = |entry: &Value| {
            let found = entry.get("ip").or_else(|| entry.get("hostname"));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        Ok(Self {
            selector: spec.selector,
            ports: spec.ports,
            load_balancer: ingress.into_iter().flatten().filter_map(address).collect(),
        })
    }

    /// The ports that HTTP can go to.
    pub fn tcp_ports(&self) -> impl Iterator<Item = &Port> {
        self.ports
            .iter()
            .filter(|port| port.protocol.is_empty() || port.protocol == "TCP")
    }
}

impl Port {
    /// `8000 (http)`, or the bare number where the port has no name.
    pub fn describe(&self) -> String {
        if self.name.is_empty() {
            self.port.to_string()
        } else {
            format!("{} ({})", self.port, self.name)
        }
    }
}
