//! The client-CA Secret: what the gateway trusts, a projection of the authority's state.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use super::authority::AuthorityState;
use super::names::{
    AUTHORITY_LABEL, FIELD_MANAGER, GATEWAY_ANNOTATION, GatewayName, INGRESS_NAMESPACE, MANAGED_BY,
    REVISION_ANNOTATION,
};
use super::{Kind, Object, ObjectRef, Unreadable};
use crate::pki::bundle::{self, Bundle};
use crate::pki::crl::{self, Crl, succession};
use crate::pki::inspect::Certificate;

/// The key of the bundle; `ca.crt` would be of the other family (istiod: `pilot/pkg/credentials/kube`).
const BUNDLE: &str = "cacert";
/// The key of the CRLs; never `ca.crl`, which beside `cacert` is ignored silently, and never empty, which checks nothing.
const REVOCATIONS: &str = "crl";

/// A client-CA Secret as it was read.
#[derive(Debug, Clone)]
pub struct ClientCa {
    /// The trusted CAs.
    pub bundle: Bundle,
    /// The CRLs as PEM, where there are any that Envoy gets.
    pub crl: Option<String>,
    /// A CRL under a key of the other family, which istiod ignores without a word.
    pub has_ignored_crl: bool,
    /// The Gateway that it serves, where it says so.
    pub gateway: Option<String>,
    /// The authority whose state it shows, where it says so.
    pub authority: Option<String>,
    /// The state's revision that it shows.
    pub revision: Option<u64>,
}

impl ClientCa {
    /// Reads a client-CA Secret of either key family, as istiod does.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let data = decoded(object)?;
        let text = |key: &str| data.get(key).filter(|bytes| !bytes.is_empty());
        let (bundle_key, crl_key, other_crl_key) = if text(BUNDLE).is_some() {
            (BUNDLE, REVOCATIONS, "ca.crl")
        } else {
            ("ca.crt", "ca.crl", REVOCATIONS)
        };
        let Some(bundle) = text(bundle_key) else {
            return Err(object.unreadable("it has neither a `cacert` nor a `ca.crt` key"));
        };
        let bundle = Bundle::parse(bundle)
            .map_err(|error| object.unreadable(format!("{bundle_key}: {error}")))?;
        let annotation = |key: &str| object.annotation(key).map(str::to_owned);
        Ok(Self {
            bundle,
            crl: text(crl_key).map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            has_ignored_crl: text(other_crl_key).is_some(),
            gateway: annotation(GATEWAY_ANNOTATION),
            authority: object.label(AUTHORITY_LABEL).map(str::to_owned),
            revision: object
                .annotation(REVISION_ANNOTATION)
                .and_then(|text| text.parse().ok()),
        })
    }

    /// A manifest of it that names, from the object as it is, only what this Secret is for.
    pub fn object(&self, live: &Object) -> Object {
        let mut data = json!({BUNDLE: BASE64.encode(self.bundle.to_pem())});
        if let Some(crl) = &self.crl {
            data[REVOCATIONS] = BASE64.encode(crl).into();
        }
        let mut object = Object::new(live.reference().clone());
        for key in [MANAGED_BY, AUTHORITY_LABEL] {
            if let Some(value) = live.label(key) {
                object = object.with_label(key, value);
            }
        }
        for key in [GATEWAY_ANNOTATION, REVISION_ANNOTATION] {
            if let Some(value) = live.annotation(key) {
                object = object.with_annotation(key, value);
            }
        }
        object.with("type", "Opaque".into()).with("data", data)
    }

    /// The CAs that the authority neither trusts nor has dropped: somebody else put them there.
    pub fn foreign<'a>(
        &'a self,
        state: Option<&'a AuthorityState>,
    ) -> impl Iterator<Item = &'a Certificate> {
        let known =
            move |ca: &Certificate| state.is_some_and(|state| state.knows(&ca.fingerprint()));
        self.bundle
            .certificates()
            .iter()
            .filter(move |ca| !known(ca))
    }
}

/// Names a client-CA Secret beside the gateway.
pub fn reference(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Secret, INGRESS_NAMESPACE, name)
}

/// The client-CA Secret that shows the authority's state; foreign CAs of `existing` are kept while unexpired.
pub fn project(
    name: &str,
    state: &AuthorityState,
    gateway: Option<&GatewayName>,
    existing: Option<&ClientCa>,
    now: OffsetDateTime,
) -> Result<Object, Error> {
    let foreign = existing
        .into_iter()
        .flat_map(|existing| existing.foreign(Some(state)));
    let cas = state.trusted.iter().chain(foreign).cloned();
    let bundle = Bundle::compose(cas, now)?;
    check_crls(&bundle, &state.crls, existing, now)?;
    let mut data = json!({BUNDLE: BASE64.encode(bundle.to_pem())});
    if !state.crls.is_empty() {
        data[REVOCATIONS] = BASE64.encode(state.crls.concat()).into();
    }
    let mut object = Object::new(reference(name))
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_label(AUTHORITY_LABEL, &state.authority)
        .with_annotation(REVISION_ANNOTATION, &state.revision.to_string());
    if let Some(gateway) = gateway {
        object = object.with_annotation(GATEWAY_ANNOTATION, &gateway.to_string());
    }
    Ok(object.with("type", "Opaque".into()).with("data", data))
}

/// The client-CA Secret of a bundle that the user gave: no authority stands behind it.
pub fn given(name: &str, bundle: &Bundle, gateway: &GatewayName) -> Object {
    foreign(name, bundle, None, gateway)
}

/// A copy of somebody else's client-CA Secret under another name, with the CRLs that Envoy gets; expired CAs are left out.
pub fn copied(
    name: &str,
    source: &ClientCa,
    gateway: &GatewayName,
    now: OffsetDateTime,
) -> Result<Object, Error> {
    let bundle = Bundle::compose(source.bundle.certificates().iter().cloned(), now)?;
    let crls: Vec<String> = source.crl.iter().cloned().collect();
    check_crls(&bundle, &crls, None, now)?;
    Ok(foreign(name, &bundle, source.crl.as_deref(), gateway))
}

fn foreign(name: &str, bundle: &Bundle, crl: Option<&str>, gateway: &GatewayName) -> Object {
    let mut data = json!({BUNDLE: BASE64.encode(bundle.to_pem())});
    if let Some(crl) = crl {
        data[REVOCATIONS] = BASE64.encode(crl).into();
    }
    Object::new(reference(name))
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_annotation(GATEWAY_ANNOTATION, &gateway.to_string())
        .with("type", "Opaque".into())
        .with("data", data)
}

/// Why a client-CA Secret may not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to trust.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// A CRL cannot be read.
    #[error(transparent)]
    Crl(#[from] crl::Error),
    /// A CA lacks its CRL, or a CRL is older than the published one.
    #[error(transparent)]
    Succession(#[from] succession::Error),
}

/// Where any CRL is, or was published, every CA of the bundle must have one that is valid now and no older.
fn check_crls(
    bundle: &Bundle,
    crls: &[String],
    existing: Option<&ClientCa>,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let mut after = Vec::new();
    for pem in crls {
        after.extend(Crl::many_from_pem(pem)?);
    }
    let published = existing.and_then(|existing| existing.crl.as_deref());
    // What cannot be read is older than anything, but it was there.
    let before = published.map(|pem| Crl::many_from_pem(pem).unwrap_or_default());
    let cas = bundle.certificates();
    succession::check(cas, before.as_deref().unwrap_or_default(), &after, now)?;
    match cas
        .first()
        .filter(|_| published.is_some() && after.is_empty())
    {
        Some(ca) => Err(succession::Error::Missing {
            subject: ca.subject().to_owned(),
        }
        .into()),
        None => Ok(()),
    }
}

#[derive(Deserialize)]
struct SecretData(#[serde(default)] BTreeMap<String, String>);

/// The values of a Secret's `data`, decoded from base64.
pub(super) fn decoded(object: &Object) -> Result<BTreeMap<String, Vec<u8>>, Unreadable> {
    let SecretData(data) = object.read("data")?;
    data.into_iter()
        .map(|(key, value)| match BASE64.decode(value) {
            Ok(bytes) => Ok((key, bytes)),
            Err(_) => Err(object.unreadable(format!("`{key}` is not base64"))),
        })
        .collect()
}
