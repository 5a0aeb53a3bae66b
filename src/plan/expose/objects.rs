//! The objects that must stand in the end, in the order in which they are written.

use super::target::Target;
use super::trust::{Trust, gateway};
use super::view::View;
use super::{Report, Request};
use crate::plan::{DryRun, Step, TryOut, World, Write};
use crate::resources::Object;
use crate::resources::api_rule::Route;
use crate::resources::certificate::ServerCertificate;
use crate::resources::names::{FIELD_MANAGER, MANAGED_BY, derived_client_ca, route};

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

/// All objects, in apply order: client CA, Certificate, Gateway, route.
pub(super) fn wanted(
    target: &Target,
    view: &View<'_>,
    trust: &Trust,
    client_ca_name: &str,
) -> Vec<Wanted> {
    let client_ca_exists = view.client_ca(client_ca_name).is_some();
    let client_ca = Wanted {
        object: trust.object.clone(),
        write: (!client_ca_exists).then(|| Write::Create(trust.object.clone())),
        exists: client_ca_exists,
    };
    let mut wanted = vec![client_ca];
    wanted.extend(server_certificate(target, view));
    wanted.push(our_gateway(target, client_ca_name));
    wanted.push(our_route(target, view));
    wanted
}

/// A Gateway made by hand has a server certificate of its own: we write none for it.
fn server_certificate(target: &Target, view: &View<'_>) -> Option<Wanted> {
    let is_by_hand = target
        .existing
        .as_ref()
        .is_some_and(|(gateway, _)| !gateway.is_ours);
    if is_by_hand && view.certificate.is_none() {
        return None;
    }
    let object = ServerCertificate {
        name: &target.names.certificate,
        gateway: &target.gateway,
        host: &target.gateway_host,
        secret: target.names.credential(),
    }
    .object();
    let live = view.certificate.as_ref();
    let failed = live.is_some_and(|(_, certificate)| certificate.progress.state == "Error");
    Some(applied(
        object,
        live.map(|(object, _)| *object),
        failed.then_some(RETRY_CERTIFICATE),
    ))
}

fn our_gateway(target: &Target, client_ca_name: &str) -> Wanted {
    let derived = derived_client_ca(target.names.credential());
    let field = Some(client_ca_name).filter(|name| *name != derived);
    let object = gateway(target, field);
    // A mutual server for the host was seen on it: nothing of it is ours to change.
    let exists = target.existing.is_some();
    Wanted {
        write: (!exists).then(|| Write::Apply(object.clone())),
        object,
        exists,
    }
}

fn our_route(target: &Target, view: &View<'_>) -> Wanted {
    let object = Route {
        namespace: &target.namespace,
        name: &route(&target.service),
        host: &target.host,
        gateway: &target.gateway,
        service: &target.service,
        port: target.port,
    }
    .object();
    let live = view.route.as_ref();
    let failed = live.is_some_and(|(_, rule)| rule.state == "Error" || rule.state == "Warning");
    applied(
        object,
        live.map(|(object, _)| *object),
        failed.then_some(RETRY_ROUTE),
    )
}

/// Makes cert-management try again at once instead of after minutes to hours (Gardener's operation annotation).
const RETRY_CERTIFICATE: (&str, &str) = ("gardener.cloud/operation", "reconcile");
/// Any change makes Kyma's controller look again at once; it backs off up to 1000 seconds and watches no Service.
const RETRY_ROUTE: (&str, &str) = ("kubectl-mtls.dev/retried", "true");

/// An object of ours that is applied unless the live one says the same, or when its controller has given up for now.
fn applied(object: Object, live: Option<&Object>, retry: Option<(&str, &str)>) -> Wanted {
    let is_kept = |live: &Object| {
        live.label(MANAGED_BY) != Some(FIELD_MANAGER) || object.is_contained_in(live)
    };
    let write = match (live, retry) {
        (Some(live), None) if is_kept(live) => None,
        (Some(live), Some((key, value))) if live.annotation(key) == Some(value) => {
            Some(object.clone())
        }
        (Some(_), Some((key, value))) => Some(object.clone().with_annotation(key, value)),
        _ => Some(object.clone()),
    };
    Wanted {
        write: write.map(Write::Apply),
        exists: live.is_some(),
        object,
    }
}

/// The first object that is not as it must be; each is written once.
pub(super) fn next_write(
    request: &Request,
    wanted: &[Wanted],
    world: &World,
) -> Option<Step<Report>> {
    let pending = wanted.iter().filter_map(|wanted| wanted.write.as_ref());
    match request.dry_run {
        DryRun::None => {
            let mut unwritten =
                pending.filter(|write| world.change_of(write.object().reference()).is_none());
            unwritten.next().cloned().map(Step::Write)
        }
        DryRun::Client => None,
        DryRun::Server => {
            let mut untried =
                pending.filter(|write| world.tried(write.object().reference()).is_none());
            untried.next().cloned().map(|write| {
                Step::TryOut(TryOut {
                    write,
                    strict: true,
                })
            })
        }
    }
}
