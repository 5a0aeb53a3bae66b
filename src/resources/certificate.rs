//! Gardener's Certificate: the server certificate of a Gateway.

use serde::Deserialize;
use serde_json::json;

use super::names::{FIELD_MANAGER, GATEWAY_ANNOTATION, GatewayName, INGRESS_NAMESPACE, MANAGED_BY};
use super::progress::Progress;
use super::{Kind, Object, ObjectRef, Unreadable};

/// The issuer that Gardener gives every shoot.
pub const DEFAULT_ISSUER: &str = "garden";
/// X.520 `ub-common-name`; cert-management refuses longer ones.
const LONGEST_COMMON_NAME: usize = 64;

/// What our Certificate must say. Fields that the controller writes back are never stated (secretRef, renew, ensureRenewedAfter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCertificate<'a> {
    /// Its name in `istio-system`.
    pub name: &'a str,
    /// The Gateway that it serves.
    pub gateway: &'a GatewayName,
    /// The Gateway's host, a wildcard or exact.
    pub host: &'a str,
    /// The Secret that the issuer writes.
    pub secret: &'a str,
    /// Who issues it: a name of Gardener's own, or `namespace/name` of an Issuer in the cluster.
    pub issuer: &'a str,
}

impl ServerCertificate<'_> {
    /// The manifest.
    pub fn object(&self) -> Object {
        let issuer = match self.issuer.split_once('/') {
            Some((namespace, name)) => json!({"name": name, "namespace": namespace}),
            None => json!({"name": self.issuer}),
        };
        let mut spec = json!({"secretName": self.secret, "issuerRef": issuer});
        if self.host.len() > LONGEST_COMMON_NAME {
            spec["dnsNames"] = json!([self.host]);
        } else {
            spec["commonName"] = self.host.into();
        }
        Object::new(reference(self.name))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_annotation(GATEWAY_ANNOTATION, &self.gateway.to_string())
            .with("spec", spec)
    }
}

/// Names a Certificate beside the gateway.
pub fn reference(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Certificate, INGRESS_NAMESPACE, name)
}

/// A Certificate as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its hosts: the common name first.
    pub hosts: Vec<String>,
    /// The Secret that the issuer writes.
    pub secret: String,
    /// The issuer that it names, `namespace/name` where it lies in the cluster; empty for the default one.
    pub issuer: String,
    /// How far it is.
    pub progress: Progress,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    common_name: String,
    #[serde(default)]
    dns_names: Vec<String>,
    #[serde(default)]
    secret_name: String,
    #[serde(default)]
    issuer_ref: IssuerRef,
}

#[derive(Deserialize, Default)]
struct IssuerRef {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

impl Certificate {
    /// Reads a Certificate.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let common_name = Some(spec.common_name).filter(|name| !name.is_empty());
        Ok(Self {
            hosts: common_name.into_iter().chain(spec.dns_names).collect(),
            secret: spec.secret_name,
            issuer: match spec.issuer_ref {
                IssuerRef { name, namespace } if namespace.is_empty() => name,
                IssuerRef { name, namespace } => format!("{namespace}/{name}"),
            },
            progress: Progress::read(object)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(host: &str) -> Object {
        let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
        ServerCertificate {
            name: "domain-certificate",
            gateway: &gateway,
            host,
            secret: "kyma-mtls",
            issuer: DEFAULT_ISSUER,
        }
        .object()
    }

    #[test]
    fn a_host_too_long_for_a_common_name_becomes_a_dns_name() {
        let long = format!("*.mtls.{}.example.com", "x".repeat(60));
        let object = certificate(&long);
        assert_eq!(object.text(&["spec", "commonName"]), "");
        assert_eq!(Certificate::read(&object).unwrap().hosts, [long]);
    }

    #[test]
    fn an_issuer_of_the_cluster_is_named_with_its_namespace() {
        let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
        for issuer in ["garden", "shop/letsencrypt"] {
            let object = ServerCertificate {
                name: "x",
                gateway: &gateway,
                host: "a.example.com",
                secret: "x",
                issuer,
            }
            .object();
            let in_cluster = object.at(&["spec", "issuerRef", "namespace"]).is_some();
            assert_eq!(in_cluster, issuer.contains('/'));
            assert_eq!(Certificate::read(&object).unwrap().issuer, issuer);
        }
    }

    #[test]
    fn a_ready_status_of_an_older_generation_is_not_ready() {
        let object = certificate("*.mtls.example.com")
            .with("status", json!({"state": "Ready", "observedGeneration": 1}));
        let mut body = object.body().clone();
        body["metadata"]["generation"] = 2.into();
        let stale = Object::from_server(Kind::Certificate, body).unwrap();
        assert!(!Certificate::read(&stale).unwrap().progress.is_ready());
    }
}
