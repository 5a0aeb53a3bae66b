//! `expose`: everything between a Service and a working mutual-TLS host, in the safe order.
//!
//! The order is the safety: the client-CA Secret stands before anything that could make istiod trust another CA
//! (<https://github.com/istio/istio>, `pilot/pkg/networking/core/gateway.go`), and the Gateway and the Service stand
//! before the `APIRule`, whose controller does not watch them.

mod conflicts;
mod objects;
mod report;
mod target;
mod trust;
mod view;
mod waiting;

use std::time::Duration;

use time::OffsetDateTime;

pub use objects::Wanted;
pub use report::{Change, Looked, Report, TrustedCa};

use super::authority::NewAuthority;
use super::{DryRun, Query, Step, World};
use crate::error::Failure;
use crate::resources::names::GatewayName;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Its port, by number or name; needed where it has several.
    pub port: Option<String>,
    /// The exact host; `<service>.mtls.<domain>` without.
    pub host: Option<String>,
    /// The Gateway to use or make; `kyma-mtls-gateway` of the Service's namespace without.
    pub gateway: Option<GatewayName>,
    /// How a new authority is made.
    pub ca_ttl: time::Duration,
    /// The kind of its key.
    pub ca_key_type: crate::pki::key::KeyType,
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// How long all waiting may take.
    pub timeout: Duration,
    /// `HOST:PORT` in the place of the load balancer.
    pub connect_to: Option<String>,
}

impl Request {
    fn new_authority(&self, name: &str) -> NewAuthority {
        NewAuthority {
            ttl: self.ca_ttl,
            key_type: self.ca_key_type,
            ..NewAuthority::of_name(name)
        }
    }
}

/// The next step.
pub fn next(
    request: &Request,
    world: &World,
    now: OffsetDateTime,
) -> Result<Step<Report>, Failure> {
    if let Some(step) = world.read_first(target::queries(request)) {
        return Ok(step);
    }
    if let Some(step) = target::explain_missing_service(request, world)? {
        return Ok(step);
    }
    let target = target::decide(request, world)?;
    if let Some(step) = world.read_first(view::queries(&target)) {
        return Ok(step);
    }
    let view = view::View::of(&target, world)?;
    conflicts::check(&target, &view)?;

    let client_ca_name = match trust::client_ca_name(&target, &view, world)? {
        trust::Answer::Known(name) => name,
        trust::Answer::Ask(step) => return Ok(step),
    };
    let client_ca = match trust::client_ca(request, &target, &view, &client_ca_name, world, now)? {
        trust::Answer::Known(client_ca) => client_ca,
        trust::Answer::Ask(step) => return Ok(step),
    };
    let wanted = objects::wanted(&target, &view, &client_ca, &client_ca_name);
    if let Some(step) = objects::next_write(request, &wanted, world) {
        return Ok(step);
    }
    if request.dry_run != DryRun::None {
        return Ok(Step::Done(report::planned(
            &target, &view, &wanted, &client_ca,
        )));
    }
    if let Some(step) = waiting::until_ready(request, &wanted, world)? {
        return Ok(step);
    }
    match waiting::until_seen(request, &target, &client_ca, world, now)? {
        trust::Answer::Ask(step) => Ok(step),
        trust::Answer::Known(looked) => Ok(Step::Done(report::done(
            &target, &view, &wanted, &client_ca, looked, world,
        ))),
    }
}

fn get(reference: crate::resources::ObjectRef) -> Query {
    Query::Get(reference)
}
