//! The Gateway: one mutual-TLS server for the host. A Gateway managed by kubectl-mtls that was weakened is restored; any other Gateway stays as it is.

use serde_json::Value;

use super::Plan;
use super::dns_record::Dns;
use super::existing::Existing;
use super::ownership;
use super::target::Target;
use super::wanted::{self, Wanted, applied, is_withdrawn};
use crate::error::Failure;
use crate::plan::probe::IngressProxies;
use crate::plan::{DryRun, Observed, Query, Reconciled, Seen, Write, command_line, placement};
use crate::resources::gateway::{Gateway, MutualGateway, Server};
use crate::resources::gateway_api::OF_GATEWAY_API;
use crate::resources::names::{
    DNS_ANNOTATION, GatewayName, INGRESS_ANNOTATION, SERVICE_ANNOTATION,
    SHARED_AUTHORITY_ANNOTATION,
};
use crate::resources::{Kind, Object, client_ca};

/// The query for all Gateways: another one with the same host would take it over.
pub(super) fn query() -> Query {
    Query::everywhere(Kind::Gateway)
}

/// The readable Gateways, including this run's changes.
#[derive(Debug)]
pub(super) struct Gateways {
    /// The Gateways that could be read.
    pub readable: Vec<Gateway>,
    /// Why some Gateways could not be read.
    pub unseen: Option<String>,
    /// The Gateway with the given name.
    pub ours: Option<Object>,
}

/// Reads all Gateways. Fails if they may not be listed, or the one with the given name cannot be
/// read.
pub(super) fn observe(name: &GatewayName, observed: &Observed) -> Reconciled<Gateways> {
    if let Seen::Denied(denial) = observed.try_list(&query())? {
        return Err(Failure::refused(format!(
            "forbidden: cannot list the Gateways of all namespaces: {denial}"
        ))
        .hint("a Gateway in another namespace with the same host would silently take over its requests")
        .hint("`kubectl mtls rbac expose` prints the Roles that `expose` needs")
        .into());
    }
    let mut unseen = None;
    let mut readable = Vec::new();
    for object in observed.list(&query())? {
        match Gateway::read(as_written(object, observed)) {
            Ok(gateway) if gateway.name == *name => {
                readable.extend(placement::located(vec![gateway], observed)?);
            }
            Ok(gateway) => readable.push(gateway),
            Err(error) if name.reference() == *object.reference() => {
                return Err(Failure::refused(error.to_string()).into());
            }
            Err(error) => unseen = Some(error.to_string()),
        }
    }
    Ok(Gateways {
        readable,
        unseen,
        ours: listed(name, observed)?,
    })
}

/// The Gateways of the Kubernetes Gateway API with servers on the proxies of the host, as Gateways of Istio.
///
/// Refuses a new Gateway for a host that one of them has: the older one serves it. That of an existing Gateway is seen at the proxies, and
/// nobody with another Gateway keeps it from being changed.
pub(super) fn of_kubernetes(target: &Target, observed: &Observed) -> Reconciled<Vec<Gateway>> {
    let proxies = IngressProxies::of(observed, &target.ingress)?;
    let gateways = proxies.served_kubernetes_gateways().cloned();
    let gateways: Vec<Gateway> = gateways.collect();
    let is_new = target.existing.is_none();
    // One that passes connections through is served only where a route of it says to where.
    let rival = |gateway: &&Gateway| {
        rival(target, gateway).is_some_and(|(server, _)| !server.forwards_tcp())
    };
    match gateways.iter().find(rival).filter(|_| is_new) {
        None => Ok(gateways),
        Some(other) => Err(Failure::refused(format!(
            "the host `{}` is served by the Gateway `{}`{OF_GATEWAY_API} already",
            target.host, other.name
        ))
        .hint("choose another host with `--host`, or take this one from the other Gateway's listeners")
        .into()),
    }
}

/// The server of another Gateway that takes the host over, and its host string.
fn rival<'a>(target: &'a Target, other: &'a Gateway) -> Option<(&'a Server, &'a str)> {
    let same = other.server_with_host(&target.gateway_host);
    let closer = other.server_for(&target.host).filter(|server| {
        let pattern = server.pattern_for(&target.host);
        pattern.is_some_and(|pattern| pattern.len() > target.gateway_host.len())
    });
    let server = same.or(closer)?;
    let pattern = server.pattern_for(&target.host);
    Some((server, pattern.unwrap_or(&target.gateway_host)))
}

/// A Gateway of the list, or its latest version after this run's writes.
pub(super) fn listed(name: &GatewayName, observed: &Observed) -> Reconciled<Option<Object>> {
    let reference = name.reference();
    let mut listed = observed.list(&query())?.iter();
    let object = listed.find(|object| *object.reference() == reference);
    Ok(object.map(|object| as_written(object, observed).clone()))
}

/// An object of a list, or its latest version after this run's writes.
fn as_written<'a>(object: &'a Object, observed: &'a Observed) -> &'a Object {
    let written = observed.change_of(object.reference());
    written.map_or(object, |written| &written.answer)
}

/// Refuses a Gateway that accepts clients without a certificate, and a host that another Gateway
/// has.
pub(super) fn conflicts(target: &Target) -> Result<(), Failure> {
    not_mutual(target)?;
    host_on_other_gateways(target)
}

fn not_mutual(target: &Target) -> Result<(), Failure> {
    let Some(Existing {
        gateway, server, ..
    }) = &target.existing
    else {
        return Ok(());
    };
    if server.is_mutual() {
        return Ok(());
    }
    let failure = Failure::refused(format!(
        "the Gateway `{}` serves `{}` in mode `{}`, not MUTUAL: anybody could reach the Service",
        gateway.name, target.host, server.mode
    ));
    let pattern = server.pattern_for(&target.host);
    let mut others = gateway.tls_servers().filter(|other| other.is_mutual());
    let ignored = others.find(|other| other.hosts.iter().any(|host| Some(&**host) == pattern));
    let failure = match ignored {
        Some(ignored) => failure
            .hint(format!(
                "{} has the same host string, and istiod ignores it because {} comes first; remove that one:",
                ignored.describe(),
                server.describe()
            ))
            .hint(command_line::edit(&gateway.name.reference())),
        None => failure,
    };
    Err(failure.hint("choose another Gateway with `--gateway`, or another host with `--host`"))
}

/// Refuses a host that another Gateway has: Istio merges Gateways by age, and silently drops a whole later server with the same host. A
/// more specific host on another Gateway takes over its handshakes, whatever its age.
fn host_on_other_gateways(target: &Target) -> Result<(), Failure> {
    let others = target
        .gateways
        .iter()
        .filter(|other| other.name != target.gateway && other.shares_proxies_with(&target.ingress));
    for other in others {
        let Some((server, pattern)) = rival(target, other) else {
            continue;
        };
        let failure = Failure::refused(format!(
            "the host `{pattern}` is served by the Gateway `{}` already",
            other.name
        ));
        return Err(if server.is_mutual() {
            failure
                .hint(format!(
                    "`--gateway {}` shares that Gateway; its clients can then reach this Service too",
                    other.name
                ))
                .hint("`--host` gives this Service a host, a Gateway and clients of its own")
        } else {
            failure.hint(format!(
                "the other Gateway serves the host in mode `{}`; choose another host with `--host`",
                server.mode
            ))
        });
    }
    Ok(())
}

/// Asks whether a Gateway may be written in the namespace of its proxies, in which the user may have no rights.
pub(super) fn check_rights(
    dry_run: DryRun,
    target: &Target,
    wanted: &[Wanted],
    observed: &Observed,
) -> Reconciled<()> {
    let reference = target.gateway.reference();
    let mut gateways = wanted.iter();
    let gateway = gateways.find(|wanted| *wanted.object.reference() == reference);
    match gateway.filter(|_| target.lies_elsewhere()) {
        None => Ok(()),
        Some(gateway) => wanted::check_rights(
            dry_run,
            std::slice::from_ref(gateway),
            "the Gateway must be in the namespace of its proxies",
            observed,
        ),
    }
}

/// The Gateway to write: moved to its authority, new, or restored. A Gateway of somebody else stays as it is, since it has a mutual-TLS
/// server for the host.
pub(super) fn desired(plan: &Plan<'_>) -> Result<Wanted, Failure> {
    if let Some(moved) = plan.moved {
        return Ok(moved.clone());
    }
    let (target, source) = (plan.target, &plan.trust.source.object);
    let live = target.existing.as_ref().map(|existing| &existing.object);
    let manifest = manifest(target, &client_ca::field(source));
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
    let mut wanted = applied(object.clone(), Some(live), None);
    let is_noted_wrongly = live.is_ours() && is_withdrawn(&object, live, INGRESS_ANNOTATION);
    if existing.weakened.is_some() || is_noted_wrongly {
        // What weakens a server may be a field that the manifest does not have; the list is written as a whole.
        wanted.write = Some(Write::Apply(object));
    }
    // A certificate check that somebody weakened with kubectl is put right; what a controller keeps is not, unless that is said.
    if let Some(Write::Apply(object)) = wanted.write.clone().filter(|_| is_weak) {
        wanted.write = Some(ownership::apply(object, live, plan.request.takes_over())?);
    }
    Ok(wanted)
}

fn manifest(target: &Target, client_ca: &str) -> Object {
    let object = MutualGateway {
        name: &target.gateway,
        host: &target.gateway_host,
        ingress: &target.ingress,
        credential: target.names.credential(),
        client_ca,
    }
    .object();
    if target.names.is_shared() {
        object.with_annotation(SHARED_AUTHORITY_ANNOTATION, &target.names.authority)
    } else {
        object
    }
}

/// The Gateway with further servers after its first one.
fn with_servers(object: Object, servers: &[Value]) -> Object {
    let mut spec = object.at(&["spec"]).cloned().unwrap_or_default();
    if let Some(own) = spec.get_mut("servers").and_then(Value::as_array_mut) {
        own.extend_from_slice(servers);
    }
    object.with("spec", spec)
}

/// Adds annotations to a Gateway: its Service, so that `unexpose` finds the Gateway when the route is gone, and the state of its DNS
/// record.
fn annotated(target: &Target, dns: &Dns, gateway: Object, live: Option<&Object>) -> Object {
    let own = format!("{}/{}", target.namespace, target.service);
    let said = live.and_then(|live| live.annotation(SERVICE_ANNOTATION));
    // A user who shares a Gateway of another namespace may lack the right to change it.
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
