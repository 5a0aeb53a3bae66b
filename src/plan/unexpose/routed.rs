//! Whether proxies still route the host after its route was deleted: one that istiod does not reach goes on with what it had.

use super::extent::Extent;
use super::{Own, Request, try_live};
use crate::plan::probe::{self, Lagging};
use crate::plan::{Observed, Query, Reconciled, Seen, command_line, placement};
use crate::resources::gateway::Gateway;
use crate::resources::ingress::{IngressGateway, noted_namespaces};
use crate::resources::names::{GATEWAY_ANNOTATION, GatewayName, INGRESS_ANNOTATION};
use crate::resources::proxy_config::Part;
use crate::resources::route::LiveRoute;
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Kind, Object, ObjectRef, api_rule, guard};

/// The deleted route, as far as it is known.
struct Former {
    host: String,
    gateway: GatewayName,
    /// The namespaces of the proxies that the route noted.
    noted: Option<String>,
}

impl Former {
    /// The route as this run read it first; where an earlier run deleted it, what its record or the host guard tells of it.
    fn of(own: &Own, extent: &Extent, observed: &Observed) -> Option<Self> {
        let noted = |object: &Object| object.annotation(INGRESS_ANNOTATION).map(str::to_owned);
        let mut routes = own.routes.iter();
        if let Some(object) = routes.find_map(|route| observed.first_read(route)) {
            let route = LiveRoute::read(object).ok()?;
            return Some(Self {
                host: route.hosts().first()?.clone(),
                gateway: route.gateway().parse().ok()?,
                noted: noted(object),
            });
        }
        if let (Some(host), Some(gateway)) = (&extent.host, &extent.gateway) {
            return Some(Self {
                host: host.clone(),
                gateway: gateway.clone(),
                noted: None,
            });
        }
        let mut guards = own.guards.iter().filter_map(|own| observed.first_read(own));
        guards.find_map(|guard| {
            Some(Self {
                host: guard::host_of(guard)?,
                gateway: guard.annotation(GATEWAY_ANNOTATION)?.parse().ok()?,
                noted: Some(guard.namespace().to_owned()),
            })
        })
    }
}

/// The host after its routes were deleted.
pub(super) struct Unrouted {
    /// Whether somebody else routes it on the same Gateway.
    pub is_still_routed: bool,
    /// What could not be seen, and what is kept.
    pub notes: Vec<String>,
}

impl Unrouted {
    fn as_far_as_seen(notes: impl IntoIterator<Item = String>) -> Self {
        Self {
            is_still_routed: false,
            notes: notes.into_iter().collect(),
        }
    }
}

/// Waits until no proxy that can be asked routes the host.
///
/// The Gateway and the guards must stand meanwhile: a proxy shows the routes of a removed listener until it is drained, and must not lose
/// the guard of a host before its route.
pub(super) fn until_unrouted(
    request: &Request,
    own: &Own,
    extent: &Extent,
    observed: &Observed,
) -> Reconciled<Unrouted> {
    let unseen = |of: &str, reason: &str| {
        format!("whether every proxy has stopped routing {of} was not seen: {reason}")
    };
    let Some(former) = Former::of(own, extent, observed) else {
        let reason = unseen("the host", "an earlier run deleted the route");
        return Ok(Unrouted::as_far_as_seen([reason]));
    };
    let host = &former.host;
    let quoted = format!("`{host}`");
    let mut notes = match another(own, &former, observed)? {
        Ok(Some(other)) => return still_routed(&other, host, own, observed),
        Ok(None) => Vec::new(),
        Err(reason) => vec![format!(
            "whether another VirtualService routes {quoted} could not be checked: {reason}"
        )],
    };
    let ingress = match ingress(&former, observed)? {
        Ok(ingress) => ingress,
        Err(reason) => {
            notes.push(unseen(&quoted, &reason));
            return Ok(Unrouted::as_far_as_seen(notes));
        }
    };
    observed.prefetch(probe::queries(&ingress))?;
    let ways = probe::ways(observed, &ingress, None)?;
    let routes = Part::Hosts(former.gateway.clone());
    let asked = |pod: &ObjectRef| Query::Proxy(pod.clone(), routes.clone());
    observed.prefetch(ways.pods().map(asked))?;
    let mut lagging = Lagging::default();
    for pod in ways.pods() {
        let words = format!("it still routes {quoted}");
        lagging.ask(pod, &routes, observed, |hosts| hosts.contains(host), &words)?;
    }
    lagging.reread(probe::queries(&ingress));
    let mut left = false;
    let rest = own.policy.iter().chain(&own.guards);
    for object in rest.chain(&extent.doomed) {
        left |= try_live(observed, object)?.found().is_some();
    }
    let blind = lagging
        .until_none(&[ways], request.timeout, observed)
        .map_err(|blocked| {
            blocked.map_failure(|failure| {
                let again = left.then(|| "run the same command again to delete the rest".to_owned());
                failure
                    .hint(format!(
                        "the route is deleted; a proxy that has not loaded that still serves {quoted}: check that it reaches istiod, or delete its Pod"
                    ))
                    .hints(again)
            })
        })?;
    let blind = blind.map(|reason| unseen(&quoted, &reason));
    let others = probe::proxies_unknown([&ingress], observed);
    notes.extend(blind.into_iter().chain(others));
    Ok(Unrouted::as_far_as_seen(notes))
}

/// What becomes of a host that another `VirtualService` routes.
fn still_routed(
    other: &ObjectRef,
    host: &str,
    own: &Own,
    observed: &Observed,
) -> Reconciled<Unrouted> {
    let mut notes = vec![format!(
        "{other} routes `{host}` too, so the gateway still serves it: whether every proxy has stopped routing it to this Service was not checked"
    )];
    for guard in &own.guards {
        if try_live(observed, guard)?.found().is_some() {
            notes.push(format!(
                "{guard}, the host guard of `{host}`, was kept, because it also protects {other}; to delete it: {}",
                command_line::kubectl("delete", guard)
            ));
        }
    }
    Ok(Unrouted {
        is_still_routed: true,
        notes,
    })
}

/// The ingress gateway of the route; else why it is not known.
fn ingress(former: &Former, observed: &Observed) -> Reconciled<Result<IngressGateway, String>> {
    let reference = former.gateway.reference();
    let object = match observed.first_read(&reference) {
        Some(object) => object,
        None => match observed.try_get(&reference)? {
            Seen::Found(object) => object,
            seen => {
                let gone = || format!("the Gateway `{}` does not exist", former.gateway);
                return Ok(Err(seen.unknown().unwrap_or_else(gone)));
            }
        },
    };
    let gateway = match Gateway::read(object) {
        Ok(gateway) => gateway,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let ingress = match former.noted.as_deref() {
        Some(noted) if gateway.is_ours => gateway.ingress.also_in(noted_namespaces(Some(noted))),
        // A Gateway made by hand notes nothing.
        Some(noted) => IngressGateway::noted(Some(noted), gateway.ingress.selector),
        None => gateway.ingress,
    };
    placement::widened(ingress, observed).map(Ok)
}

/// Another `VirtualService` that routes the host on the same Gateway, as far as they may be listed; else why none may be.
fn another(
    own: &Own,
    former: &Former,
    observed: &Observed,
) -> Reconciled<Result<Option<ObjectRef>, String>> {
    let mut everywhere = observed.try_list(&Query::everywhere(Kind::VirtualService))?;
    if everywhere.unknown().is_some() {
        // Most people may list those of their own namespace.
        let within = Query::within(Kind::VirtualService, &own.route().namespace);
        everywhere = observed.try_list(&within)?;
    }
    if let Some(reason) = everywhere.unknown() {
        return Ok(Err(reason));
    }
    let listed: &[Object] = everywhere.found().copied().unwrap_or_default();
    let gateway = former.gateway.to_string();
    let is_another = |object: &&Object| {
        let Ok(service) = VirtualService::read(object) else {
            return false;
        };
        let owner = service.made_for.as_ref();
        let owner = owner.map(|(namespace, name)| api_rule::reference(namespace, name));
        let is_own = own
            .routes
            .contains(owner.as_ref().unwrap_or(object.reference()));
        !is_own && service.gateways.contains(&gateway) && service.hosts.contains(&former.host)
    };
    let mut others = listed.iter().filter(is_another);
    Ok(Ok(others.next().map(|other| other.reference().clone())))
}
