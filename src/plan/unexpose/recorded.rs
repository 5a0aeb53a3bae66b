//! The record of an interrupted run, and what of it may still be deleted.
//!
//! A user who may write `ConfigMaps` in the Service's namespace can write a record, and may delete less than the user who runs `unexpose`. So a
//! record alone proves nothing about an object: it is deleted only if it says itself that it belongs to the Gateway, or if this plugin gives
//! its name to an object of this Gateway only.

use std::collections::BTreeSet;

use super::secrets::{self, Proof};
use super::{Request, belongs_to, live, observe, uid};
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::gateway::Gateway;
use crate::resources::names::{AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, GatewayName};
use crate::resources::unexposure::{Doomed, Kept, Unexposure};
use crate::resources::{Kind, Object, ObjectRef, guard};

/// What remains of a record.
#[derive(Debug, Default)]
pub(super) struct Remaining {
    /// The objects in the order of their deletion.
    pub doomed: Vec<ObjectRef>,
    /// The objects that are kept, and why.
    pub kept: Vec<Kept>,
    /// The uid of the recorded Gateway.
    pub gateway_uid: Option<String>,
    /// Whether the Gateway was created again since the record was written.
    pub is_made_again: bool,
}

/// The record of an earlier run, or of this one.
pub(super) fn read(reference: &ObjectRef, observed: &Observed) -> Reconciled<Option<Unexposure>> {
    let written = observed.change_of(reference).map(|written| &written.answer);
    let Some(object) = observed.get(reference)?.or(written) else {
        return Ok(None);
    };
    if !object.is_ours() {
        return Err(occupied(object).into());
    }
    let read = Unexposure::read(object).map_err(|error| {
        Failure::refused(error.to_string()).hint(
            "this object records an interrupted `unexpose`; remove it, and remove the rest by hand",
        )
    })?;
    Ok(Some(read))
}

pub(super) fn occupied(object: &Object) -> Failure {
    Failure::refused(format!(
        "{} was not created by kubectl-mtls, and `unexpose` needs its name to record what it deletes",
        object.reference()
    ))
    .hint("rename or remove the existing object")
}

/// Why an object is kept whose Gateway was created again.
pub(super) fn made_again(gateway: &GatewayName) -> String {
    format!("the Gateway `{gateway}` was created again meanwhile")
}

/// The objects of a record that may still be deleted; a successor of an object does not belong to it.
pub(super) fn remaining(
    request: &Request,
    recorded: &Unexposure,
    observed: &Observed,
) -> Reconciled<Remaining> {
    let gateway = &recorded.gateway;
    let known: Vec<(ObjectRef, &Doomed)> = recorded
        .doomed
        .iter()
        .filter_map(|doomed| Some((doomed.reference()?, doomed)))
        .filter(|(reference, _)| request.purge || reference.kind != Kind::Secret)
        .collect();
    let (mut known, strange): (Vec<_>, Vec<_>) = known
        .into_iter()
        .partition(|(reference, _)| is_possible(gateway, reference));
    let strange = strange.iter().map(|(reference, _)| reference);
    let mut remaining = Remaining {
        kept: recorded.kept.clone(),
        ..Remaining::default()
    };
    remaining
        .kept
        .extend(strange.map(|reference| Kept::new(reference, not_of(gateway))));
    // As long as the Gateway exists, so do its Secrets.
    known.sort_by_key(|(reference, _)| rank(reference));

    let reads = known.iter().map(|(reference, _)| observe(reference));
    observed.prefetch(reads.chain([Query::Get(gateway.reference())]))?;
    let of_gateway = known
        .iter()
        .find(|(reference, _)| reference.kind == Kind::Gateway);
    remaining.gateway_uid = of_gateway.map(|(_, doomed)| doomed.uid.clone());
    let own = live(observed, &gateway.reference())?;
    remaining.is_made_again = own.is_some_and(|own| Some(uid(own)) != remaining.gateway_uid);
    let own = own.and_then(|own| Gateway::read(own).ok());
    let names: BTreeSet<String> = secrets::named(gateway, own.as_ref()).into_iter().collect();
    for (reference, doomed) in known {
        let object = live(observed, &reference)?;
        let reason = match object {
            None if remaining.is_made_again => continue,
            None => None,
            Some(_) if remaining.is_made_again => Some(made_again(gateway)),
            Some(object) if uid(object) != doomed.uid => continue,
            Some(object) => keeper(gateway, object, &names, observed)?,
        };
        match reason {
            Some(reason) => remaining.kept.push(Kept::new(&reference, reason)),
            None => remaining.doomed.push(reference),
        }
    }
    Ok(remaining)
}

fn not_of(gateway: &GatewayName) -> String {
    format!(
        "it does not belong to the Gateway `{gateway}`, although the record of an interrupted `unexpose` names it"
    )
}

/// Whether this plugin makes such an object for the Gateway.
fn is_possible(gateway: &GatewayName, reference: &ObjectRef) -> bool {
    match reference.kind {
        Kind::Gateway => *reference == gateway.reference(),
        Kind::AuthorizationPolicy => {
            *reference == guard::headers_reference(&reference.namespace, gateway)
        }
        Kind::DnsEntry | Kind::Certificate | Kind::CertManagerCertificate => true,
        // The keys of the authorities are Secrets, too.
        Kind::Secret => ![AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE].contains(&&*reference.namespace),
        _ => false,
    }
}

/// The place of an object in the order of deletion.
fn rank(reference: &ObjectRef) -> usize {
    let order = [
        Kind::Gateway,
        Kind::AuthorizationPolicy,
        Kind::DnsEntry,
        Kind::Certificate,
        Kind::CertManagerCertificate,
    ];
    let place = order.iter().position(|kind| *kind == reference.kind);
    place.unwrap_or(order.len())
}

/// Why an object that was recorded must be kept; `names` are those of the Gateway's Secrets.
fn keeper(
    gateway: &GatewayName,
    object: &Object,
    names: &BTreeSet<String>,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let is_own = match object.reference().kind {
        Kind::Gateway => object.is_ours(),
        Kind::Secret => belongs_to(gateway, object) || names.contains(object.name()),
        _ => belongs_to(gateway, object),
    };
    if !is_own {
        return Ok(Some(not_of(gateway)));
    }
    match object.reference().kind {
        Kind::Secret => secrets::keeper(gateway, object, Proof::Recorded, observed),
        _ => Ok(None),
    }
}
