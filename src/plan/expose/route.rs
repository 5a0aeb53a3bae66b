//! The route from the Gateway to the Service: an `APIRule`, or a `VirtualService` in a cluster without Kyma.

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::environment::Environment;
use super::ownership;
use super::pending::Pending;
use super::target::Target;
use super::view::{View, read};
use super::wanted::{Wanted, applied, is_withdrawn};
use super::{Plan, Request, RouteChoice};
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled, Seen, Write};
use crate::resources::api_rule::{ApiRule, IdentityHeaders, Route, RouteOptions, with_identity};
use crate::resources::gateway::{Server, noting};
use crate::resources::guard::Clients;
use crate::resources::http_routes::{astray, detour, deviation};
use crate::resources::names::{
    CLIENTS_ANNOTATION, GatewayName, INGRESS_ANNOTATION, MANAGED_BY, route as name,
};
use crate::resources::progress::Progress;
use crate::resources::route::{LiveRoute, Routing};
use crate::resources::virtual_service::{VirtualService, made_for};
use crate::resources::{Kind, Object, ObjectRef, Unreadable};

/// The reads of routes before the cluster's kind of route is known.
pub(super) fn queries(request: &Request) -> [Query; 2] {
    let rule = Routing::ApiRule.reference(&request.namespace, &request.service);
    [virtual_services(), Query::Get(rule)]
}

fn virtual_services() -> Query {
    Query::everywhere(Kind::VirtualService)
}

/// The options of the Service's route, and the route itself if an earlier run made it: a route that somebody else made is not a choice of
/// the user.
pub(super) fn known(
    request: &Request,
    environment: Environment,
    observed: &Observed,
) -> Reconciled<(Option<RouteOptions>, Option<LiveRoute>)> {
    let reference = environment
        .routing
        .reference(&request.namespace, &request.service);
    let object = observed.try_get(&reference)?.found().copied();
    let route = object.and_then(|object| Some((object, LiveRoute::read(object).ok()?)));
    let options = route.as_ref().and_then(|(object, route)| {
        let options = route.options().cloned()?;
        // Without them a client could choose who it is.
        let headers = if object.is_ours() {
            with_identity(options.headers)
        } else {
            options.headers
        };
        Some(RouteOptions { headers, ..options })
    });
    let kept = route.filter(|(object, _)| object.is_ours());
    Ok((options, kept.map(|(_, route)| route)))
}

/// The options after the user's choices: a choice replaces the existing option, a header the one
/// with its name.
pub(super) fn options(said: &RouteChoice, mut options: RouteOptions) -> RouteOptions {
    if let Some(paths) = &said.paths {
        options.paths.clone_from(paths);
    }
    if !said.methods.is_empty() {
        options.methods.clone_from(&said.methods);
    }
    options.timeout = said.timeout.unwrap_or(options.timeout);
    let identity = said
        .identity
        .map(IdentityHeaders::headers)
        .unwrap_or_default();
    options.headers.extend(identity);
    options.headers.extend(said.headers.clone());
    options
}

/// The existing route with the expected name.
pub(super) fn observe<'a>(
    target: &Target,
    observed: &'a Observed,
) -> Reconciled<Option<(&'a Object, LiveRoute)>> {
    read(observed, &target.route(), LiveRoute::read)
}

/// The `VirtualServices` of all namespaces: one of them may route the same host.
pub(super) fn others(observed: &Observed) -> Reconciled<Seen<Vec<(ObjectRef, VirtualService)>>> {
    let listed = observed.try_list(&virtual_services())?;
    Ok(listed.map(|objects| {
        let readable = objects.iter().filter_map(|object| {
            let service = VirtualService::read(object).ok()?;
            Some((object.reference().clone(), service))
        });
        readable.collect()
    }))
}

/// Refuses a route with the expected name but another target, and another route of the host.
pub(super) fn conflicts(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    if let Some((object, route)) = &view.route {
        of_another(target, object, route)?;
    }
    let ours = target.route();
    let services = view
        .virtual_services
        .found()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for (reference, service) in services
        .iter()
        .filter(|(_, service)| service.hosts.contains(&target.host))
    {
        let owner = match &service.made_for {
            Some((namespace, name))
                if target.environment.routing == Routing::ApiRule
                    && *namespace == ours.namespace
                    && *name == ours.name =>
            {
                continue;
            }
            None if *reference == ours => continue,
            Some((namespace, name)) => format!("APIRule {namespace}/{name}"),
            None => reference.to_string(),
        };
        return Err(Failure::refused(format!(
            "the host `{}` is routed by {owner} already",
            target.host
        ))
        .hint("choose another host with `--host`, or remove the existing route"));
    }
    Ok(())
}

/// Whether a route with the expected name is neither made by this plugin nor equal to the route
/// that it would write.
fn of_another(target: &Target, object: &Object, route: &LiveRoute) -> Result<(), Failure> {
    let backend = (
        target.namespace.clone(),
        target.service.clone(),
        target.port,
    );
    let differs = if !route.hosts().contains(&target.host) {
        format!(
            "serves `{}`, not `{}`",
            route.hosts().join(", "),
            target.host
        )
    } else if route.gateway() != target.gateway.to_string() && !is_astray(target, object, route) {
        format!(
            "is attached to the Gateway `{}`, not to `{}`",
            route.gateway(),
            target.gateway
        )
    } else if !object.is_ours() && route.service() != Some(&backend) {
        "leads to another Service or port, and somebody else made it".to_owned()
    } else {
        return Ok(());
    };
    Err(
        Failure::refused(format!("{} exists and {differs}", object.reference()))
            .hint("use the route's own host and Gateway with `--host` and `--gateway`, or remove the route"),
    )
}

/// Whether a route of this plugin is attached to a Gateway that requests no client certificate; the run corrects it.
fn is_astray(target: &Target, object: &Object, route: &LiveRoute) -> bool {
    let gateway = route.gateway().parse().ok();
    let protects = |name: GatewayName| {
        let mut gateways = target.gateways.iter();
        let found = gateways.find(|gateway| gateway.name == name);
        found
            .and_then(|gateway| gateway.server_for(&target.host))
            .is_some_and(Server::is_mutual)
    };
    object.is_ours() && !gateway.is_some_and(protects)
}

/// Two reads of one round are at most this far apart.
const JUST_MADE: Duration = Duration::seconds(10);

/// Whether what Kyma made for a Ready `APIRule` is deleted or changed, or a route of this plugin is.
pub(super) fn is_undone(
    live: &Object,
    route: &LiveRoute,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<bool> {
    let is_written = observed.change_of(live.reference()).is_some();
    let is_kept = !live.is_ours() || is_written;
    let LiveRoute::ApiRule(rule) = route else {
        let is_edited = || astray(live).or_else(|| detour(live)).is_some();
        return Ok(!is_kept && is_edited());
    };
    if !is_kept && rule.astray(live.reference()).is_some() {
        return Ok(true);
    }
    // What Kyma has just made may be missing in a list that was read beside the rule.
    let is_fresh = rule.processed.is_some_and(|at| now - at < JUST_MADE);
    if rule.state != "Ready" || is_fresh || is_written {
        return Ok(false);
    }
    let services = observed.try_list(&virtual_services())?;
    let Seen::Found(services) = services else {
        return Ok(false);
    };
    let own = (live.namespace().to_owned(), live.name().to_owned());
    let is_made_for = |object: &&Object| {
        VirtualService::read(object).is_ok_and(|service| service.made_for.as_ref() == Some(&own))
    };
    let made: Vec<&Object> = services.iter().filter(is_made_for).collect();
    let is_lost = made.is_empty() || made.iter().any(|made| deviation(rule, made).is_some());
    Ok(is_lost || is_unguarded(rule, &own, observed)?)
}

/// Whether the policies that Kyma made for an `APIRule` of this namespace and name are deleted, or admit everybody.
fn is_unguarded(rule: &ApiRule, own: &(String, String), observed: &Observed) -> Reconciled<bool> {
    let Some((namespace, _, _)) = &rule.service else {
        return Ok(false);
    };
    let policies = Query::within(Kind::AuthorizationPolicy, namespace);
    let Seen::Found(policies) = observed.try_list(&policies)? else {
        return Ok(false);
    };
    let admits_everybody = |policy: &&Object| {
        let rules = policy.at(&["spec", "rules"]).and_then(Value::as_array);
        let mut rules = rules.into_iter().flatten();
        rules.any(|rule| rule.get("from").is_none())
    };
    let mut made = policies
        .iter()
        .filter(|policy| made_for(policy).as_ref() == Some(own))
        .peekable();
    Ok(made.peek().is_none() || made.any(|policy| admits_everybody(&policy)))
}

/// The route to write. A route of somebody else stays as it is, except for the user's choices.
///
/// Kyma's controller reconciles a failed route again only when its spec changes, else after up to 1000 seconds
/// (<https://github.com/kyma-project/api-gateway>, `SetupWithManager`): so the order of its methods is changed, which has no other effect.
pub(super) fn desired(plan: &Plan<'_>) -> Result<Wanted, Failure> {
    let Plan {
        request,
        target,
        view,
        ..
    } = plan;
    let live = view.route.as_ref();
    let mut options = target.options.clone();
    if live.is_some_and(|(_, route)| route.has_failed()) || view.is_route_undone {
        options.methods.reverse();
    }
    let clients = plan.guards.clients.as_ref().map(Clients::annotation);
    let object = target.environment.routing.object(&Route {
        namespace: &target.namespace,
        name: &name(&target.service),
        host: &target.host,
        gateway: &target.gateway,
        service: &target.service,
        port: target.port,
        options: &options,
    });
    let object = noting(object, &target.ingress);
    let object = match &clients {
        Some(clients) => object.with_annotation(CLIENTS_ANNOTATION, clients),
        None => object,
    };
    match live {
        Some((live, route)) if !live.is_ours() && request.route.says_something() => {
            let object = object
                .without_label(MANAGED_BY)
                .without_annotation(CLIENTS_ANNOTATION)
                .without_annotation(INGRESS_ANNOTATION);
            desired_of_another(request, object, live, route)
        }
        // What is not stated any more is taken away.
        Some((live, _))
            if live.is_ours()
                && [CLIENTS_ANNOTATION, INGRESS_ANNOTATION]
                    .iter()
                    .any(|key| is_withdrawn(&object, live, key)) =>
        {
            Ok(Wanted {
                write: Some(Write::Apply(object.clone())),
                exists: true,
                object,
            })
        }
        live => {
            let live = live.map(|(object, _)| *object);
            let mut wanted = applied(object, live, None);
            // What somebody changed of it with kubectl is put right; what a controller keeps is not, unless that is said.
            if let (Some(Write::Apply(object)), Some(live)) = (wanted.write.clone(), live) {
                wanted.write = Some(ownership::apply(object, live, request.takes_over())?);
            }
            Ok(wanted)
        }
    }
}

fn desired_of_another(
    request: &Request,
    object: Object,
    live: &Object,
    route: &LiveRoute,
) -> Result<Wanted, Failure> {
    if route.options().is_none() {
        return Err(Failure::refused(format!(
            "{} has several rules, and kubectl-mtls does not change it",
            live.reference()
        ))
        .hint("change the route where it is managed, or leave out the flags that describe it"));
    }
    let write = if object.is_contained_in(live) {
        None
    } else {
        Some(ownership::apply(
            object.clone(),
            live,
            request.takes_over(),
        )?)
    };
    Ok(Wanted {
        object,
        write,
        exists: true,
    })
}

/// An `APIRule` that its controller has not accepted yet; the controller watches changes of the
/// spec only.
pub(super) fn pending(live: &Object, observed: &Observed) -> Result<Option<Pending>, Unreadable> {
    let rule = ApiRule::read(live)?;
    let generation = |object: &Object| object.at(&["metadata", "generation"]).cloned();
    let is_ready = match observed.change_of(live.reference()) {
        Some(written)
            if written
                .before()
                .is_some_and(|before| generation(before) == generation(&written.answer)) =>
        {
            rule.state == "Ready"
        }
        Some(written) => {
            let before = ApiRule::read(&written.answer)?.processed;
            rule.is_ready_since(written.spec_changed_at(), before)
        }
        None => rule.state == "Ready",
    };
    let progress = Progress {
        state: rule.state,
        message: rule.description,
        is_current: true,
    };
    Ok((!is_ready).then(|| Pending::of(live, progress)))
}
