//! The authority of a Gateway that is gone: where no other one reads it, nothing keeps it from being deleted any more.

use super::extent::{Extent, gateways};
use super::{Answer, Request, users};
use crate::plan::{Query, Step, World, Write, gateway_look};
use crate::resources::authority::AuthorityState;
use crate::resources::field_managers::keeper;
use crate::resources::names::{CredentialNames, GATEWAY_ANNOTATION, IN_USE_FINALIZER};

/// Lets the authority go, where that is permitted; it stays as it is, with its keys and its clients.
pub(super) fn release(request: &Request, extent: &Extent, world: &World) -> Answer<()> {
    let (Some(gateway), Some(authority)) = (&extent.gateway, &extent.authority) else {
        return Ok(());
    };
    let goes = extent.doomed.contains(&gateway.reference());
    let reference = CredentialNames::of_authority(authority).state();
    if !goes || request.dry_run || world.was_attempted(&reference) {
        return Ok(());
    }
    world.need([Query::Get(reference.clone())])?;
    let Some(object) = world.seen(&reference).found().copied() else {
        return Ok(());
    };
    let is_its = object.annotation(GATEWAY_ANNOTATION) == Some(&*gateway.to_string());
    let Ok(state) = AuthorityState::read(object) else {
        return Ok(());
    };
    if keeper(object).is_some() || !is_its || !object.has_finalizer(IN_USE_FINALIZER) {
        return Ok(());
    }
    users::read_again(&[gateways()], world)?;
    let is_read = users::readable_gateways(world)?
        .iter()
        .filter(|other| other.name != *gateway)
        .flat_map(|other| &other.servers)
        .any(|server| gateway_look::reads(server, &state));
    if is_read {
        return Ok(());
    }
    let free = AuthorityState {
        gateway: None,
        ..state
    };
    Err(Step::Attempt(Write::Replace(free.changing(object))).into())
}
