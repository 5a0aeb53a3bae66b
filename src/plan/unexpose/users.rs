//! Other users of a Gateway or a Secret, looked for directly before its deletion. An object that cannot be read counts as a user.

use super::extent::{Extent, gateways};
use super::{Request, recorded, uid};
use crate::error::Failure;
use crate::plan::probe::kubernetes_gateways;
use crate::plan::{Effect, Observed, Query, Reconciled, Seen};
use crate::resources::api_rule::ApiRule;
use crate::resources::gateway::Gateway;
use crate::resources::names::GatewayName;
use crate::resources::route::Routing;
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Kind, Object, ObjectRef, gateway_api};

/// The reads that show whether a Gateway, and its Secrets, are in use.
pub(super) fn queries() -> [Query; 3] {
    [Kind::Gateway, Kind::ApiRule, Kind::VirtualService].map(Query::everywhere)
}

/// Why an object of the Gateway must not be deleted now. A Gateway in use is a refusal, a Secret in use is kept, and so is everything once
/// the Gateway was created again.
pub(super) fn still_needed(
    request: &Request,
    extent: &Extent,
    reference: &ObjectRef,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let Some(gateway) = &extent.gateway else {
        return Ok(None);
    };
    match reference.kind {
        Kind::Gateway => {
            read_again(&queries(), observed)?;
            refuse_routes(request, gateway, observed)?;
            Ok(None)
        }
        _ if !extent.doomed.contains(reference) => Ok(None),
        Kind::Secret => {
            read_again(&[gateways(), kubernetes_gateways()], observed)?;
            if let Some(reason) = made_again(extent, observed)? {
                return Ok(Some(reason));
            }
            let listed = readable_gateways(observed)?;
            let user = user_of(reference, gateway, &listed);
            match user {
                Some(user) => Ok(Some(user)),
                None => kubernetes_user_of(reference, observed),
            }
        }
        _ => {
            read_again(&[gateways()], observed)?;
            made_again(extent, observed)
        }
    }
}

/// Why everything is kept, if another Gateway has taken the name of the one that goes.
pub(super) fn made_again(extent: &Extent, observed: &Observed) -> Reconciled<Option<String>> {
    let Some(gateway) = &extent.gateway else {
        return Ok(None);
    };
    let name = gateway.reference();
    let mut listed = observed.list(&gateways())?.iter();
    let standing = listed.find(|object| *object.reference() == name);
    let is_another = standing.is_some_and(|object| Some(uid(object)) != extent.gateway_uid);
    Ok(is_another.then(|| recorded::made_again(gateway)))
}

/// Reads lists again that were read before the last change of this run.
pub(super) fn read_again(lists: &[Query], observed: &Observed) -> Reconciled<()> {
    let stale: Vec<Query> = lists
        .iter()
        .filter(|list| !observed.was_read_after_all_changes(list))
        .cloned()
        .collect();
    if stale.is_empty() {
        Ok(())
    } else {
        Err(Effect::Read(stale).into())
    }
}

/// Refuses while another route is attached to the Gateway.
pub(super) fn refuse_routes(
    request: &Request,
    gateway: &GatewayName,
    observed: &Observed,
) -> Reconciled<()> {
    let others = other_routes(request, gateway, observed)?;
    if others.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the Gateway `{gateway}` is still in use by {}",
        others.join(", ")
    ))
    .hint("leave out `--gateway-too` and `--purge`, or unexpose the other Services first")
    .into())
}

/// Other routes that are attached to a Gateway, and routes that cannot be read.
fn other_routes(
    request: &Request,
    gateway: &GatewayName,
    observed: &Observed,
) -> Reconciled<Vec<String>> {
    let name = gateway.to_string();
    let own = |routing: Routing| routing.reference(&request.namespace, &request.service);
    let unreadable = |object: &Object| format!("{} (which cannot be read)", object.reference());
    let mut users = Vec::new();
    for object in listed(Kind::ApiRule, observed)? {
        match ApiRule::read(object) {
            _ if *object.reference() == own(Routing::ApiRule) => {}
            Ok(rule) if rule.gateway == name => users.push(object.reference().to_string()),
            Ok(_) => {}
            Err(_) => users.push(unreadable(object)),
        }
    }
    for object in listed(Kind::VirtualService, observed)? {
        match VirtualService::read(object) {
            _ if *object.reference() == own(Routing::VirtualService) && object.is_ours() => {}
            Ok(service) if service.made_for.is_none() && service.gateways.contains(&name) => {
                users.push(object.reference().to_string());
            }
            Ok(_) => {}
            Err(_) => users.push(unreadable(object)),
        }
    }
    Ok(users)
}

/// All objects of a kind; none if the cluster does not serve it.
fn listed(kind: Kind, observed: &Observed) -> Reconciled<&[Object]> {
    let query = Query::everywhere(kind);
    match observed.try_list(&query)? {
        Seen::NotServed => Ok(&[]),
        _ => observed.list(&query),
    }
}

/// All Gateways; refuses if one of them cannot be read, because it may use any object.
pub(super) fn readable_gateways(observed: &Observed) -> Reconciled<Vec<Gateway>> {
    Ok(readable(observed.list(&gateways())?)?)
}

/// The Gateways of a list; fails if one of them cannot be read.
pub(super) fn readable(listed: &[Object]) -> Result<Vec<Gateway>, Failure> {
    let read = |object: &Object| {
        Gateway::read(object).map_err(|error| {
            Failure::refused(format!(
                "{error}, so the object may use what is to be deleted"
            ))
            .hint("repair or remove the unreadable object, or leave out `--gateway-too` and `--purge`")
        })
    };
    listed.iter().map(read).collect()
}

/// Refuses to delete a Secret that another Gateway uses: without its client-CA Secret, a Gateway may trust the issuer of its server
/// certificate instead. Of the Kubernetes Gateway API it [keeps](kubernetes_user_of) the Secret.
pub(super) fn refuse_shared(
    gateway: &GatewayName,
    secrets: &[ObjectRef],
    listed: &[Gateway],
) -> Result<(), Failure> {
    let mut used = secrets
        .iter()
        .filter_map(|secret| Some((secret, user_of(secret, gateway, listed)?)));
    match used.next() {
        None => Ok(()),
        Some((secret, user)) => Err(Failure::refused(format!("{secret}: {user}"))
            .hint("leave out `--purge` to keep the Secrets")),
    }
}

/// A Gateway of the Kubernetes Gateway API that uses a Secret, or why none is known.
fn kubernetes_user_of(secret: &ObjectRef, observed: &Observed) -> Reconciled<Option<String>> {
    let listed = match observed.try_list(&kubernetes_gateways())? {
        Seen::Found(listed) => listed,
        Seen::NotServed | Seen::Missing => return Ok(None),
        unknown => {
            return Ok(unknown.unknown().map(|reason| {
                format!("whether a Gateway of the Kubernetes Gateway API uses it could not be checked: {reason}")
            }));
        }
    };
    let mut users = listed
        .iter()
        .filter(|object| gateway_api::names_secret(object, secret));
    Ok(users.next().map(|user| {
        let name = user.reference();
        format!("the {name} of the Kubernetes Gateway API uses the Secret too")
    }))
}

/// Another user of a Secret: any server of any other Gateway, whatever its port and mode.
fn user_of(secret: &ObjectRef, own: &GatewayName, listed: &[Gateway]) -> Option<String> {
    let user = listed
        .iter()
        .find(|gateway| gateway.name != *own && gateway.names_secret(&secret.name))?;
    Some(format!("the Gateway `{}` uses the Secret too", user.name))
}
