//! The parts of an APIRule that the controller reads.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::Value;

use super::jwt::Jwt;
use crate::stand_in::resources::ObjectKey;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub hosts: Vec<String>,
    pub gateway: Option<String>,
    pub external_gateway: Option<String>,
    pub service: Option<ServiceRef>,
    pub timeout: Option<u32>,
    pub cors_policy: Option<CorsPolicy>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ServiceRef {
    pub name: String,
    pub namespace: Option<String>,
    pub port: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    pub path: String,
    pub methods: Vec<String>,
    pub service: Option<ServiceRef>,
    pub timeout: Option<u32>,
    pub jwt: Option<Jwt>,
    pub ext_auth: Option<Value>,
    pub request: Request,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Request {
    pub headers: BTreeMap<String, String>,
    pub cookies: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CorsPolicy {
    pub allow_credentials: Option<bool>,
    pub allow_headers: Vec<String>,
    pub allow_methods: Vec<String>,
    pub allow_origins: Vec<BTreeMap<String, String>>,
    pub expose_headers: Vec<String>,
    pub max_age: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct ApiRule {
    pub key: ObjectKey,
    pub spec: Spec,
}

impl ApiRule {
    /// Reads the object; the API server's schema has checked it before.
    pub(super) fn read(object: &DynamicObject) -> Result<Self, serde_json::Error> {
        let spec = match object.data.get("spec") {
            Some(spec) => serde_json::from_value(spec.clone())?,
            None => Spec::default(),
        };
        Ok(Self {
            key: ObjectKey::of(&object.metadata),
            spec,
        })
    }

    /// The Service of a rule: its own, else that of the whole APIRule.
    pub(super) fn service<'a>(&'a self, rule: &'a Rule) -> Option<&'a ServiceRef> {
        rule.service.as_ref().or(self.spec.service.as_ref())
    }

    /// The namespace of a rule's Service: rule, then spec, then that of the APIRule.
    pub(super) fn service_namespace<'a>(&'a self, rule: &'a Rule) -> &'a str {
        let named = |service: &'a Option<ServiceRef>| {
            service
                .as_ref()
                .and_then(|service| service.namespace.as_deref())
        };
        named(&rule.service)
            .or_else(|| named(&self.spec.service))
            .unwrap_or(&self.key.namespace)
    }

    /// The one host in full: a short name gets the Gateway's domain.
    pub(super) fn host(&self, gateway_domain: Option<&str>) -> String {
        let host = self.spec.hosts.first().map_or("", String::as_str);
        match gateway_domain {
            Some(domain) if !host.contains('.') => format!("{host}.{domain}"),
            _ => host.to_owned(),
        }
    }
}

/// The parts of a Gateway that the controller reads.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    pub key: ObjectKey,
    /// The hosts of each server.
    pub servers: Vec<Server>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    pub hosts: Vec<String>,
    pub port: Port,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Port {
    pub protocol: String,
}

impl Gateway {
    pub(super) fn read(object: &DynamicObject) -> Result<Self, serde_json::Error> {
        let servers = object
            .data
            .pointer("/spec/servers")
            .cloned()
            .unwrap_or_else(|| Value::Array(Vec::new()));
        Ok(Self {
            key: ObjectKey::of(&object.metadata),
            servers: serde_json::from_value(servers)?,
        })
    }

    /// The first host, without `*.`.
    pub(super) fn domain(&self) -> Option<&str> {
        let host = self
            .servers
            .iter()
            .find_map(|server| server.hosts.first())?;
        Some(host.strip_prefix("*.").unwrap_or(host))
    }
}
