//! `unexpose`: removes what `expose` made for a Service, and nothing else.
//!
//! The order is that of `expose` backwards, each deletion seen before the next: while a Gateway stands, so does the
//! client-CA Secret, because istiod would trust another CA without it.

mod purge;
mod report;

use std::time::Duration;

pub use report::Report;

use super::{Query, Seen, Step, Stop, Wait, World, Write};
use crate::error::Failure;
use crate::resources::api_rule::ApiRule;
use crate::resources::gateway::Gateway;
use crate::resources::names::{CredentialNames, GatewayName, route};
use crate::resources::route::{LiveRoute, Routing};
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Kind, Object, ObjectRef, access_policy, guard};

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Whether the Gateway and its Certificate go too.
    pub gateway_too: bool,
    /// Whether the server Secret and the client-CA Secret go too.
    pub purge: bool,
    /// Whether nothing is deleted.
    pub dry_run: bool,
    /// How long all waiting may take.
    pub timeout: Duration,
}

type Answer<T> = Result<T, Stop<Report>>;

/// The next step.
pub fn next(request: &Request, world: &World) -> Result<Step<Report>, Failure> {
    Stop::settle(work(request, world))
}

fn work(request: &Request, world: &World) -> Answer<Report> {
    let list = guard::host_reference(&request.namespace, &request.service);
    let rule = Routing::ApiRule.reference(&request.namespace, &request.service);
    world.need([get(rule.clone()), get(list.clone())])?;
    let mut doomed = Vec::new();
    let route = if matches!(world.seen(&rule), Seen::NotServed) {
        let own = Routing::VirtualService.reference(&request.namespace, &request.service);
        doomed.push(access_policy::reference(
            &request.namespace,
            &request.service,
        ));
        own
    } else {
        rule
    };
    doomed.push(list);
    world.need([get(route.clone())])?;
    let live = world.required(&route)?;
    let Some(gateway) = live
        .map(gateway_of)
        .or_else(|| gateway_from_changes(world, &route))
    else {
        return without_route(request, &route, doomed, world);
    };
    let gateway = gateway?;
    doomed.insert(0, route);
    if request.gateway_too {
        world.need(purge::queries())?;
        doomed.extend(purge::doomed(request, &gateway, world)?);
    }
    delete_all(request, &gateway, &mut doomed, world)?;
    Ok(report::done(request, world, &doomed))
}

fn get(reference: ObjectRef) -> Query {
    Query::Get(reference)
}

/// The Gateway on which an existing route hangs.
fn gateway_of(object: &Object) -> Result<GatewayName, Failure> {
    let route = LiveRoute::read(object).map_err(|error| Failure::refused(error.to_string()))?;
    let parsed = route.gateway().parse();
    parsed.map_err(|error: String| {
        Failure::refused(format!("{}: its gateway {error}", object.reference()))
    })
}

/// The same, when the route was deleted in this run.
fn gateway_from_changes(world: &World, route: &ObjectRef) -> Option<Result<GatewayName, Failure>> {
    world
        .change_of(route)
        .map(|written| gateway_of(&written.answer))
}

/// No route is left: an interrupted run, or a Service that was never exposed.
fn without_route(
    request: &Request,
    route: &ObjectRef,
    mut doomed: Vec<ObjectRef>,
    world: &World,
) -> Answer<Report> {
    let gateway = GatewayName::new(&request.namespace, crate::resources::names::GATEWAY);
    if request.gateway_too {
        world.need(purge::queries())?;
        doomed.extend(purge::doomed(request, &gateway, world)?);
    }
    let is_there = |object: &ObjectRef| {
        world.seen(object).found().is_some() || world.change_of(object).is_some()
    };
    world.need(doomed.iter().cloned().map(Query::Get))?;
    purge::keep_own(&gateway, &mut doomed, world);
    if !doomed.iter().any(is_there) {
        return Err(Failure::refused(format!(
            "the Service `{}` is not exposed: {route} does not exist",
            request.service
        ))
        .hint("`kubectl mtls status` shows every host behind mutual TLS")
        .into());
    }
    delete_all(request, &gateway, &mut doomed, world)?;
    Ok(report::done(request, world, &doomed))
}

/// Checks all before the first deletion, then deletes one after the other, and sees each gone.
///
/// What belongs to another Gateway is taken off the list.
fn delete_all(
    request: &Request,
    gateway: &GatewayName,
    doomed: &mut Vec<ObjectRef>,
    world: &World,
) -> Answer<()> {
    world.need(doomed.iter().cloned().map(Query::Get))?;
    purge::keep_own(gateway, doomed, world);
    for reference in doomed.iter() {
        if let Some(object) = world.if_served(reference)?
            && !object.is_ours()
            && !object.is_issued()
        {
            return Err(
                Failure::refused(format!("{reference} was not made by this plugin"))
                    .hint("nothing was deleted; remove it by hand if it is yours")
                    .into(),
            );
        }
    }
    if request.dry_run {
        return Ok(());
    }
    for reference in doomed.iter() {
        match world.seen(reference) {
            Seen::Found(object) if world.change_of(reference).is_none() => {
                return Err(Step::Write(Write::Delete(object.clone())).into());
            }
            Seen::Found(_) if world.waited >= request.timeout => {
                return Err(Failure::timed_out(format!(
                    "timed out after {} s, waiting for the finalizers of {reference}",
                    request.timeout.as_secs()
                ))
                .hint("its controller has not let it go; run the same command again to continue")
                .into());
            }
            Seen::Found(_) => {
                return Err(Step::Wait(Wait {
                    reread: vec![Query::Get(reference.clone())],
                    progress: vec![format!("{reference}: it is not gone yet")],
                })
                .into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Other routes that hang on a Gateway. Where they may not be listed, it may be in use: that is a refusal.
fn other_routes(
    request: &Request,
    gateway: &GatewayName,
    world: &World,
) -> Result<Vec<String>, Failure> {
    let ours = route(&request.service);
    let name = gateway.to_string();
    let rules = listed(Kind::ApiRule, world)?.iter().filter_map(|object| {
        let rule = ApiRule::read(object).ok()?;
        let is_ours = object.namespace() == request.namespace && object.name() == ours;
        (rule.gateway == name && !is_ours).then(|| object.reference().to_string())
    });
    let own = Routing::VirtualService.reference(&request.namespace, &request.service);
    let services = listed(Kind::VirtualService, world)?
        .iter()
        .filter_map(|object| {
            let service = VirtualService::read(object).ok()?;
            let is_ours = *object.reference() == own && object.is_ours();
            let hangs = service.made_for.is_none() && service.gateways.contains(&name);
            (hangs && !is_ours).then(|| object.reference().to_string())
        });
    Ok(rules.chain(services).collect())
}

/// All objects of a kind; none where the cluster has no such kind.
fn listed(kind: Kind, world: &World) -> Result<&[Object], Failure> {
    let query = Query::everywhere(kind);
    match world.list(&query) {
        Seen::NotServed => Ok(&[]),
        _ => world.required_list(kind, &query),
    }
}

/// The names of everything that belongs to a Gateway, by the credential of its mutual server.
fn names_of(gateway: &Gateway) -> Option<CredentialNames> {
    let server = gateway.tls_servers().find(|server| server.is_mutual())?;
    Some(CredentialNames::of_server(
        &server.credential,
        &server.client_ca,
    ))
}
