//! The layout of the state in its `ConfigMap`.
//!
//! `ca.crt` is the trust bundle, the issuing CA first, and `ca.crl` holds a CRL for each of its CAs, once there is any: both are what
//! gateways read. `state.json` holds everything else. The previous layout had a key for each field, and a Secret in the gateway's namespace
//! repeated the trust bundle.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{AuthorityState, Ends, Origin};
use crate::pki::crl::Crl;
use crate::pki::inspect::Certificate;
use crate::pki::pem_text::of_whole_lines;
use crate::pki::sha256;
use crate::resources::names::{
    AUTHORITY_LABEL, CLIENT_CA_ANNOTATION, CredentialNames, FIELD_MANAGER, GATEWAY_ANNOTATION,
    IN_USE_FINALIZER, MANAGED_BY, MESH_CONFIG_ANNOTATION,
};
use crate::resources::{Object, Unreadable};

/// The number of this layout; a state with a higher number is left alone, and versions that know only the previous layout leave this one
/// alone.
const FORMAT: &str = "2";
pub(super) const BEFORE: &str = "1";

pub(super) const BUNDLE: &str = "ca.crt";
pub(super) const REVOCATIONS: &str = "ca.crl";
pub(super) const STATE: &str = "state.json";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The trusted CAs, newest first.
    generations: Vec<Generation>,
    /// Fingerprints of the external CAs in the bundle.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    external: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ends: BTreeMap<String, Vec<i64>>,
    /// SHA-256 of each CRL of the authority, so that an edited one is noticed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    lists: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    dropped: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    retired: BTreeSet<String>,
    keys_secret: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unproven: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inventory: Option<String>,
    #[serde(default)]
    history: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Generation {
    pub(super) fingerprint: String,
    pub(super) origin: Origin,
}

impl AuthorityState {
    /// Reads the state, of this layout or the previous one.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let state = match object.text(&["data", "format"]) {
            FORMAT => current(object)?,
            BEFORE => earlier(object)?,
            _ => return Err(unknown_format(object)),
        };
        for (field, named) in [("issuing", &state.issuing), ("target", &state.target)] {
            if named.is_some() && state.trusted_ca(named.as_deref()).is_none() {
                let reason = format!(
                    "`{field}` names a CA that is not trusted: the state was edited by hand"
                );
                return Err(object.unreadable(reason));
            }
        }
        if state.keys_secret.is_empty() {
            return Err(object.unreadable("`keysSecret` is missing: the state was edited by hand"));
        }
        Ok(state)
    }

    /// Refuses an object that a later version wrote. Any other unreadable object was edited by hand.
    pub fn check_format(object: &Object) -> Result<(), Unreadable> {
        let number = |format: &str| format.parse::<u64>().ok();
        if number(object.text(&["data", "format"])) > number(FORMAT) {
            return Err(unknown_format(object));
        }
        Ok(())
    }

    /// This state in place of the one in `live`, for a PUT; fields of others stay.
    pub fn changing(&self, live: &Object) -> Object {
        let mut object = self.object().changing(live);
        if self.gateway.is_none() {
            object = object
                .without_annotation(GATEWAY_ANNOTATION)
                .without_finalizer(IN_USE_FINALIZER);
        }
        if self.client_ca_secret.is_none() {
            object = object.without_annotation(CLIENT_CA_ANNOTATION);
        }
        if self.mesh_configs.is_none() {
            object = object.without_annotation(MESH_CONFIG_ANNOTATION);
        }
        object
    }

    /// The manifest.
    pub fn object(&self) -> Object {
        let external = self.external.iter().map(Certificate::fingerprint);
        let external = external.filter(|external| !self.intruders.contains(external));
        let origin = |ca: &Certificate| Origin::of(self.given.contains(&ca.fingerprint()));
        let state = State {
            revision: self.revision,
            issuing: self.issuing.clone(),
            target: self.target.clone(),
            generations: self
                .trusted
                .iter()
                .map(|ca| Generation {
                    fingerprint: ca.fingerprint(),
                    origin: origin(ca),
                })
                .collect(),
            external: external.collect(),
            ends: self.ends.0.clone(),
            lists: self.known_lists(),
            dropped: self.dropped.clone(),
            retired: self.retired.clone(),
            keys_secret: self.keys_secret.clone(),
            unproven: self.unproven,
            inventory: self.inventory.clone(),
            history: self.history.clone(),
        };
        let mut data = json!({
            "format": FORMAT,
            BUNDLE: self.admitted().iter().map(Certificate::pem).collect::<String>(),
            STATE: json!(state).to_string(),
        });
        if !self.crls.is_empty() {
            data[REVOCATIONS] = self.crls.concat().into();
        }
        let reference = CredentialNames::of_authority(&self.authority).state();
        let mut object = Object::new(reference)
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_label(AUTHORITY_LABEL, &self.authority);
        if let Some(gateway) = &self.gateway {
            object = object
                .with_annotation(GATEWAY_ANNOTATION, gateway)
                .with_finalizer(IN_USE_FINALIZER);
        }
        if let Some(secret) = &self.client_ca_secret {
            object = object.with_annotation(CLIENT_CA_ANNOTATION, secret);
        }
        if let Some(configs) = &self.mesh_configs {
            object = object.with_annotation(MESH_CONFIG_ANNOTATION, configs);
        }
        object.with("data", data)
    }
}

impl AuthorityState {
    /// Whether somebody changed or removed a published list. Lists that others add, of an external CA for example, do not count.
    pub fn has_edited_lists(&self) -> bool {
        let found: BTreeSet<String> = self.crls.iter().map(|list| digest(list)).collect();
        !self.lists.is_subset(&found)
    }

    /// The hashes by which a later edit is noticed; an edit that exists already stays noticed.
    fn known_lists(&self) -> BTreeSet<String> {
        if self.has_edited_lists() {
            return self.lists.clone();
        }
        let is_ours = |pem: &&String| {
            let lists = Crl::many_from_pem(pem).unwrap_or_default();
            let mut cas = self.trusted.iter();
            cas.any(|ca| lists.iter().any(|list| list.is_signed_by(ca)))
        };
        let ours = self.crls.iter();
        ours.filter(|pem| self.external.is_empty() || is_ours(pem))
            .map(|list| digest(list))
            .collect()
    }
}

fn unknown_format(object: &Object) -> Unreadable {
    let format = object.text(&["data", "format"]);
    object.unreadable(format!(
        "the format is `{format}`, and this version supports `{FORMAT}`: use the version of kubectl-mtls that wrote it, or a newer one"
    ))
}

fn current(object: &Object) -> Result<AuthorityState, Unreadable> {
    let text = |key: &str| object.text(&["data", key]);
    let state: State = serde_json::from_str(text(STATE)).map_err(|error| {
        object.unreadable(format!(
            "`{STATE}` is damaged, at line {}, column {}: the state was edited by hand",
            error.line(),
            error.column()
        ))
    })?;
    let mut others = certificates(object, BUNDLE)?;
    // A CA that stands there twice is trusted as one that does once.
    let mut seen = BTreeSet::new();
    others.retain(|ca| seen.insert(ca.fingerprint()));
    let mut trusted = Vec::new();
    for Generation { fingerprint, .. } in &state.generations {
        let place = others
            .iter()
            .position(|ca| ca.fingerprint() == *fingerprint);
        let place = place.ok_or_else(|| {
            object.unreadable(format!(
                "`{BUNDLE}` lacks the CA {fingerprint}: the object was edited by hand"
            ))
        })?;
        trusted.push(others.remove(place));
    }
    if let Some(leaf) = others
        .iter()
        .find(|certificate| !certificate.may_be_anchor())
    {
        let reason = format!("`{BUNDLE}` holds `{}`, which is not a CA", leaf.subject());
        return Err(object.unreadable(reason));
    }
    let was_dropped = |ca: &Certificate| state.dropped.contains(&ca.fingerprint());
    let (readmitted, external): (Vec<_>, Vec<_>) = others.into_iter().partition(was_dropped);
    let intruders = external.iter().map(Certificate::fingerprint);
    let intruders = intruders
        .filter(|ca| !state.external.contains(ca))
        .collect();
    let given = state.generations.iter();
    let given = given.filter(|generation| generation.origin == Origin::Given);
    Ok(AuthorityState {
        authority: object.name().to_owned(),
        revision: state.revision,
        lists: state.lists,
        trusted,
        issuing: state.issuing,
        target: state.target,
        external,
        intruders,
        readmitted,
        crls: pem_blocks(&read_by_gateways(text(REVOCATIONS))),
        ends: Ends(state.ends),
        dropped: state.dropped,
        given: given
            .map(|generation| generation.fingerprint.clone())
            .collect(),
        retired: state.retired,
        keys_secret: state.keys_secret,
        unproven: state.unproven,
        inventory: state.inventory,
        history: state.history,
        gateway: object.annotation(GATEWAY_ANNOTATION).map(str::to_owned),
        client_ca_secret: object.annotation(CLIENT_CA_ANNOTATION).map(str::to_owned),
        mesh_configs: object.annotation(MESH_CONFIG_ANNOTATION).map(str::to_owned),
    })
}

/// Reads the previous layout, whose ends did not name their CA; without them no revocation is ever
/// dropped from a CRL.
fn earlier(object: &Object) -> Result<AuthorityState, Unreadable> {
    let text = |key: &str| object.text(&["data", key]);
    let named = |key: &str| Some(text(key).to_owned()).filter(|text| !text.is_empty());
    let revision = text("revision").parse();
    Ok(AuthorityState {
        authority: object.name().to_owned(),
        revision: revision.map_err(|_| object.unreadable("revision is not a number"))?,
        lists: BTreeSet::new(),
        trusted: certificates(object, "trusted")?,
        issuing: named("issuing"),
        target: named("target"),
        external: Vec::new(),
        intruders: BTreeSet::new(),
        readmitted: Vec::new(),
        crls: pem_blocks(text("crls")),
        ends: Ends::default(),
        dropped: lines(text("dropped")).collect(),
        given: lines(text("given")).collect(),
        retired: lines(text("retired")).collect(),
        keys_secret: text("keysSecret").to_owned(),
        unproven: None,
        inventory: None,
        history: lines(text("history")).collect(),
        gateway: object.annotation(GATEWAY_ANNOTATION).map(str::to_owned),
        client_ca_secret: object.annotation(CLIENT_CA_ANNOTATION).map(str::to_owned),
        mesh_configs: object.annotation(MESH_CONFIG_ANNOTATION).map(str::to_owned),
    })
}

/// SHA-256 of a PEM block, whatever its line lengths.
fn digest(pem: &str) -> String {
    let text: String = pem.split_whitespace().collect();
    sha256::hex_digest(text.as_bytes())
}

/// A PEM text without the blocks that gateways skip.
fn read_by_gateways(text: &str) -> String {
    String::from_utf8_lossy(&of_whole_lines(text.as_bytes())).into_owned()
}

fn certificates(object: &Object, key: &str) -> Result<Vec<Certificate>, Unreadable> {
    Certificate::many_from_pem(read_by_gateways(object.text(&["data", key])))
        .map_err(|error| object.unreadable(format!("{key}: {error}")))
}

pub(super) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
}

/// The CRLs of a PEM text without what stands around them, each with LF line ends and one at its end. A text without any CRL stays as it
/// is: it is none.
pub(super) fn pem_blocks(text: &str) -> Vec<String> {
    const BEGIN: &str = "-----BEGIN X509 CRL-----";
    const END: &str = "-----END X509 CRL-----";
    let text = text.replace('\r', "");
    let mut starts: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
    if starts.is_empty() && !text.trim().is_empty() {
        starts.push(0);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let blocks = starts.iter().zip(ends).map(|(&start, end)| {
        let block = &text[start..end];
        let end = block.find(END).map(|at| at + END.len());
        end.map_or(block, |end| &block[..end])
    });
    blocks
        .map(|block| format!("{}\n", block.trim_end()))
        .collect()
}
