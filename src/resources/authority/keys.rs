//! The keys' Secret: for each CA its private key and its certificate, with where they came from.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::pki::inspect::{self, Certificate};
use crate::pki::key::PrivateKey;
use crate::resources::data::decoded;
use crate::resources::names::{AUTHORITY_LABEL, FIELD_MANAGER, MANAGED_BY};
use crate::resources::{Object, ObjectRef, Unreadable};

/// Beside a key, which stands under the hex SKI of its CA.
const CERTIFICATE: &str = ".crt";
const ORIGIN: &str = ".origin";

/// Where a CA came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was made here, and nobody else has its key.
    Made,
    /// It was given, with its key: others may have signed clients with it.
    Given,
}

impl Origin {
    /// Of a CA that was given, or made here.
    pub fn of(is_given: bool) -> Self {
        if is_given { Self::Given } else { Self::Made }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Given => "given",
        }
    }
}

/// The authority's private keys, by the hex SKI of their CA, with what stands beside them.
#[derive(Debug, Default)]
pub struct Keys {
    private: BTreeMap<String, Zeroizing<Vec<u8>>>,
    certificates: BTreeMap<String, Vec<u8>>,
    origins: BTreeMap<String, Origin>,
}

impl Keys {
    /// Reads the keys' Secret.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let mut read = Self::default();
        for (name, value) in decoded(object)? {
            if let Some(ski) = name.strip_suffix(CERTIFICATE) {
                read.certificates.insert(ski.to_owned(), value);
            } else if let Some(ski) = name.strip_suffix(ORIGIN) {
                let known = [Origin::Made, Origin::Given];
                let origin = known
                    .into_iter()
                    .find(|origin| origin.text().as_bytes() == value);
                read.origins
                    .extend(origin.map(|origin| (ski.to_owned(), origin)));
            } else if !name.contains('.') {
                read.private.insert(name, Zeroizing::new(value));
            }
        }
        Ok(read)
    }

    /// The certificates that stand beside the keys; earlier versions wrote none.
    pub fn certificates(&self) -> Result<Vec<Certificate>, inspect::Error> {
        let all = self.certificates.values().map(Certificate::many_from_pem);
        Ok(all.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Where a CA came from, by its hex SKI, where that is known.
    pub fn origin(&self, ski: &str) -> Option<Origin> {
        self.origins.get(ski).copied()
    }

    /// The key of a CA as PEM, where the Secret has one.
    pub fn of(&self, ca: &Certificate) -> Option<&[u8]> {
        Some(self.private.get(&ca.key_id_hex())?.as_slice())
    }

    /// The hex SKIs of all of them.
    pub fn skis(&self) -> impl Iterator<Item = &str> {
        self.private.keys().map(String::as_str)
    }
}

fn entries(ca: &Certificate, key: &PrivateKey, origin: Origin) -> [(String, String); 3] {
    let ski = ca.key_id_hex();
    [
        (format!("{ski}{CERTIFICATE}"), BASE64.encode(ca.pem())),
        (format!("{ski}{ORIGIN}"), BASE64.encode(origin.text())),
        (ski, BASE64.encode(key.to_pem().as_bytes())),
    ]
}

/// The keys' Secret as it was read, with the key of a further CA; `None` where it has one of that CA: none is ever overwritten.
pub fn keys_with(
    live: &Object,
    ca: &Certificate,
    key: &PrivateKey,
    origin: Origin,
) -> Option<Object> {
    let mut data = live.at(&["data"]).cloned().unwrap_or_else(|| json!({}));
    if data.get(ca.key_id_hex()).is_some() {
        return None;
    }
    for (name, value) in entries(ca, key, origin) {
        data[name] = value.into();
    }
    Some(live.clone().with("data", data))
}

/// The keys' Secret with the certificate and the origin of these CAs beside their keys, which earlier versions left out. A CA
/// without a key there is passed over, and what stands there stays.
#[must_use]
pub fn keys_described<'a>(
    live: Object,
    cas: impl IntoIterator<Item = (&'a Certificate, Origin)>,
) -> Object {
    let Some(mut data) = live.at(&["data"]).cloned() else {
        return live;
    };
    for (ca, origin) in cas {
        let ski = ca.key_id_hex();
        if data.get(&ski).is_none() {
            continue;
        }
        for (name, value) in [
            (format!("{ski}{CERTIFICATE}"), BASE64.encode(ca.pem())),
            (format!("{ski}{ORIGIN}"), BASE64.encode(origin.text())),
        ] {
            if data.get(&name).is_none() {
                data[name] = value.into();
            }
        }
    }
    live.with("data", data)
}

/// The keys' Secret as it was read, without the keys of these CAs; `None` where it has none of them.
pub fn keys_without(live: &Object, skis: &BTreeSet<String>) -> Option<Object> {
    let mut data = live.at(&["data"])?.as_object()?.clone();
    let before = data.len();
    data.retain(|name, _| {
        let ski = name.split('.').next().unwrap_or_default();
        !skis.contains(ski)
    });
    (data.len() < before).then(|| live.clone().with("data", data.into()))
}

/// The Secret with the first key of an authority. It is created, never applied: the answer to an apply would show the key.
pub fn keys_object(
    reference: ObjectRef,
    authority: &str,
    ca: &Certificate,
    key: &PrivateKey,
    origin: Origin,
) -> Object {
    let data: serde_json::Map<_, _> = entries(ca, key, origin)
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    Object::new(reference)
        .with_label(MANAGED_BY, FIELD_MANAGER)
        .with_label(AUTHORITY_LABEL, authority)
        .with("type", "Opaque".into())
        .with("data", data.into())
}
