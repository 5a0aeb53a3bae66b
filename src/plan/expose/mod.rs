//! `expose`: everything between a Service and a working mutual-TLS host, in the safe order.
//!
//! The order is the safety: the client-CA Secret stands before anything that could make istiod trust another CA
//! (<https://github.com/istio/istio>, `pilot/pkg/networking/core/gateway.go`), and the Gateway and the Service stand
//! before the `APIRule`, whose controller does not watch them.

mod access;
mod allow;
mod conflicts;
mod dns;
mod environment;
mod objects;
mod report;
mod server;
mod service;
mod target;
mod trust;
mod view;
mod waiting;
mod workload;

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

pub use dns::DnsChoice;
pub use objects::Wanted;
pub(super) use objects::{applied, check_first, write};
pub use report::{Change, Looked, Report, TrustedCa};
pub use server::ServerChoice;
pub use workload::WorkloadChoice;

use super::authority::NewAuthority;
use super::{DryRun, Query, Step, Stop, World};
use crate::error::Failure;
use crate::pki::bundle::Bundle;
use crate::resources::api_rule::IdentityHeaders;
use crate::resources::names::GatewayName;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// What is made behind the host, if anything.
    pub workload: WorkloadChoice,
    /// Its port, by number or name; needed where it has several and no earlier run chose one.
    pub port: Option<String>,
    /// The exact host; without, what an earlier run made, else `<service>.mtls.<domain>`.
    pub host: Option<String>,
    /// The Gateway to use or make; without, that of an earlier run, else `kyma-mtls-gateway` of the Service's namespace.
    pub gateway: Option<GatewayName>,
    /// What is said of the route; the rest stays as an earlier run made it.
    pub route: RouteChoice,
    /// What is said of the host's DNS.
    pub dns: DnsChoice,
    /// Who issues the server certificate; without, the issuer of an earlier run, else Gardener's own.
    pub issuer: Option<String>,
    /// Who may call the host.
    pub allow: Allow,
    /// Where the gateway's server certificate comes from.
    pub server: ServerChoice,
    /// The CAs to trust instead of one of our own.
    pub client_ca: Option<Bundle>,
    /// How a new authority is made.
    pub ca_ttl: time::Duration,
    /// The kind of its key.
    pub ca_key_type: crate::pki::key::KeyType,
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// Whether to wait for the controllers, and to look at the gateway; else all ends with the last write.
    pub wait: bool,
    /// How long all waiting may take.
    pub timeout: Duration,
    /// `HOST:PORT` in the place of the load balancer.
    pub connect_to: Option<String>,
}

/// What is said of the route.
#[derive(Debug, Clone, Default)]
pub struct RouteChoice {
    /// Its path.
    pub path: Option<String>,
    /// Its methods; empty where nothing is said.
    pub methods: Vec<String>,
    /// The Service's time to answer, in seconds.
    pub timeout: Option<u32>,
    /// How the identity stands in its headers.
    pub identity: Option<IdentityHeaders>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
}

/// What is said of who may call the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Allow {
    /// Nothing: an existing allow-list stays.
    #[default]
    Keep,
    /// Every client of the trusted CAs.
    Any,
    /// These clients only: names of the authority's, or URI SANs.
    Only(Vec<String>),
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
    Stop::settle(work(request, world, now))
}

fn work(request: &Request, world: &World, now: OffsetDateTime) -> Answer<Report> {
    world.need(target::queries(request))?;
    world.need(workload::queries(request))?;
    service::explain_missing(request, world)?;
    let environment = environment::Environment::of(request, world);
    world.need(environment.queries(request, world))?;
    let target = target::decide(request, environment, world)?;
    world.need(view::queries(&target))?;
    let view = view::View::of(&target, world)?;
    conflicts::check(&target, &view)?;
    let record = dns::decide(request, &target, world)?;
    let workload = workload::decide(request, world)?;
    // What the API server is asked of objects in a namespace, it answers only where that is there.
    workload::write_namespace(request, &workload, world)?;

    let name = trust::client_ca_name(request, &target, &view, world)?;
    let trust = trust::client_ca(request, &target, &view, &name, world, now)?;
    let allowed = allow::decide(request, &target, &view, &trust, world)?;
    let access = access::decide(request, &target, &view, world)?;
    let server = server::decide(request, &target, &view, world, now)?;
    let plan = Plan {
        target: &target,
        view: &view,
        trust: &trust,
        allowed: &allowed,
        access: &access,
        server: &server,
        record: record.as_ref(),
        workload: &workload,
    };
    let wanted = objects::wanted(&plan);
    objects::check_first(request.dry_run, &wanted, world)?;
    if request.dry_run != DryRun::None {
        let planned = report::planned(&plan, &wanted, world);
        return Ok(planned.with_record(record.as_ref(), None));
    }
    if let Some(warning) = access
        .warning
        .as_ref()
        .filter(|text| !world.told.contains(*text))
    {
        return Err(Step::Tell(warning.clone()).into());
    }
    objects::write(&wanted, world)?;
    if !request.wait {
        let written = report::done(&plan, &wanted, None, world);
        let pending = waiting::pending(&wanted, world)?;
        return Ok(written
            .with_record(record.as_ref(), None)
            .unwaited(&pending));
    }
    waiting::until_ready(request, &wanted, world)?;
    let unresolved = match &record {
        Some(record) => dns::until_resolved(request, &target, record, world)?,
        None => None,
    };
    let looked = waiting::until_seen(request, &target, &trust, world, now)?;
    let done = report::done(&plan, &wanted, Some(looked), world);
    Ok(done.with_record(record.as_ref(), unresolved))
}

/// Everything that was decided.
struct Plan<'a> {
    target: &'a target::Target,
    view: &'a view::View<'a>,
    trust: &'a trust::Trust,
    allowed: &'a allow::Allowed,
    access: &'a access::Access,
    server: &'a server::Server,
    record: Option<&'a dns::Record>,
    workload: &'a workload::Workload,
}

/// An answer, or what must be done before there is one.
type Answer<T> = Result<T, Stop<Report>>;

fn get(reference: crate::resources::ObjectRef) -> Query {
    Query::Get(reference)
}
