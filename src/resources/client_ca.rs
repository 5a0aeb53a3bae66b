//! The object from which gateways read their client CA: an authority's `ConfigMap`, or, for a Gateway that was not moved to one, a Secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use time::OffsetDateTime;

use super::authority::AuthorityState;
use super::data::{decoded, plain};
pub use super::names::credential::{field, reference, secret};
use super::names::{AUTHORITY_LABEL, FIELD_MANAGER, INGRESS_NAMESPACE, MANAGED_BY};
use super::{Kind, Object, ObjectRef, Unreadable};
use crate::pki::bundle::{self, Bundle};
use crate::pki::crl::{self, Crl, succession};
use crate::pki::inspect::Certificate;
use crate::pki::pem_text::of_whole_lines;

/// The key of the bundle in a Secret of this plugin; `ca.crt` belongs to istiod's other naming scheme (`pilot/pkg/credentials/kube`).
const BUNDLE: &str = "cacert";
/// The key of the CRLs; never `ca.crl`, which istiod silently ignores beside `cacert`, and never with an empty value, which checks nothing.
const REVOCATIONS: &str = "crl";

/// The notation in which an authority records the Secret that a Gateway reads instead: its name, with its namespace unless that is
/// `istio-system`.
pub fn note(secret: &ObjectRef) -> String {
    if secret.namespace == INGRESS_NAMESPACE {
        secret.name.clone()
    } else {
        format!("{}/{}", secret.namespace, secret.name)
    }
}

/// The Secret of such a record.
pub fn of_note(note: &str) -> ObjectRef {
    match note.split_once('/') {
        Some((namespace, name)) => secret(namespace, name),
        None => secret(INGRESS_NAMESPACE, note),
    }
}

/// The trust bundle and revocation lists of a gateway, as they were read.
#[derive(Debug, Clone)]
pub struct ClientCa {
    /// The trusted CAs.
    pub bundle: Bundle,
    /// The CRLs as PEM, if istiod gives any to Envoy.
    pub crl: Option<String>,
    /// Whether there is a CRL under a key of the other naming scheme, which istiod silently
    /// ignores.
    pub has_ignored_crl: bool,
    /// The authority that the object is, or whose content it has, by its label.
    pub authority: Option<String>,
}

impl ClientCa {
    /// Reads a `ConfigMap` or Secret with either naming scheme, as istiod does.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let material = Material::read(object)?;
        let bundle = material
            .trust_bundle()
            .map_err(|error| object.unreadable(format!("{}: {error}", material.key)))?;
        Ok(Self {
            bundle,
            crl: material
                .crl
                .map(|bytes| String::from_utf8_lossy(&of_whole_lines(&bytes)).into_owned()),
            has_ignored_crl: material.has_ignored_crl,
            authority: object.label(AUTHORITY_LABEL).map(str::to_owned),
        })
    }

    /// The trust bundle and revocation lists of an authority.
    pub fn of(state: &AuthorityState) -> Result<Self, bundle::Error> {
        let crl = (!state.crls.is_empty()).then(|| state.crls.concat());
        Ok(Self {
            bundle: Bundle::of(state.admitted())?,
            crl,
            has_ignored_crl: false,
            authority: Some(state.authority.clone()),
        })
    }

    /// The CAs that the authority neither trusts nor has dropped: somebody else added them.
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

/// The bytes that istiod reads from a client CA's object; it sends them to proxies unchanged.
#[derive(Debug)]
pub struct Material {
    /// The key of the trust bundle.
    pub key: &'static str,
    /// The trust bundle.
    pub bundle: Vec<u8>,
    /// The revocation lists, if there are any.
    pub crl: Option<Vec<u8>>,
    has_ignored_crl: bool,
}

impl Material {
    /// Reads the bytes; fails if the object has no key that istiod reads.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let mut data = match object.reference().kind {
            Kind::ConfigMap => plain(object)?,
            _ => decoded(object)?,
        };
        data.retain(|_, bytes| !bytes.is_empty());
        let (key, crl_key, other_crl_key) = if data.contains_key(BUNDLE) {
            (BUNDLE, REVOCATIONS, "ca.crl")
        } else {
            ("ca.crt", "ca.crl", REVOCATIONS)
        };
        let bundle = data.remove(key).ok_or_else(|| {
            object.unreadable("the object has neither a `cacert` nor a `ca.crt` key")
        })?;
        Ok(Self {
            key,
            bundle,
            crl: data.remove(crl_key),
            has_ignored_crl: data.contains_key(other_crl_key),
        })
    }

    /// The CAs, as far as Envoy reads them.
    pub fn trust_bundle(&self) -> Result<Bundle, bundle::Error> {
        Bundle::parse(of_whole_lines(&self.bundle))
    }
}

/// The Secret of a Gateway that was not moved, with the authority's content; unexpired CAs that the authority does not know stay, and so do
/// all other fields.
pub fn follow(
    live: &Object,
    state: &AuthorityState,
    now: OffsetDateTime,
) -> Result<Object, FollowError> {
    let shown = ClientCa::read(live)?;
    let unknown = shown.foreign(Some(state));
    let cas = state.trusted.iter().chain(unknown).cloned();
    let bundle = Bundle::compose(cas, now)?;
    check_crls(&bundle, &state.crls, &shown, now)?;
    let mut data = json!({BUNDLE: BASE64.encode(bundle.to_pem())});
    if !state.crls.is_empty() {
        data[REVOCATIONS] = BASE64.encode(state.crls.concat()).into();
    }
    Ok(Object::new(live.reference().clone())
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_label(AUTHORITY_LABEL, &state.authority)
        .with("data", data)
        .changing(live))
}

/// Why a Secret cannot get an authority's content.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The Secret cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// There would be no CA to trust.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// A CRL cannot be read.
    #[error(transparent)]
    Crl(#[from] crl::Error),
    /// A CA lacks its CRL, or a CRL is older than the published one.
    #[error(transparent)]
    Succession(#[from] succession::Error),
}

/// Checks that every CA of the bundle has a CRL that is valid now and not older, if any CRL exists, or was published.
fn check_crls(
    bundle: &Bundle,
    crls: &[String],
    existing: &ClientCa,
    now: OffsetDateTime,
) -> Result<(), FollowError> {
    let mut after = Vec::new();
    for pem in crls {
        after.extend(Crl::many_from_pem(pem)?);
    }
    let published = existing.crl.as_deref();
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
