//! The authority in the cluster: its state (a `ConfigMap`, the commit point) and its keys (a Secret).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::client_ca::decoded;
use super::names::{
    AUTHORITY_LABEL, CLIENT_CA_ANNOTATION, FIELD_MANAGER, GATEWAY_ANNOTATION, GatewayName,
    MANAGED_BY,
};
use super::{Object, ObjectRef, Unreadable};
use crate::pki::inspect::Certificate;
use crate::pki::key::PrivateKey;

/// The layout of the state; a state of a higher one is left alone.
const FORMAT: &str = "1";

/// What an authority stands for now. SHA-256 fingerprints in lower-case hex name certificates.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorityState {
    /// Its name.
    pub authority: String,
    /// Grows by one with every change that the client-CA Secret must follow.
    pub revision: u64,
    /// The CAs whose clients are admitted, newest first.
    pub trusted: Vec<Certificate>,
    /// The CA that signs; none while a first one has not been seen at the gateway.
    pub issuing: Option<String>,
    /// The CA that a rotation goes to; the same as `issuing` when there is none under way.
    pub target: Option<String>,
    /// The published CRLs as PEM, one per CA, or none at all.
    pub crls: Vec<String>,
    /// Revoked certificates that the inventory does not hold, with their ends: those made only to look with, and those that
    /// were issued elsewhere. Serials in lower-case hex.
    pub unlisted: BTreeMap<String, OffsetDateTime>,
    /// CAs that were trusted once, and must not come back as foreign ones.
    pub dropped: BTreeSet<String>,
    /// Trusted CAs that were not made here: others may have signed clients with their keys.
    pub given: BTreeSet<String>,
    /// Keys of dropped CAs, by hex SKI: to be removed once no gateway trusts their CA any more.
    pub retired: BTreeSet<String>,
    /// The Secret that holds the keys.
    pub keys_secret: String,
    /// What was done, one line each, oldest first.
    pub history: Vec<String>,
    /// The Gateway that it serves; none until the first `expose`.
    pub gateway: Option<String>,
    /// The client-CA Secret that shows it; none until the first `expose`.
    pub client_ca_secret: Option<String>,
}

impl AuthorityState {
    /// The state of a new authority with one CA.
    pub fn new(authority: &str, ca: Certificate, keys_secret: &str) -> Self {
        let fingerprint = ca.fingerprint();
        Self {
            authority: authority.to_owned(),
            revision: 1,
            trusted: vec![ca],
            issuing: Some(fingerprint.clone()),
            target: Some(fingerprint),
            crls: Vec::new(),
            unlisted: BTreeMap::new(),
            dropped: BTreeSet::new(),
            given: BTreeSet::new(),
            retired: BTreeSet::new(),
            keys_secret: keys_secret.to_owned(),
            history: Vec::new(),
            gateway: None,
            client_ca_secret: None,
        }
    }

    /// The same state, serving a Gateway through a client-CA Secret.
    #[must_use]
    pub fn serving(mut self, gateway: &GatewayName, client_ca_secret: &str) -> Self {
        self.gateway = Some(gateway.to_string());
        self.client_ca_secret = Some(client_ca_secret.to_owned());
        self
    }

    /// Whether a CA is, or was, this authority's.
    pub fn knows(&self, fingerprint: &str) -> bool {
        self.dropped.contains(fingerprint)
            || self
                .trusted
                .iter()
                .any(|ca| ca.fingerprint() == fingerprint)
    }

    /// The CA that signs.
    pub fn issuing_ca(&self) -> Option<&Certificate> {
        self.trusted_ca(self.issuing.as_deref())
    }

    /// A trusted CA by its fingerprint.
    pub fn trusted_ca(&self, fingerprint: Option<&str>) -> Option<&Certificate> {
        let fingerprint = fingerprint?;
        self.trusted
            .iter()
            .find(|ca| ca.fingerprint() == fingerprint)
    }

    /// Reads the state.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let data: Data = object.read("data")?;
        if data.format != FORMAT {
            let reason = format!(
                "its format is `{}`, this version knows `{FORMAT}`: use the version of kubectl-mtls that wrote it, or a newer one",
                data.format
            );
            return Err(object.unreadable(reason));
        }
        let trusted = Certificate::many_from_pem(data.trusted.as_bytes())
            .map_err(|error| object.unreadable(format!("trusted: {error}")))?;
        let revision = data
            .revision
            .parse()
            .map_err(|_| object.unreadable("revision is not a number"))?;
        let state = Self {
            authority: object.name().to_owned(),
            revision,
            trusted,
            issuing: Some(data.issuing).filter(|text| !text.is_empty()),
            target: Some(data.target).filter(|text| !text.is_empty()),
            crls: pem_blocks(&data.crls),
            unlisted: ends(&data.unlisted).map_err(|line| {
                object.unreadable(format!("unlisted: `{line}`: it was edited by hand"))
            })?,
            dropped: lines(&data.dropped).collect(),
            given: lines(&data.given).collect(),
            retired: lines(&data.retired).collect(),
            keys_secret: data.keys_secret,
            history: lines(&data.history).collect(),
            gateway: object.annotation(GATEWAY_ANNOTATION).map(str::to_owned),
            client_ca_secret: object.annotation(CLIENT_CA_ANNOTATION).map(str::to_owned),
        };
        for (field, named) in [("issuing", &state.issuing), ("target", &state.target)] {
            if named.is_some() && state.trusted_ca(named.as_deref()).is_none() {
                let reason =
                    format!("`{field}` names a CA that is not in `trusted`: it was edited by hand");
                return Err(object.unreadable(reason));
            }
        }
        if state.keys_secret.is_empty() {
            return Err(object.unreadable("`keysSecret` is missing: it was edited by hand"));
        }
        Ok(state)
    }

    /// The manifest.
    pub fn object(&self) -> Object {
        let reference = super::names::CredentialNames::of_authority(&self.authority).state();
        let trusted: String = self.trusted.iter().map(Certificate::pem).collect();
        let data = json!({
            "format": FORMAT,
            "revision": self.revision.to_string(),
            "trusted": trusted,
            "issuing": self.issuing.as_deref().unwrap_or_default(),
            "target": self.target.as_deref().unwrap_or_default(),
            "crls": self.crls.concat(),
            "unlisted": self.unlisted.iter().map(|(serial, end)| format!("{serial} {}\n", end.unix_timestamp())).collect::<String>(),
            "dropped": text(&self.dropped),
            "given": text(&self.given),
            "retired": text(&self.retired),
            "keysSecret": self.keys_secret,
            "history": text(&self.history),
        });
        let mut object = Object::new(reference)
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_label(AUTHORITY_LABEL, &self.authority);
        if let Some(gateway) = &self.gateway {
            object = object.with_annotation(GATEWAY_ANNOTATION, gateway);
        }
        if let Some(secret) = &self.client_ca_secret {
            object = object.with_annotation(CLIENT_CA_ANNOTATION, secret);
        }
        object.with("data", data)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Data {
    format: String,
    revision: String,
    trusted: String,
    issuing: String,
    target: String,
    crls: String,
    unlisted: String,
    dropped: String,
    given: String,
    retired: String,
    keys_secret: String,
    history: String,
}

fn text<'a>(lines: impl IntoIterator<Item = &'a String>) -> String {
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
}

/// Lines `SERIAL UNIX-TIME`; the first one that is none, else.
fn ends(text: &str) -> Result<BTreeMap<String, OffsetDateTime>, String> {
    let read = |line: String| {
        let (serial, end) = line.split_once(' ')?;
        let end = OffsetDateTime::from_unix_timestamp(end.parse().ok()?).ok()?;
        Some((serial.to_owned(), end))
    };
    lines(text)
        .map(|line| read(line.clone()).ok_or(line))
        .collect()
}

fn pem_blocks(text: &str) -> Vec<String> {
    text.split_inclusive("-----END X509 CRL-----\n")
        .filter(|block| !block.trim().is_empty())
        .map(str::to_owned)
        .collect()
}

/// The authority's private keys, by the hex SKI of their CA.
#[derive(Debug)]
pub struct Keys(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl Keys {
    /// Reads the keys' Secret.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let data = decoded(object)?;
        Ok(Self(
            data.into_iter()
                .map(|(ski, pem)| (ski, Zeroizing::new(pem)))
                .collect(),
        ))
    }

    /// The key of a CA as PEM, where the Secret has one.
    pub fn of(&self, ca: &Certificate) -> Option<&[u8]> {
        Some(self.0.get(&ca.key_id_hex())?.as_slice())
    }

    /// The keys as PEM, by the hex SKI of their CA.
    pub fn all(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(ski, pem)| (ski.as_str(), pem.as_slice()))
    }
}

/// The keys' Secret as it was read, with the key of a further CA; `None` where it has one of that CA: none is ever overwritten.
pub fn keys_with(live: &Object, ca: &Certificate, key: &PrivateKey) -> Option<Object> {
    let ski = ca.key_id_hex();
    let mut data = live.at(&["data"]).cloned().unwrap_or_else(|| json!({}));
    if data.get(&ski).is_some() {
        return None;
    }
    data[ski] = BASE64.encode(key.to_pem().as_bytes()).into();
    Some(live.clone().with("data", data))
}

/// The keys' Secret as it was read, without the keys of these CAs; `None` where it has none of them.
pub fn keys_without(live: &Object, skis: &BTreeSet<String>) -> Option<Object> {
    let mut data = live.at(&["data"])?.as_object()?.clone();
    let before = data.len();
    data.retain(|ski, _| !skis.contains(ski));
    (data.len() < before).then(|| live.clone().with("data", data.into()))
}

/// The Secret with the first key of an authority. It is created, never applied: the answer to an apply would show the key.
pub fn keys_object(
    reference: ObjectRef,
    authority: &str,
    ca: &Certificate,
    key: &PrivateKey,
) -> Object {
    let ski = ca.key_id_hex();
    Object::new(reference)
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_label(AUTHORITY_LABEL, authority)
        .with("type", "Opaque".into())
        .with("data", json!({ski: BASE64.encode(key.to_pem().as_bytes())}))
}
