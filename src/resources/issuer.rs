//! The issuers that sign Certificates, and whether they can: cert-manager's Issuer and `ClusterIssuer`, and Gardener's Issuer.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::progress::Progress;
use super::{Kind, Object, Unreadable};

/// The API group of cert-manager's own issuers.
pub const GROUP: &str = "cert-manager.io";

/// An issuer in the notation of `--issuer` and a Certificate: `NAME` is an Issuer in the
/// Certificate's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerName {
    /// Issuer or `ClusterIssuer`.
    pub kind: Kind,
    /// The issuer's name.
    pub name: String,
}

impl IssuerName {
    /// The name of an issuer object.
    pub fn of(object: &Object) -> Self {
        Self {
            kind: object.reference().kind,
            name: object.name().to_owned(),
        }
    }
}

/// Reads `NAME` or `ClusterIssuer/NAME`.
impl From<&str> for IssuerName {
    fn from(text: &str) -> Self {
        let cluster = text.strip_prefix(Kind::ClusterIssuer.name());
        match cluster.and_then(|rest| rest.strip_prefix('/')) {
            Some(name) => Self {
                kind: Kind::ClusterIssuer,
                name: name.to_owned(),
            },
            None => Self {
                kind: Kind::CertManagerIssuer,
                name: text.to_owned(),
            },
        }
    }
}

impl fmt::Display for IssuerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::ClusterIssuer => write!(f, "{}/{}", self.kind, self.name),
            _ => f.write_str(&self.name),
        }
    }
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: String,
    #[serde(default)]
    message: String,
}

/// Whether an issuer of ACME signs no wildcards: they take a DNS-01 challenge, for which it has no solver (RFC 8555, section 8.4;
/// <https://cert-manager.io/docs/configuration/acme/>).
pub fn signs_no_wildcard(issuer: &Object) -> bool {
    let Some(acme) = issuer.at(&["spec", "acme"]) else {
        return false;
    };
    let solvers = acme.get("solvers").and_then(Value::as_array);
    let mut solvers = solvers.into_iter().flatten();
    !solvers.any(|solver| solver.get("dns01").is_some())
}

/// Why an issuer cannot sign, in its controller's words; `None` if it is Ready.
pub fn fault(issuer: &Object) -> Result<Option<String>, Unreadable> {
    if issuer.reference().kind == Kind::Issuer {
        let progress = Progress::read(issuer)?;
        return Ok((progress.state != "Ready").then(|| progress.said()));
    }
    let status: Status = issuer.read("status")?;
    let mut conditions = status.conditions.into_iter();
    let ready = conditions.find(|condition| condition.r#type == "Ready");
    Ok(match ready {
        Some(ready) if ready.status == "True" => None,
        Some(ready) => Some(ready.message),
        None => Some("the controller has not seen the object yet".to_owned()),
    })
}
