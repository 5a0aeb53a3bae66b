//! The Certificate that fills a Gateway's server Secret: Gardener's, or cert-manager's.

mod cert_manager;

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::names::{FIELD_MANAGER, GATEWAY_ANNOTATION, GatewayName, MANAGED_BY, RETRY_CERTIFICATE};
use super::progress::Progress;
use super::{Kind, Object, ObjectRef, Unreadable};

/// The kinds of Certificates.
pub const KINDS: [Kind; 2] = [Kind::Certificate, Kind::CertManagerCertificate];
/// The issuer that Gardener gives every shoot.
pub const DEFAULT_ISSUER: &str = "garden";
/// Longest common name (X.520, `ub-common-name`); cert-management and cert-manager refuse longer
/// ones.
pub const LONGEST_COMMON_NAME: usize = 64;

/// The Certificate that this plugin writes. Fields that Gardener's controller writes back are never set (secretRef, renew,
/// ensureRenewedAfter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCertificate<'a> {
    /// Gardener's kind or cert-manager's.
    pub kind: Kind,
    /// The Certificate's name.
    pub name: &'a str,
    /// The namespace of the gateway's proxies, which read the Secret there.
    pub namespace: &'a str,
    /// The Gateway that uses the certificate.
    pub gateway: &'a GatewayName,
    /// The Gateway's host, a wildcard or exact.
    pub host: &'a str,
    /// The Secret that the issuer writes.
    pub secret: &'a str,
    /// The issuer: a name of Gardener's own, or `namespace/name` of an Issuer in the cluster; for cert-manager `NAME` of an Issuer in the
    /// same namespace, or `ClusterIssuer/NAME`.
    pub issuer: &'a str,
}

impl ServerCertificate<'_> {
    /// The manifest.
    pub fn object(&self) -> Object {
        let mut spec = match self.kind {
            Kind::CertManagerCertificate => json!({"usages": cert_manager::USAGES}),
            _ => json!({}),
        };
        spec["secretName"] = self.secret.into();
        spec["issuerRef"] = issuer_ref(self.kind, self.issuer);
        for (field, value) in names(self.kind, self.host) {
            if !value.is_null() {
                spec[field] = value;
            }
        }
        Object::new(reference(self.kind, self.namespace, self.name))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_annotation(GATEWAY_ANNOTATION, &self.gateway.to_string())
            .with("spec", spec)
    }
}

/// The reference to a Certificate of a kind in the namespace of the gateway's proxies.
pub fn reference(kind: Kind, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(kind, namespace, name)
}

/// The fields of a Certificate that name a host, null for a field to remove. cert-manager does not add the common name to the DNS names
/// (<https://github.com/cert-manager/cert-manager>, `pkg/util/pki/csr.go`).
pub fn names(kind: Kind, host: &str) -> [(&'static str, Value); 2] {
    let is_long = host.len() > LONGEST_COMMON_NAME;
    let common = (!is_long).then_some(host);
    let listed = (is_long || kind == Kind::CertManagerCertificate).then_some([host]);
    [("commonName", json!(common)), ("dnsNames", json!(listed))]
}

/// `issuerRef` of a Certificate, from the issuer's name in the notation of `--issuer`. The namespace is set only for an Issuer of Gardener
/// in the cluster.
pub fn issuer_ref(kind: Kind, issuer: &str) -> Value {
    match (kind, issuer.split_once('/')) {
        (Kind::CertManagerCertificate, _) => cert_manager::issuer_ref(issuer),
        (_, Some((namespace, name))) => json!({"name": name, "namespace": namespace}),
        (_, None) => json!({"name": issuer}),
    }
}

/// A Certificate as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Gardener's kind or cert-manager's.
    pub kind: Kind,
    /// The hosts; the common name first.
    pub hosts: Vec<String>,
    /// The Secret that the issuer writes.
    pub secret: String,
    /// The Secret in `secretName`, and the one in the reference that the controller writes back, which may be in another namespace
    /// (cert-management, `determineSecretRef`).
    secrets: [ObjectRef; 2],
    /// When its controller retries after a failure of the present spec, if it tells that.
    pub next_try: Option<OffsetDateTime>,
    /// The issuer, in the notation of [`ServerCertificate::issuer`]; empty for Gardener's default one.
    pub issuer: String,
    /// The progress of its controller.
    pub progress: Progress,
    /// Why the last renewal failed while the present certificate is still valid. Gardener's controller reports that in its progress.
    pub failed_renewal: Option<String>,
    /// The end of the certificate in the Secret, by its controller.
    pub expires: Option<OffsetDateTime>,
    /// Whether the first host is the common name.
    has_common_name: bool,
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
    secret_ref: Qualified,
    #[serde(default)]
    issuer_ref: Qualified,
}

#[derive(Deserialize, Default)]
struct Qualified {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

impl Certificate {
    /// Reads a Certificate.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        match object.reference().kind {
            Kind::CertManagerCertificate => cert_manager::read(object),
            _ => Self::read_gardeners(object),
        }
    }

    fn read_gardeners(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let common_name = Some(spec.common_name).filter(|name| !name.is_empty());
        let own = object.namespace();
        let Qualified { name, namespace } = spec.secret_ref;
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        let referred = ObjectRef::new(Kind::Secret, namespace.as_deref().unwrap_or(own), name);
        let named = ObjectRef::new(Kind::Secret, own, spec.secret_name);
        let secret = if named.name.is_empty() {
            referred.name.clone()
        } else {
            named.name.clone()
        };
        let Status {
            expiration_date, ..
        } = object.read("status")?;
        let expires = expiration_date.and_then(|date| OffsetDateTime::parse(&date, &Rfc3339).ok());
        Ok(Self {
            kind: Kind::Certificate,
            has_common_name: common_name.is_some(),
            expires,
            hosts: common_name.into_iter().chain(spec.dns_names).collect(),
            secret,
            secrets: [named, referred],
            issuer: match spec.issuer_ref {
                Qualified { name, namespace } if namespace.is_empty() => name,
                Qualified { name, namespace } => format!("{namespace}/{name}"),
            },
            progress: Progress::read(object)?,
            failed_renewal: None,
            next_try: next_try(object)?,
        })
    }

    /// The common name, if it is longer than issuers accept.
    pub fn long_common_name(&self) -> Option<&str> {
        let name = self.hosts.first().filter(|_| self.has_common_name)?;
        (name.len() > LONGEST_COMMON_NAME).then_some(name)
    }

    /// Whether the Certificate names the issuer that Gardener gives every shoot, or no issuer of
    /// Gardener.
    pub fn is_of_default_issuer(&self) -> bool {
        let is_default = ["", DEFAULT_ISSUER].contains(&self.issuer.as_str());
        is_default && self.kind == Kind::Certificate
    }

    /// Whether the Certificate's issuer writes this Secret.
    pub fn fills(&self, secret: &ObjectRef) -> bool {
        self.secrets.contains(secret)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    expiration_date: Option<String>,
    #[serde(default)]
    backoff: Option<BackOff>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BackOff {
    #[serde(default)]
    observed_generation: i64,
    #[serde(with = "time::serde::rfc3339")]
    recheck_after: OffsetDateTime,
}

/// The end of the back-off. That of an earlier generation does not count, nor does one that somebody has asked to skip.
fn next_try(object: &Object) -> Result<Option<OffsetDateTime>, Unreadable> {
    let Status { backoff, .. } = object.read("status")?;
    let generation = object
        .at(&["metadata", "generation"])
        .and_then(serde_json::Value::as_i64);
    let (key, value) = RETRY_CERTIFICATE;
    let is_over = object.annotation(key) == Some(value);
    let current = backoff.filter(|backoff| {
        backoff.observed_generation == generation.unwrap_or_default() && !is_over
    });
    Ok(current.map(|backoff| backoff.recheck_after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(host: &str) -> Object {
        let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
        ServerCertificate {
            kind: Kind::Certificate,
            namespace: "istio-system",
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
                kind: Kind::Certificate,
                namespace: "istio-system",
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
