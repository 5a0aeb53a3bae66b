//! The authority behind a client CA: whether it is what it was, and stays.

use super::facts::{Facts, readable};
use super::{Check, Severity};
use crate::plan::witness::Fault;
use crate::resources::authority::AuthorityState;
use crate::resources::names::{AUTHORITY_NAMESPACE, CredentialNames};
use crate::resources::{Object, capacity};

/// What is wrong with an authority that can be read.
pub(super) fn checks(state: &AuthorityState, facts: &Facts<'_>) -> Vec<Check> {
    let states = readable(&facts.states);
    let object = states
        .iter()
        .find(|(_, known)| known.authority == state.authority)
        .map(|(object, _)| *object);
    let fault = facts.lost(&state.authority, Some(state));
    let lost = fault.map(|fault| lost(&fault, &state.authority));
    let others = object
        .into_iter()
        .flat_map(|object| [being_deleted(state, object), nearly_full(state, object)]);
    lost.into_iter().chain(others.flatten()).collect()
}

/// An authority, or its inventory, that is not what it was.
pub(super) fn lost(fault: &Fault, authority: &str) -> Check {
    Check {
        id: fault.id(),
        severity: Severity::Error,
        seen: fault.says(authority),
        why: fault.why().to_owned(),
        remedy: format!(
            "kubectl mtls ca-rotate {} --authority {authority}",
            fault.mended_by()
        ),
    }
}

/// Nothing can take a deletion back: the object goes as soon as its finalizer does.
fn being_deleted(state: &AuthorityState, object: &Object) -> Option<Check> {
    object.at(&["metadata", "deletionTimestamp"])?;
    let AuthorityState { authority, .. } = state;
    let name = CredentialNames::of_authority(authority).state().name;
    let free = r#"{"metadata":{"finalizers":null}}"#;
    Some(Check {
        id: "authority/being-deleted",
        severity: Severity::Error,
        seen: format!(
            "somebody deleted the authority `{authority}`: its finalizer keeps it for the Gateways that read it"
        ),
        why: "it serves on, and is lost with the finalizer: a proxy that starts then refuses everybody".to_owned(),
        remedy: format!(
            "kubectl -n {AUTHORITY_NAMESPACE} patch configmap {name} --type=merge -p '{free}' && kubectl mtls ca-rotate --restore --authority {authority}"
        ),
    })
}

fn nearly_full(state: &AuthorityState, object: &Object) -> Option<Check> {
    let taken = capacity::taken(object);
    (taken >= capacity::NEARLY_FULL).then(|| Check {
        id: "authority/nearly-full",
        severity: Severity::Warning,
        seen: format!(
            "the authority `{}` takes {taken} % of what a ConfigMap can hold",
            state.authority
        ),
        why: "once it is full, nobody can be revoked".to_owned(),
        remedy: format!("kubectl mtls ca-rotate --authority {}", state.authority),
    })
}
