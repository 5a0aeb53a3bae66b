//! The extent of an `unexpose` beyond the Service's own objects: the Gateway, and the objects that belong to it.
//!
//! The extent is recorded before the first deletion, in a `ConfigMap` beside the Service that is deleted last: a rerun of an interrupted
//! run has no route any more that names the Gateway, and no Certificate that identifies the server Secret.

use std::collections::BTreeSet;

use super::{Request, live, observe, secrets, users};
use crate::error::Failure;
use crate::plan::{Effect, Observed, Query, Reconciled, Write};
use crate::resources::gateway::Gateway;
use crate::resources::ingress::noted_namespaces;
use crate::resources::names::{
    CredentialNames, GATEWAY_ANNOTATION, GatewayName, INGRESS_ANNOTATION, SERVICE_ANNOTATION,
};
use crate::resources::route::LiveRoute;
use crate::resources::unexposure::{self, Doomed, Kept, Unexposure};
use crate::resources::{Kind, Object, ObjectRef, certificate, client_ca, dns_entry, guard};

/// The objects to delete with the Gateway; none if it stays.
#[derive(Debug, Default)]
pub(super) struct Extent {
    pub gateway: Option<GatewayName>,
    pub authority: Option<String>,
    /// The host of the deleted route, where an earlier run recorded it.
    pub host: Option<String>,
    /// The objects in the order of their deletion.
    pub doomed: Vec<ObjectRef>,
    /// The objects that belong to others.
    pub kept: Vec<Kept>,
    /// Whether the extent was recorded already, and the route is deleted.
    pub is_recorded: bool,
    /// The record to write before the first deletion.
    record: Option<Object>,
}

/// Determines the extent.
pub(super) fn of(request: &Request, route: &ObjectRef, observed: &Observed) -> Reconciled<Extent> {
    if !request.gateway_too {
        return Ok(Extent::default());
    }
    let record = unexposure::reference(&request.namespace, &request.service);
    observed.prefetch([Query::Get(record.clone())])?;
    if let Some(object) = observed.get(route)? {
        let route = read(object)?;
        let gateway = gateway_of(&route, object)?;
        return judged(request, &gateway, Some((object, &route)), observed);
    }
    if let Some(recorded) = recorded(&record, observed)? {
        return from_record(request, &recorded, observed);
    }
    observed.prefetch([gateways()])?;
    match made_for(request, observed)? {
        Some(gateway) => judged(request, &gateway, None, observed),
        None => Ok(Extent::default()),
    }
}

pub(super) fn gateways() -> Query {
    Query::everywhere(Kind::Gateway)
}

fn read(route: &Object) -> Result<LiveRoute, Failure> {
    LiveRoute::read(route).map_err(|error| Failure::refused(error.to_string()))
}

/// The Gateway that a route is attached to.
fn gateway_of(route: &LiveRoute, object: &Object) -> Result<GatewayName, Failure> {
    let parsed = route.gateway().parse();
    parsed.map_err(|error: String| {
        Failure::refused(format!(
            "{}: the Gateway in its spec {error}",
            object.reference()
        ))
    })
}

/// The Gateway that was made for the Service, if an earlier run deleted the route.
fn made_for(request: &Request, observed: &Observed) -> Reconciled<Option<GatewayName>> {
    let service = format!("{}/{}", request.namespace, request.service);
    let listed = observed.list(&gateways())?;
    let own = listed.iter().find(|gateway| {
        gateway.is_ours() && gateway.annotation(SERVICE_ANNOTATION) == Some(&service)
    });
    Ok(own.map(|gateway| GatewayName::new(gateway.namespace(), gateway.name())))
}

/// The record of an earlier run, or of this one.
fn recorded(reference: &ObjectRef, observed: &Observed) -> Reconciled<Option<Unexposure>> {
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

fn occupied(object: &Object) -> Failure {
    Failure::refused(format!(
        "{} was not created by kubectl-mtls, and `unexpose` needs its name to record what it deletes",
        object.reference()
    ))
    .hint("rename or remove the existing object")
}

/// The remaining objects of a record; a successor of an object does not belong to it.
fn from_record(
    request: &Request,
    recorded: &Unexposure,
    observed: &Observed,
) -> Reconciled<Extent> {
    let known: Vec<(ObjectRef, &Doomed)> = recorded
        .doomed
        .iter()
        .filter_map(|doomed| Some((doomed.reference()?, doomed)))
        .filter(|(reference, _)| request.purge || reference.kind != Kind::Secret)
        .collect();
    observed.prefetch(known.iter().map(|(reference, _)| observe(reference)))?;
    let mut doomed = Vec::new();
    for (reference, known) in known {
        let is_another = live(observed, &reference)?
            .is_some_and(|object| object.text(&["metadata", "uid"]) != known.uid);
        if !is_another {
            doomed.push(reference);
        }
    }
    Ok(Extent {
        gateway: Some(recorded.gateway.clone()),
        authority: Some(recorded.authority.clone()),
        host: recorded.host.clone(),
        doomed,
        kept: recorded.kept.clone(),
        is_recorded: true,
        record: None,
    })
}

/// What goes with a Gateway, as its objects themselves say; refused while somebody else needs any of it. The route may note where
/// its proxies run, and so does the Gateway: what lies beside them is looked for in all these namespaces.
fn judged(
    request: &Request,
    name: &GatewayName,
    route: Option<(&Object, &LiveRoute)>,
    observed: &Observed,
) -> Reconciled<Extent> {
    let noted = route.and_then(|(object, _)| object.annotation(INGRESS_ANNOTATION));
    observed.prefetch(users::queries())?;
    users::refuse_routes(request, name, observed)?;
    let listed = users::readable_gateways(observed)?;
    let own = listed.iter().find(|gateway| gateway.name == *name);
    let of_gateway = own.and_then(|own| own.ingress.note());
    let mut proxies: BTreeSet<String> = noted_namespaces(noted.or(of_gateway.as_deref()))
        .into_iter()
        .collect();
    proxies.extend(
        of_gateway
            .iter()
            .flat_map(|note| noted_namespaces(Some(note))),
    );
    let header_guards = proxies
        .iter()
        .map(|proxies| guard::headers_reference(proxies, name));
    let header_guards: Vec<ObjectRef> = header_guards.collect();
    if own.is_some_and(|own| !own.is_ours) {
        return Err(Failure::refused(format!(
            "the Gateway `{name}` was not created by kubectl-mtls"
        ))
        .hint("leave out `--gateway-too` and `--purge` to remove only the route")
        .hint(format!(
            "the guard of its identity headers stays with it; once no Service is exposed there: {}",
            commands(&header_guards)
        ))
        .into());
    }
    let candidates = names(name, own);
    let mut objects = vec![name.reference()];
    objects.extend(header_guards);
    objects.extend(
        candidates
            .iter()
            .map(|names| dns_entry::reference(name, &names.certificate)),
    );
    objects.extend(candidates.iter().flat_map(|names| {
        let name = &names.certificate;
        proxies.iter().flat_map(move |proxies| {
            certificate::KINDS.map(|kind| certificate::reference(kind, proxies, name))
        })
    }));
    observed.prefetch(objects.iter().map(observe))?;
    let mut doomed = Vec::new();
    for reference in objects {
        let is_own = live(observed, &reference)?
            .is_some_and(|object| reference.kind == Kind::Gateway || belongs_to(name, object));
        if is_own {
            doomed.push(reference);
        }
    }
    let mut kept = Vec::new();
    if request.purge {
        let names = named_secrets(own, &candidates);
        let secrets = names.iter().flat_map(|name| {
            let proxies = proxies.iter();
            proxies.map(move |proxies| client_ca::secret(proxies, name))
        });
        let judged = secrets::judge(name, secrets.collect(), observed)?;
        users::refuse_shared(name, &judged.doomed, &listed)?;
        doomed.extend(judged.doomed);
        kept = judged.kept;
    }
    let authority = candidates[0].authority.clone();
    let host = route.and_then(|(_, route)| route.hosts().first().cloned());
    let of_host = (authority.as_str(), host.clone());
    let record = record(request, name, of_host, &doomed, &kept, observed)?;
    Ok(Extent {
        gateway: Some(name.clone()),
        authority: Some(authority),
        host,
        doomed,
        kept,
        is_recorded: false,
        record: Some(record),
    })
}

/// The commands that delete these objects.
fn commands(objects: &[ObjectRef]) -> String {
    let delete = |object: &ObjectRef| {
        let ObjectRef {
            namespace, name, ..
        } = object;
        let kind = object.kind.singular_resource();
        format!("kubectl -n {namespace} delete {kind} {name}")
    };
    let commands: Vec<String> = objects.iter().map(delete).collect();
    commands.join(" && ")
}

/// The names of the objects that belong to a Gateway, by the credential of its mutual-TLS server; for a deleted Gateway, the possible
/// names.
fn names(name: &GatewayName, own: Option<&Gateway>) -> Vec<CredentialNames> {
    let server = own.and_then(|own| {
        let mut servers = own.tls_servers();
        servers.find(|server| server.is_mutual())
    });
    match (own, server) {
        (Some(own), Some(server)) => vec![own.names(server)],
        _ => vec![CredentialNames::further(name), CredentialNames::first()],
    }
}

/// The Secrets to delete: those that the Gateway's servers name, and those with its own names. Server Secrets come first, because a server
/// without its client-CA Secret may trust the issuer of its certificate.
fn named_secrets(own: Option<&Gateway>, candidates: &[CredentialNames]) -> Vec<String> {
    let servers = || own.iter().flat_map(|own| &own.servers);
    let credentials = servers()
        .flat_map(|server| std::iter::once(&server.credential).chain(&server.further_credentials))
        .cloned()
        .chain(candidates.iter().map(|names| names.credential().to_owned()));
    let client_cas = servers()
        .filter(|server| !server.credential.is_empty())
        .map(crate::resources::gateway::Server::client_ca_source)
        .filter(|source| source.kind == Kind::Secret)
        .map(|secret| secret.name)
        .chain(candidates.iter().flat_map(|names| {
            let earlier = (!names.is_shared()).then(|| names.earlier_client_ca());
            earlier.into_iter().chain([names.derived_client_ca()])
        }));
    let mut known = BTreeSet::new();
    credentials
        .chain(client_cas)
        .filter(|name| !name.is_empty() && known.insert(name.clone()))
        .collect()
}

/// Whether an object of this plugin names the Gateway in its annotation.
pub(super) fn belongs_to(gateway: &GatewayName, object: &Object) -> bool {
    object.is_ours() && object.annotation(GATEWAY_ANNOTATION) == Some(&gateway.to_string())
}

fn record(
    request: &Request,
    gateway: &GatewayName,
    (authority, host): (&str, Option<String>),
    doomed: &[ObjectRef],
    kept: &[Kept],
    observed: &Observed,
) -> Reconciled<Object> {
    let mut objects = Vec::new();
    for reference in doomed {
        objects.extend(live(observed, reference)?.map(Doomed::of));
    }
    let record = Unexposure {
        gateway: gateway.clone(),
        authority: authority.to_owned(),
        host,
        doomed: objects,
        kept: kept.to_vec(),
    };
    Ok(record.object(&request.namespace, &request.service))
}

/// Writes the record, unless it exists already.
pub(super) fn write_down(
    request: &Request,
    extent: &Extent,
    observed: &Observed,
) -> Reconciled<()> {
    let Some(record) = extent.record.as_ref().filter(|_| !extent.doomed.is_empty()) else {
        return Ok(());
    };
    let reference = unexposure::reference(&request.namespace, &request.service);
    match observed.get(&reference)? {
        Some(live) if !live.is_ours() => Err(occupied(live).into()),
        Some(live) if record.is_contained_in(live) => Ok(()),
        _ => Err(Effect::Write(Write::Apply(record.clone())).into()),
    }
}

/// Deletes the record once all its objects are deleted.
pub(super) fn strike_out(request: &Request, observed: &Observed) -> Reconciled<()> {
    if !request.gateway_too {
        return Ok(());
    }
    let reference = unexposure::reference(&request.namespace, &request.service);
    observed.prefetch([Query::Get(reference.clone())])?;
    match observed.get(&reference)? {
        Some(record) if record.is_ours() => {
            Err(Effect::Write(Write::Delete(record.clone())).into())
        }
        _ => Ok(()),
    }
}
