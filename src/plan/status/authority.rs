//! The authority behind a client CA: whether it is what it was, and stays.

use time::OffsetDateTime;

use super::facts::{Facts, readable};
use super::{Check, Link, Mark, Severity, crl};
use crate::plan::witness::Fault;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::names::{AUTHORITY_NAMESPACE, CredentialNames};
use crate::resources::{Kind, Object, ObjectRef, capacity};

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

/// CAs in an authority's bundle that it did not put there itself.
fn intruder_checks(state: &AuthorityState, link: &mut Link) {
    let command = |flags: &str| {
        format!(
            "kubectl mtls ca-rotate --finish{flags} --authority {}",
            state.authority
        )
    };
    for ca in &state.external {
        let fingerprint = ca.fingerprint();
        if state.intruders.contains(&fingerprint) {
            link.add(Check {
                id: "client-ca/external-added",
                severity: Severity::Error,
                seen: format!(
                    "the CA `{}` was put into the bundle of the authority `{}` by hand",
                    ca.subject(),
                    state.authority
                ),
                why: "whoever has a certificate of it is let in, and nobody can be revoked while it is there"
                    .to_owned(),
                remedy: command(&format!(" --drop-external {fingerprint}")),
            });
        }
    }
    for ca in &state.readmitted {
        link.add(Check {
            id: "client-ca/dropped-is-back",
            severity: Severity::Error,
            seen: format!(
                "the CA `{}`, which was dropped, is in the bundle of the authority `{}` again",
                ca.subject(),
                state.authority
            ),
            why: "its clients are let in again: the bundle was edited, or an old one put back"
                .to_owned(),
            remedy: command(&format!(" --drop-external {}", ca.fingerprint())),
        });
    }
}

/// A Secret that a Gateway reads in the place of an authority must say what that does.
pub(super) fn faults(
    reference: &ObjectRef,
    client_ca: &ClientCa,
    state: &AuthorityState,
    now: OffsetDateTime,
    link: &mut Link,
) {
    intruder_checks(state, link);
    if reference.kind == Kind::ConfigMap {
        return;
    }
    let authority = &state.authority;
    crl::authority_faults(reference, client_ca, state, link);
    let absent = state
        .trusted
        .iter()
        .filter(|ca| !ca.is_expired(now) && !client_ca.bundle.contains(ca));
    for ca in absent {
        let is_issuing = state.issuing_ca() == Some(ca);
        let consequence = if is_issuing {
            "certificates issued now are refused"
        } else {
            "its clients are refused"
        };
        link.find(
            Mark::Error,
            format!(
                "{reference} does not hold the CA `{}` of the authority `{authority}`: {consequence}",
                ca.subject()
            ),
            "`kubectl mtls expose SERVICE --fail-closed` lets the Gateway read the authority itself",
        );
    }
}
