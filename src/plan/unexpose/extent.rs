//! The extent of an `unexpose` beyond the Service's own objects: the Gateway, and the objects that belong to it.
//!
//! The extent is recorded before the first deletion, in a `ConfigMap` beside the Service that is deleted last: a rerun of an interrupted
//! run has no route any more that names the Gateway, and no Certificate that identifies the server Secret.

use std::collections::BTreeSet;

use super::{Request, belongs_to, live, observe, recorded, secrets, uid, users};
use crate::error::Failure;
use crate::plan::{Effect, Observed, Query, Reconciled, Write};
use crate::resources::ingress::noted_namespaces;
use crate::resources::names::{GatewayName, INGRESS_ANNOTATION, SERVICE_ANNOTATION};
use crate::resources::route::LiveRoute;
use crate::resources::unexposure::{self, Doomed, Kept, Unexposure};
use crate::resources::{Kind, Object, ObjectRef, certificate, client_ca, dns_entry, guard};

/// The objects to delete with the Gateway; none if it stays.
#[derive(Debug, Default)]
pub(super) struct Extent {
    pub gateway: Option<GatewayName>,
    /// The uid of the Gateway, if it exists, or existed when an earlier run recorded it.
    pub gateway_uid: Option<String>,
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
    if let Some(recorded) = recorded::read(&record, observed)? {
        return from_record(request, recorded, observed);
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

/// The extent of a record. While the Gateway is one that was created again, nothing goes with it, not even its authority's finalizer.
fn from_record(request: &Request, recorded: Unexposure, observed: &Observed) -> Reconciled<Extent> {
    let remaining = recorded::remaining(request, &recorded, observed)?;
    Ok(Extent {
        gateway: Some(recorded.gateway),
        gateway_uid: remaining.gateway_uid,
        authority: (!remaining.is_made_again).then_some(recorded.authority),
        host: recorded.host,
        doomed: remaining.doomed,
        kept: remaining.kept,
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
    let candidates = secrets::names(name, own);
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
        let names = secrets::named(name, own);
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
        gateway_uid: live(observed, &name.reference())?.map(uid),
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
        Some(live) if !live.is_ours() => Err(recorded::occupied(live).into()),
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
