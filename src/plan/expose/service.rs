//! The Service to expose, and its port.

use super::{Request, get};
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::service::{Port, Service};
use crate::resources::{Kind, Object, ObjectRef, sample};

/// How many namespaces with a Service of the same name a message shows.
const MOST_NAMESPACES: usize = 3;

/// The reference to the Service.
pub(super) fn reference(request: &Request) -> ObjectRef {
    ObjectRef::new(Kind::Service, &request.namespace, &request.service)
}

/// The Service, or the one that the sample will create.
pub(super) fn of(request: &Request, observed: &Observed) -> Reconciled<Service> {
    let unreadable = |error: crate::resources::Unreadable| Failure::refused(error.to_string());
    Ok(match observed.get(&reference(request))? {
        Some(object) => Service::read(object).map_err(unreadable)?,
        None if request.workload.sample => {
            Service::read(&sample::service(&request.namespace)).map_err(unreadable)?
        }
        None => return Err(Failure::failed("the Service vanished while it was read").into()),
    })
}

/// The error about a missing Service: reads the existing Services, and names them.
pub(super) fn explain_missing(request: &Request, observed: &Observed) -> Reconciled<()> {
    let service = reference(request);
    if request.workload.sample || observed.get(&service)?.is_some() {
        return Ok(());
    }
    let others = Query::within(Kind::Service, &request.namespace);
    let namespace = ObjectRef::namespace(&request.namespace);
    observed.prefetch([others.clone(), everywhere(), get(namespace.clone())])?;
    let elsewhere = elsewhere(request, observed);
    if matches!(observed.try_get(&namespace)?, Seen::Missing) {
        let missing = format!("the namespace `{}` does not exist", request.namespace);
        let hint = if request.workload.create_namespace {
            "a new namespace has no Service: `--sample` deploys one into it"
        } else {
            "`-n` names the Service's namespace"
        };
        let hints = match elsewhere {
            found if found.is_empty() => vec![hint.to_owned()],
            found => found,
        };
        return Err(Failure::refused(missing).hints(hints).into());
    }
    let found = observed.try_list(&others)?;
    let found = found.found().copied().unwrap_or_default();
    let names: Vec<&str> = found.iter().map(Object::name).collect();
    let hint = if names.is_empty() {
        "the namespace has no Services; `-n` names another namespace".to_owned()
    } else {
        format!("existing Services: {}", names.join(", "))
    };
    let missing = format!(
        "the Service `{}` does not exist in the namespace `{}`",
        service.name, service.namespace
    );
    let hints = match elsewhere {
        found if found.is_empty() => vec![hint],
        found => found,
    };
    Err(Failure::refused(missing).hints(hints).into())
}

/// The Services of all namespaces, metadata only.
pub(super) fn everywhere() -> Query {
    Query::List {
        kind: Kind::Service,
        namespace: None,
        selector: None,
        metadata_only: true,
    }
}

/// Other namespaces with a Service of that name, with a command for each; none if Services may not be listed everywhere.
fn elsewhere(request: &Request, observed: &Observed) -> Vec<String> {
    let seen = observed.already_listed(&everywhere());
    let listed = seen.and_then(|seen| seen.found().copied());
    let same = listed.unwrap_or_default().iter().filter(|object| {
        object.name() == request.service && object.namespace() != request.namespace
    });
    let mut hints = Vec::new();
    for object in same.take(MOST_NAMESPACES) {
        let namespace = object.namespace();
        hints.push(format!(
            "the Service exists in the namespace `{namespace}`:"
        ));
        hints.push(format!(
            "  kubectl mtls expose {} -n {namespace}",
            request.service
        ));
    }
    hints
}

/// The Service's port: the one that the user names, else the only one, else the one that an earlier run chose.
pub(super) fn port(request: &Request, kept: Option<u16>, observed: &Observed) -> Reconciled<u16> {
    let service = of(request, observed)?;
    let name = &request.service;
    if service.selector.is_empty() {
        return Err(Failure::refused(format!(
            "the Service `{name}` has no selector, so no Pods stand behind it"
        ))
        .hint("a route needs a Service that selects Pods")
        .into());
    }
    let ports: Vec<&Port> = service.tcp_ports().collect();
    let list = || {
        ports
            .iter()
            .map(|port| port.describe())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (&request.port, ports.as_slice()) {
        (_, []) => Err(Failure::refused(format!("the Service `{name}` has no TCP port")).into()),
        (None, [only]) => Ok(only.port),
        (None, several) if several.iter().any(|port| Some(port.port) == kept) => {
            Ok(kept.unwrap_or_default())
        }
        (None, _) => Err(
            Failure::usage(format!("the Service `{name}` has several ports"))
                .hint(format!("choose one with `--port`: {}", list()))
                .into(),
        ),
        (Some(wanted), _) => {
            let is_wanted =
                |port: &&&Port| port.name == *wanted || port.port.to_string() == *wanted;
            let chosen = ports.iter().find(is_wanted).map(|port| port.port);
            chosen.ok_or_else(|| {
                Failure::usage(format!("the Service `{name}` has no port `{wanted}`"))
                    .hint(format!("the Service has {}", list()))
                    .into()
            })
        }
    }
}
