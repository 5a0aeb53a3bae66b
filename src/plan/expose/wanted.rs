//! The objects that must stand in the end, in the order in which they are written.

use super::authority::gateway;
use super::dns_record::Dns;
use super::ownership::{self, From};
use super::target::Target;
use super::workload::is_missing;
use super::{Plan, Request};
use serde_json::Value;

use crate::error::Failure;
use crate::plan::{DryRun, Effect, Observed, Reconciled, Seen, ServerDryRun, Write};
use crate::resources::api_rule::Route;
use crate::resources::guard::Clients;
use crate::resources::names::{
    CLIENTS_ANNOTATION, DNS_ANNOTATION, MANAGED_BY, SERVICE_ANNOTATION, route,
};
use crate::resources::route::LiveRoute;
use crate::resources::server_secret::holds_key;
use crate::resources::{Object, ObjectRef, client_ca};

/// One object that must stand in the end.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// As it must be; fields of others may stand beside.
    pub object: Object,
    /// What has to be done for it, if anything.
    pub write: Option<Write>,
    /// Whether it is there already, in whatever shape.
    pub exists: bool,
}

/// All objects, in apply order: the sample, the authority's namespace where istiod does not see it, authority, fallback, guards, DNS record, server certificate, Gateway, policies, route.
pub(super) fn wanted(plan: &Plan<'_>, observed: &Observed) -> Result<Vec<Wanted>, Failure> {
    let Plan {
        trust,
        guards,
        workload,
        ..
    } = plan;
    // The route's controller does not watch Services: they come before it, and before all else.
    let mut wanted = workload.wanted.clone();
    wanted.extend(plan.needs.namespace.clone());
    // Whom the gateway trusts, and who is trusted should it lose that, before anything that could let somebody in.
    wanted.extend(trust.authority.clone());
    wanted.extend(plan.fail_closed_secret.wanted.clone());
    let route = our_route(plan)?;
    if guards.narrow() && route.exists {
        wanted.push(route.clone());
    }
    // Before the Gateway and the route stand, nobody who is not meant to may come in through them.
    wanted.extend(guards.wanted.clone());
    // While the issuer's challenge stands, only a record of its own keeps the host resolvable (RFC 4592).
    wanted.extend(
        plan.dns
            .record
            .iter()
            .map(|record| applied(record.object.clone(), record.live.as_ref(), None)),
    );
    wanted.extend(plan.server.wanted.clone());
    let moved = plan.moved.cloned();
    wanted.push(match moved {
        Some(moved) => moved,
        None => our_gateway(plan)?,
    });
    wanted.extend(plan.workload_policy.policy.clone());
    if !wanted
        .iter()
        .any(|known| known.object.reference() == route.object.reference())
    {
        wanted.push(route);
    }
    wanted.extend(guards.lifted.clone());
    wanted.extend(plan.dns.lifted.clone());
    let from = match plan.request.takes_over() {
        From::Kubectl => From::Nobody,
        from => from,
    };
    ownership::settle(&mut wanted, from, |reference| {
        live(plan, reference, observed)
    })?;
    Ok(wanted)
}

/// An object as it was read; the server Secret by its metadata.
pub(super) fn live<'a>(
    plan: &Plan<'a>,
    reference: &ObjectRef,
    observed: &'a Observed,
) -> Option<&'a Object> {
    let gateway = plan.target.existing.as_ref().map(|known| &known.object);
    let server_secret = plan.view.server_secret;
    gateway
        .filter(|gateway| gateway.reference() == reference)
        .or_else(|| observed.already_read(reference)?.found().copied())
        .or_else(|| server_secret.filter(|secret| secret.reference() == reference))
}

/// A Gateway of somebody else stays as it is: a mutual server for the host was seen on it.
fn our_gateway(plan: &Plan<'_>) -> Result<Wanted, Failure> {
    let (target, source) = (plan.target, &plan.trust.source.object);
    let live = target.existing.as_ref().map(|existing| &existing.object);
    let manifest = gateway(target, &client_ca::field(source));
    let object = annotated(target, plan.dns, manifest, live);
    let Some(existing) = &target.existing else {
        return Ok(applied(object, None, None));
    };
    let live = &existing.object;
    let object = match &existing.weakened {
        Some(weakened) => with_servers(object, &weakened.kept),
        None => object,
    };
    let is_weak = existing.weakened.is_some()
        || existing.server.client_ca_source() != *source
        || existing.server.credential != target.names.credential();
    // Further servers were added to it: ours among them says what it must.
    if !is_weak && existing.gateway.servers.len() > 1 {
        return Ok(Wanted {
            object: live.clone().manifest(),
            write: None,
            exists: true,
        });
    }
    let mut wanted = applied(object, Some(live), None);
    // A certificate check that somebody weakened with kubectl is put right; what a controller keeps is not, unless that is said.
    if let Some(Write::Apply(object)) = wanted.write.clone().filter(|_| is_weak) {
        wanted.write = Some(ownership::apply(object, live, plan.request.takes_over())?);
    }
    Ok(wanted)
}

/// The Gateway with further servers after its own one.
fn with_servers(object: Object, servers: &[Value]) -> Object {
    let mut spec = object.at(&["spec"]).cloned().unwrap_or_default();
    if let Some(own) = spec.get_mut("servers").and_then(Value::as_array_mut) {
        own.extend_from_slice(servers);
    }
    object.with("spec", spec)
}

/// A Gateway says for which Service it was made, so that `unexpose` finds it when the route is gone, and what became of its DNS
/// record.
fn annotated(target: &Target, dns: &Dns, gateway: Object, live: Option<&Object>) -> Object {
    let own = format!("{}/{}", target.namespace, target.service);
    let said = live.and_then(|live| live.annotation(SERVICE_ANNOTATION));
    // Whoever shares a Gateway of another namespace may not be permitted to change it.
    let is_made_for_it = live.is_none() || target.gateway.namespace == target.namespace;
    let service = said.or(is_made_for_it.then_some(own.as_str()));
    let gateway = match service {
        Some(service) => gateway.with_annotation(SERVICE_ANNOTATION, service),
        None => gateway,
    };
    match &dns.mark {
        Some(mark) => gateway.with_annotation(DNS_ANNOTATION, mark),
        None => gateway,
    }
}

/// Kyma's controller looks at a failed route again only when its spec changes, else after up to 1000 seconds
/// (<https://github.com/kyma-project/api-gateway>, `SetupWithManager`): so its methods change places, which changes nothing else.
///
/// A route of somebody else stays as it is, but for what the user says of it.
fn our_route(plan: &Plan<'_>) -> Result<Wanted, Failure> {
    let Plan {
        request,
        target,
        view,
        ..
    } = plan;
    let live = view.route.as_ref();
    let mut options = target.options.clone();
    if live.is_some_and(|(_, route)| route.has_failed()) {
        options.methods.reverse();
    }
    let clients = plan.guards.clients.as_ref().map(Clients::annotation);
    let object = target.environment.routing.object(&Route {
        namespace: &target.namespace,
        name: &route(&target.service),
        host: &target.host,
        gateway: &target.gateway,
        service: &target.service,
        port: target.port,
        options: &options,
    });
    let object = match &clients {
        Some(clients) => object.with_annotation(CLIENTS_ANNOTATION, clients),
        None => object,
    };
    match live {
        Some((live, route)) if !live.is_ours() && request.route.says_something() => {
            let object = object
                .without_label(MANAGED_BY)
                .without_annotation(CLIENTS_ANNOTATION);
            their_route(request, object, live, route)
        }
        // What is not stated any more is taken away.
        Some((live, _))
            if live.is_ours()
                && clients.is_none()
                && live.annotation(CLIENTS_ANNOTATION).is_some() =>
        {
            Ok(Wanted {
                write: Some(Write::Apply(object.clone())),
                exists: true,
                object,
            })
        }
        live => Ok(applied(object, live.map(|(object, _)| *object), None)),
    }
}

fn their_route(
    request: &Request,
    object: Object,
    live: &Object,
    route: &LiveRoute,
) -> Result<Wanted, Failure> {
    if route.options().is_none() {
        return Err(Failure::refused(format!(
            "{} has several rules, and is not changed from here",
            live.reference()
        ))
        .hint("change it where it is kept, or leave out what is said of the route"));
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

/// An object that is applied unless the live one says the same; ours again also when its controller has given up for now.
///
/// What somebody else made was found to serve the same purpose, and is left alone.
pub(in crate::plan) fn applied(
    object: Object,
    live: Option<&Object>,
    retry: Option<(&str, &str)>,
) -> Wanted {
    let Some(live) = live else {
        return Wanted {
            write: Some(Write::Apply(object.clone())),
            exists: false,
            object,
        };
    };
    if !live.is_ours() {
        return Wanted {
            object: live.clone().manifest(),
            write: None,
            exists: true,
        };
    }
    let again = match retry {
        None => None,
        // Applied without the annotation, it changes as well.
        Some((key, value)) if live.annotation(key) == Some(value) => Some(object.clone()),
        Some((key, value)) => Some(object.clone().with_annotation(key, value)),
    };
    let changed = (!object.is_contained_in(live)).then(|| object.clone());
    Wanted {
        write: again.or(changed).map(Write::Apply),
        exists: true,
        object,
    }
}

/// Asks the API server for conflicts with other managers before the first write; on a server dry run, for everything.
pub(in crate::plan) fn check_first(
    dry_run: DryRun,
    wanted: &[Wanted],
    observed: &Observed,
) -> Reconciled<()> {
    let is_asked = |wanted: &&Wanted| match dry_run {
        DryRun::Server => true,
        DryRun::Client => false,
        DryRun::None => wanted.exists && observed.change_of(wanted.object.reference()).is_none(),
    };
    for wanted in wanted.iter().filter(is_asked) {
        // Without its key pair, which is not made for a question, the API server would refuse it.
        if holds_key(&wanted.object) || is_missing(wanted.object.namespace(), observed) {
            continue;
        }
        let Some(write @ (Write::Create(_) | Write::Apply(_) | Write::TakeOver(_))) =
            wanted.write.clone()
        else {
            continue;
        };
        if let Some(denial) = denial(write, observed)? {
            return Err(Failure::refused(format!(
                "{} may not be written: {denial}",
                wanted.object.reference()
            ))
            .for_want_of_rights()
            .into());
        }
    }
    Ok(())
}

/// Why the API server would not let the caller make a write, as a dry run tells; none where it would.
pub(super) fn denial(write: Write, observed: &Observed) -> Reconciled<Option<&str>> {
    match observed.tried(write.object().reference(), true) {
        None => Err(Effect::DryRun(ServerDryRun {
            write,
            strict: true,
        })
        .into()),
        Some(Seen::Denied(denial)) => Ok(Some(denial)),
        Some(_) => Ok(None),
    }
}

/// Writes the first object that is not as it must be; each once.
pub(in crate::plan) fn write(wanted: &[Wanted], observed: &Observed) -> Reconciled<()> {
    let pending = wanted.iter().filter_map(|wanted| wanted.write.as_ref());
    let mut unwritten =
        pending.filter(|write| observed.change_of(write.object().reference()).is_none());
    unwritten
        .next()
        .map_or(Ok(()), |write| Err(Effect::Write(write.clone()).into()))
}
