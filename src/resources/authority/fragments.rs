//! The readable parts of an authority's object that was edited by hand: each field is read separately.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::layout::{BEFORE, BUNDLE, Generation, REVOCATIONS, STATE, lines, pem_blocks};
use super::{Ends, Origin};
use crate::pki::crl::Crl;
use crate::pki::inspect::Certificate;
use crate::resources::Object;
use crate::resources::names::{CLIENT_CA_ANNOTATION, GATEWAY_ANNOTATION, MESH_CONFIG_ANNOTATION};

const END_OF_CERTIFICATE: &str = "-----END CERTIFICATE-----";

/// The readable fields of an authority's object. Fingerprints are SHA-256, lower-case hex.
#[derive(Debug, Clone, Default)]
pub struct Fragments {
    /// Whether the object has a state, which tells its own CAs from external ones.
    pub has_state: bool,
    /// The revision; 0 if it cannot be read.
    pub revision: u64,
    /// The CAs that gateways read.
    pub bundle: Vec<Certificate>,
    /// The authority's own trusted CAs by their fingerprints, with their origins.
    pub origins: BTreeMap<String, Origin>,
    /// The fingerprints of trusted CAs whose keys the authority does not have.
    pub external: BTreeSet<String>,
    /// The fingerprint of the CA that signs.
    pub issuing: Option<String>,
    /// The CRLs as PEM.
    pub crls: Vec<String>,
    /// When the revoked certificates end.
    pub ends: Ends,
    /// The fingerprints of CAs that must not be trusted again.
    pub dropped: BTreeSet<String>,
    /// The hex SKIs of keys that must not be used again.
    pub retired: BTreeSet<String>,
    /// The Secret that holds the keys.
    pub keys_secret: Option<String>,
    /// The history, one line each, oldest first.
    pub history: Vec<String>,
    /// The Gateway that reads the authority.
    pub gateway: Option<String>,
    /// The Secret that a Gateway reads instead of the authority.
    pub client_ca_secret: Option<String>,
    /// The mesh configurations of its gateways.
    pub mesh_configs: Option<String>,
}

impl Fragments {
    /// Reads the readable fields, of this layout or the previous one.
    pub fn read(object: &Object) -> Self {
        let text = |key: &str| object.text(&["data", key]);
        let read = if text("format") == BEFORE && text(STATE).is_empty() {
            Self::earlier(object)
        } else {
            Self::current(object)
        };
        Self {
            gateway: object.annotation(GATEWAY_ANNOTATION).map(str::to_owned),
            client_ca_secret: object.annotation(CLIENT_CA_ANNOTATION).map(str::to_owned),
            mesh_configs: object.annotation(MESH_CONFIG_ANNOTATION).map(str::to_owned),
            ..read
        }
    }

    fn current(object: &Object) -> Self {
        let text = |key: &str| object.text(&["data", key]);
        let state: Value = serde_json::from_str(text(STATE)).unwrap_or_default();
        let named = |key: &str| state[key].as_str().map(str::to_owned);
        let generations = state["generations"].as_array();
        let origins = generations.into_iter().flatten();
        let origins = origins.filter_map(|one| {
            let read: Generation = serde_json::from_value(one.clone()).ok()?;
            Some((read.fingerprint, read.origin))
        });
        Self {
            has_state: generations.is_some(),
            revision: state["revision"].as_u64().unwrap_or_default(),
            bundle: certificates(text(BUNDLE)),
            origins: origins.collect(),
            external: strings(&state["external"]).collect(),
            issuing: named("issuing"),
            crls: crls(text(REVOCATIONS)),
            ends: Ends(serde_json::from_value(state["ends"].clone()).unwrap_or_default()),
            dropped: strings(&state["dropped"]).collect(),
            retired: strings(&state["retired"]).collect(),
            keys_secret: named("keysSecret"),
            history: strings(&state["history"]).collect(),
            ..Self::default()
        }
    }

    fn earlier(object: &Object) -> Self {
        let text = |key: &str| object.text(&["data", key]);
        let named = |key: &str| Some(text(key).to_owned()).filter(|text| !text.is_empty());
        let bundle = certificates(text("trusted"));
        let given: BTreeSet<String> = lines(text("given")).collect();
        let own = bundle.iter().map(Certificate::fingerprint);
        let origins = own.map(|ca| {
            let origin = Origin::of(given.contains(&ca));
            (ca, origin)
        });
        Self {
            has_state: !bundle.is_empty(),
            revision: text("revision").parse().unwrap_or_default(),
            origins: origins.collect(),
            bundle,
            issuing: named("issuing"),
            crls: crls(text("crls")),
            dropped: lines(text("dropped")).collect(),
            retired: lines(text("retired")).collect(),
            keys_secret: named("keysSecret"),
            history: lines(text("history")).collect(),
            ..Self::default()
        }
    }
}

fn strings(value: &Value) -> impl Iterator<Item = String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned))
}

/// The certificates of a PEM text, without those that are damaged.
fn certificates(text: &str) -> Vec<Certificate> {
    let blocks = text.split_inclusive(END_OF_CERTIFICATE);
    let read = blocks.filter_map(|block| {
        let start = block.find("-----BEGIN")?;
        Certificate::many_from_pem(&block[start..]).ok()
    });
    read.flatten().collect()
}

fn crls(text: &str) -> Vec<String> {
    let blocks = pem_blocks(text).into_iter();
    let read = blocks.filter_map(|block| Crl::many_from_pem(&block).ok());
    read.flatten().map(|crl| crl.pem()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::tests::authority;
    use crate::resources::authority::AuthorityState;

    fn edited(key: &str, text: &str) -> Fragments {
        let ca = authority().certificate().clone();
        let mut state = AuthorityState::new("kyma-mtls", ca, "kyma-mtls-2");
        state.dropped.insert("00ff".to_owned());
        state.retired.insert("abcd".to_owned());
        state.revision = 7;
        let object = state.object();
        let mut data = object.at(&["data"]).unwrap().clone();
        data[key] = text.into();
        Fragments::read(&object.with("data", data))
    }

    #[test]
    fn an_edited_bundle_leaves_what_the_state_says_and_the_other_way_round() {
        let read = edited("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA");
        assert!(read.has_state && read.bundle.is_empty());
        assert_eq!((read.revision, read.origins.len()), (7, 1));
        assert!(read.dropped.contains("00ff") && read.retired.contains("abcd"));
        assert_eq!(read.keys_secret.as_deref(), Some("kyma-mtls-2"));

        let read = edited("state.json", r#"{"dropped": ["00ff"], "revision": "many"}"#);
        assert!(!read.has_state && read.dropped.contains("00ff"));
        assert_eq!((read.revision, read.bundle.len()), (0, 1));
    }

    #[test]
    fn of_a_damaged_bundle_the_other_certificates_are_read() {
        let ca = authority().certificate().clone();
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let read = edited("ca.crt", &format!("junk\n{damaged}{}", ca.pem()));
        assert_eq!(read.bundle, [ca]);
    }

    #[test]
    fn the_layout_before_is_read_too() {
        let ca = authority().certificate().clone();
        let data = serde_json::json!({
            "format": "1", "revision": "x", "trusted": ca.pem(), "dropped": "00\n", "keysSecret": "kyma-mtls",
        });
        let state = AuthorityState::new("kyma-mtls", ca.clone(), "kyma-mtls");
        let read = Fragments::read(&state.object().with("data", data));
        assert_eq!(read.origins, [(ca.fingerprint(), Origin::Made)].into());
        assert!(read.dropped.contains("00"));
    }
}
