//! The authority of a deleted Gateway: another Gateway that reads it becomes its owner; without one, the finalizer is removed, unless
//! Gateways of the Kubernetes Gateway API read it.

use super::extent::{Extent, gateways};
use super::{Request, users};
use crate::error::Failure;
use crate::plan::probe::{is_reader, kubernetes_gateways, kubernetes_readers, kubernetes_unknown};
use crate::plan::{Attempt, Effect, Observed, Query, Reconciled, Seen, Write};
use crate::resources::authority::AuthorityState;
use crate::resources::field_managers::keeper;
use crate::resources::names::{
    AUTHORITY_NAMESPACE, CredentialNames, GATEWAY_ANNOTATION, GatewayName, IN_USE_FINALIZER,
};
use crate::resources::{Object, ObjectRef};

/// Removes the authority's finalizer, if that is permitted; its keys and its clients are kept.
pub(super) fn release(request: &Request, extent: &Extent, observed: &Observed) -> Reconciled<()> {
    let (Some(gateway), Some(authority)) = (&extent.gateway, &extent.authority) else {
        return Ok(());
    };
    let goes = extent.doomed.contains(&gateway.reference());
    let reference = CredentialNames::of_authority(authority).state();
    if !goes || request.dry_run {
        return Ok(());
    }
    // Once the record is gone, nothing tells any more that it was not let go.
    if let Some(Attempt::Failed(reason)) = observed.attempt(&reference) {
        return Err(Failure::failed(format!(
            "the finalizer of {reference} was not removed: {reason}"
        ))
        .hint("run the same command again to continue")
        .into());
    }
    if observed.was_attempted(&reference) {
        return Ok(());
    }
    observed.prefetch([Query::Get(reference.clone())])?;
    let object = match observed.try_get(&reference)? {
        Seen::Found(object) => object,
        // Whoever may not read it cannot let it go.
        Seen::Missing | Seen::NotServed | Seen::Denied(_) | Seen::Unreadable(_) => return Ok(()),
        // As above.
        Seen::Failed(_) => return observed.get(&reference).map(drop),
    };
    let Ok(state) = AuthorityState::read(object) else {
        return Ok(());
    };
    if !object.has_finalizer(IN_USE_FINALIZER) {
        return Ok(());
    }
    users::read_again(&[gateways(), kubernetes_gateways()], observed)?;
    if users::made_again(extent, observed)?.is_some() {
        return Ok(());
    }
    let listed = users::readable_gateways(observed)?;
    let mut others = listed.iter().filter(|other| other.name != *gateway);
    let owner = object.annotation(GATEWAY_ANNOTATION).unwrap_or_default();
    if others.clone().any(|other| other.name.to_string() == owner) {
        return Ok(());
    }
    let next = others
        .find(|other| is_reader(other, &state))
        .map(|other| other.name.to_string());
    if next.is_none() && still_read(&state, observed)?.is_some() {
        return Ok(());
    }
    if keeper(object).is_some() {
        return Ok(());
    }
    let next = AuthorityState {
        gateway: next,
        ..state
    };
    Err(Effect::Attempt(Write::Replace(next.changing(object))).into())
}

/// Why the authority's finalizer was not removed, if that is not permitted, or if it is still read.
pub(super) fn why_kept(request: &Request, extent: &Extent, observed: &Observed) -> Option<String> {
    let (gateway, authority) = (extent.gateway.as_ref()?, extent.authority.as_ref()?);
    if request.dry_run || !extent.doomed.contains(&gateway.reference()) {
        return None;
    }
    let reference = CredentialNames::of_authority(authority).state();
    let attempt = observed.attempt(&reference);
    let (why, who) = match why_not_tried(gateway, &reference, observed) {
        Some(why) => (why, UNREAD),
        None => match (attempt, observed.already_read(&reference)) {
            (Some(Attempt::Refused(reason)), _) => {
                (reason.clone(), "a user who may update it can run")
            }
            (None, Some(Seen::Denied(reason))) => (reason, UNREAD),
            _ => return None,
        },
    };
    Some(format!(
        "the authority `{authority}` keeps its finalizer `{IN_USE_FINALIZER}`, which blocks its deletion: {why}; to remove the finalizer, {who}: \
         `kubectl patch configmap {authority} -n {AUTHORITY_NAMESPACE} --type json -p '[{{\"op\":\"remove\",\"path\":\"/metadata/finalizers\"}}]'`"
    ))
}

/// Who removes the finalizer of an authority that Gateways may still read.
const UNREAD: &str = "run this once no Gateway reads the authority";

/// Why this run did not try to remove the finalizer of an authority that has it.
fn why_not_tried(
    gateway: &GatewayName,
    reference: &ObjectRef,
    observed: &Observed,
) -> Option<String> {
    let seen = observed.already_read(reference)?;
    let object = seen.found()?;
    if observed.was_attempted(reference) || !object.has_finalizer(IN_USE_FINALIZER) {
        return None;
    }
    let state = AuthorityState::read(object).ok()?;
    if let Some(why) = still_read(&state, observed).ok()? {
        return Some(why);
    }
    let keeper = keeper(object).filter(|_| !is_needed(gateway, object, observed))?;
    Some(format!("{keeper} manages {reference}"))
}

/// Why Gateways of the Kubernetes Gateway API may read an authority, if any may.
fn still_read(state: &AuthorityState, observed: &Observed) -> Reconciled<Option<String>> {
    let readers = kubernetes_readers(state, observed)?;
    let reader = readers.first().map(|reader| {
        format!(
            "the {} of the Kubernetes Gateway API reads it",
            reader.reference()
        )
    });
    Ok(reader.or_else(|| {
        let reason = kubernetes_unknown(observed)?;
        Some(format!(
            "whether a Gateway of the Kubernetes Gateway API reads it was not checked: {reason}"
        ))
    }))
}

/// Whether another Gateway reads an authority, or owns it, as far as the Gateways were read.
pub(super) fn is_needed(gateway: &GatewayName, object: &Object, observed: &Observed) -> bool {
    let owner = object.annotation(GATEWAY_ANNOTATION);
    let state = AuthorityState::read(object).ok();
    let read = |state| still_read(state, observed).ok().flatten();
    if state.as_ref().and_then(read).is_some() {
        return true;
    }
    let listed = observed.already_listed(&gateways());
    let listed = listed.and_then(|seen| seen.found().copied());
    let listed = users::readable(listed.unwrap_or_default()).unwrap_or_default();
    listed
        .iter()
        .filter(|other| other.name != *gateway)
        .any(|other| {
            owner == Some(&*other.name.to_string())
                || state.as_ref().is_some_and(|state| is_reader(other, state))
        })
}
