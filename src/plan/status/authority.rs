//! The authority behind a client CA: whether it is what it was, and stays.

use time::OffsetDateTime;

use super::facts::{Facts, readable};
use super::{Finding, Link, check, crl};
use crate::plan::check::Severity;
use crate::plan::witness::Fault;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::names::{AUTHORITY_NAMESPACE, CredentialNames};
use crate::resources::{Kind, Object, ObjectRef, capacity};

/// What is wrong with an authority that can be read.
pub(super) fn checks(state: &AuthorityState, facts: &Facts<'_>) -> Vec<Finding> {
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
pub(super) fn lost(fault: &Fault, authority: &str) -> Finding {
    Finding::new(
        fault.check(),
        fault.says(authority),
        format!(
            "kubectl mtls ca-rotate {} --authority {authority}",
            fault.mended_by()
        ),
    )
    .graded(Severity::Error)
}

/// Nothing can take a deletion back: the object goes as soon as its finalizer does.
fn being_deleted(state: &AuthorityState, object: &Object) -> Option<Finding> {
    object.at(&["metadata", "deletionTimestamp"])?;
    let AuthorityState { authority, .. } = state;
    let name = CredentialNames::of_authority(authority).state().name;
    let free = r#"{"metadata":{"finalizers":null}}"#;
    Some(Finding::new(&check::AUTHORITY_BEING_DELETED, format!(
            "somebody deleted the authority `{authority}`: its finalizer keeps it for the Gateways that read it"
        ), format!(
            "kubectl -n {AUTHORITY_NAMESPACE} patch configmap {name} --type=merge -p '{free}' && kubectl mtls ca-rotate --restore --authority {authority}"
        )).because("it serves on, and is lost with the finalizer: a proxy that starts then refuses everybody"))
}

fn nearly_full(state: &AuthorityState, object: &Object) -> Option<Finding> {
    let taken = capacity::taken(object);
    (taken >= capacity::NEARLY_FULL).then(|| {
        Finding::new(
            &check::AUTHORITY_NEARLY_FULL,
            format!(
                "the authority `{}` takes {taken} % of what a ConfigMap can hold",
                state.authority
            ),
            format!("kubectl mtls ca-rotate --authority {}", state.authority),
        )
        .because("once it is full, nobody can be revoked")
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
            link.add(Finding::new(&check::CLIENT_CA_EXTERNAL_ADDED, format!(
                    "the CA `{}` was put into the bundle of the authority `{}` by hand",
                    ca.subject(),
                    state.authority
                ), command(&format!(" --drop-external {fingerprint}"))).because("whoever has a certificate of it is let in, and nobody can be revoked while it is there"));
        }
    }
    for ca in &state.readmitted {
        link.add(
            Finding::new(
                &check::CLIENT_CA_DROPPED_IS_BACK,
                format!(
                    "the CA `{}`, which was dropped, is in the bundle of the authority `{}` again",
                    ca.subject(),
                    state.authority
                ),
                command(&format!(" --drop-external {}", ca.fingerprint())),
            )
            .because("its clients are let in again: the bundle was edited, or an old one put back"),
        );
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
            &check::CLIENT_CA_NOT_THE_AUTHORITYS,
            format!(
                "{reference} does not hold the CA `{}` of the authority `{authority}`: {consequence}",
                ca.subject()
            ),
            "`kubectl mtls expose SERVICE --fail-closed` lets the Gateway read the authority itself",
        );
    }
}
