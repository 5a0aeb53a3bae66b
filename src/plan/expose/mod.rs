//! `expose`: creates everything between a Service and a working mutual-TLS host, in a safe order.
//!
//! The order matters: the authority and its fallback are written before anything that could make istiod trust another CA
//! (<https://github.com/istio/istio>, `pilot/pkg/networking/core/gateway.go`), and the Gateway and the Service before the `APIRule`, whose
//! controller does not watch them.

mod address;
mod authority;
mod connection_reuse;
mod dns_record;
mod environment;
mod existing;
mod external;
mod fail_closed_secret;
mod gateway;
mod guard;
mod hopeless;
mod ingress;
mod joining;
mod moving;
mod names;
mod needs;
mod ownership;
mod pending;
mod report;
mod retirement;
mod route;
mod server_certificate;
mod service;
mod sites;
mod target;
mod view;
mod waiting;
mod wanted;
mod workload;
mod workload_policy;

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

pub use dns_record::DnsChoice;
pub use report::{Change, Report, TrustedCa};
pub use server_certificate::ServerChoice;
pub use waiting::Looked;
pub use wanted::Wanted;
pub(super) use wanted::{applied, check_first, write};
pub use workload::WorkloadChoice;

use super::authority::NewAuthority;
use super::check::Finding;
use super::{DryRun, Observed, Query, probe, witness};
use crate::error::Failure;
use crate::pki::bundle::Bundle;
use crate::plan::{Effect, Reconciled};
use crate::resources::ObjectRef;
use crate::resources::api_rule::IdentityHeaders;
use crate::resources::gateway::Gateway;
use crate::resources::names::GatewayName;
use crate::resources::paths::Paths;

/// The request of the user.
#[derive(Debug, Clone)]
pub struct Request {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// The workload to create behind the host, if any.
    pub workload: WorkloadChoice,
    /// The Service's port, by number or name; needed if it has several and no earlier run chose
    /// one.
    pub port: Option<String>,
    /// The exact host; by default that of an earlier run, else `<service>.mtls.<domain>`.
    pub host: Option<String>,
    /// The domain of a cluster on the user's own machine; `None` elsewhere.
    pub local_domain: Option<&'static str>,
    /// The Gateway to use or create; by default that of an earlier run, else `kyma-mtls-gateway` of the Service's namespace.
    pub gateway: Option<GatewayName>,
    /// The Services in front of the ingress gateway, the one first that leads clients to it; by default Kyma's, else the only one in the
    /// cluster.
    pub ingress: Vec<ObjectRef>,
    /// The labels of the ingress gateway's proxies; by default those of Istio's default one.
    pub selector: Option<BTreeMap<String, String>>,
    /// The user's choices for the route; all else stays as an earlier run made it.
    pub route: RouteChoice,
    /// The user's choices for the host's DNS.
    pub dns: DnsChoice,
    /// The issuer of the server certificate; by default that of an earlier run, else Gardener's own.
    pub issuer: Option<String>,
    /// The user's choice of the clients that may call the host.
    pub access: AccessChoice,
    /// The source of the gateway's server certificate.
    pub server: ServerChoice,
    /// The authority that a new Gateway reads; by default a new one.
    pub authority: Option<String>,
    /// The CAs to trust instead of a new client CA.
    pub client_ca: Option<Bundle>,
    /// Whether a hand-made Gateway that reads its client CA from a Secret is moved to an authority.
    pub fail_closed: bool,
    /// Whether fields that others wrote, including controllers, are taken over.
    pub force_conflicts: bool,
    /// The lifetime of a new client CA.
    pub ca_ttl: time::Duration,
    /// The type of a new client CA's key.
    pub ca_key_type: crate::pki::key::KeyType,
    /// The subject of a new client CA, if it is not the default one.
    pub ca_subject: Option<crate::pki::names::Subject>,
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// Whether to wait for the controllers and to probe the gateway; else the run ends with the last write.
    pub wait: bool,
    /// Time limit for all waiting.
    pub timeout: Duration,
    /// Address of the gateway to use instead of the load balancer, `HOST:PORT`.
    pub connect_to: Option<String>,
}

/// The user's choices for the route.
#[derive(Debug, Clone, Default)]
pub struct RouteChoice {
    /// The admitted paths.
    pub paths: Option<Paths>,
    /// The admitted methods; empty for the default.
    pub methods: Vec<String>,
    /// The time limit for the Service's answer, in seconds.
    pub timeout: Option<u32>,
    /// The format of the identity headers.
    pub identity: Option<IdentityHeaders>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
}

impl RouteChoice {
    /// Whether any choice is made.
    fn says_something(&self) -> bool {
        self.paths.is_some()
            || !self.methods.is_empty()
            || self.timeout.is_some()
            || self.identity.is_some()
            || !self.headers.is_empty()
    }
}

impl Allow {
    /// Whether the allow-list is not changed.
    fn says_nothing(&self) -> bool {
        matches!(self, Self::Keep | Self::Change { .. })
    }
}

/// The user's choice of the clients that may call the host, and its options.
#[derive(Debug, Clone, Default)]
pub struct AccessChoice {
    /// The allow-list.
    pub allow: Allow,
    /// Whether clients without a valid certificate may be listed.
    pub allow_unknown: bool,
    /// Whether a host guard is wanted; `None` keeps the existing state.
    pub guard: Option<bool>,
}

/// The requested change of the allow-list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Allow {
    /// No change.
    #[default]
    Keep,
    /// Every client of the trusted CAs.
    Any,
    /// Only these clients: names of the authority's clients, or URI SANs.
    Only(Vec<String>),
    /// The listed clients with these added and those removed.
    Change {
        /// Names of the authority's clients, or URI SANs, to add.
        add: Vec<String>,
        /// Names of the authority's clients, or URI SANs, to remove.
        remove: Vec<String>,
    },
}

impl Request {
    /// Whose fields may be taken over by an option that asks for it.
    fn takes_over(&self) -> ownership::From {
        if self.force_conflicts {
            ownership::From::Anybody
        } else {
            ownership::From::Kubectl
        }
    }

    fn new_authority(&self, name: &str) -> NewAuthority {
        NewAuthority {
            ttl: self.ca_ttl,
            key_type: self.ca_key_type,
            subject: self.ca_subject.clone(),
            ..NewAuthority::of_name(name)
        }
    }
}

/// Exposes a Service.
pub fn reconcile(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    waiting::refuse_others_changes(observed)?;
    let first = address::queries(request).into_iter();
    let proxies = ingress::queries(request);
    observed.prefetch(first.chain(proxies).chain(needs::queries()))?;
    observed.prefetch(workload::queries(request))?;
    service::explain_missing(request, observed)?;
    let environment = environment::Environment::of(request, observed)?;
    let second = address::without_kyma(request, environment, observed)?.into_iter();
    observed.prefetch(second.chain(needs::mesh_configs(&ingress::guess(request), observed)?))?;
    observed.prefetch(address::former_names(request, environment, observed)?)?;
    let target = address::decide(request, environment, observed)?;
    let of_target = address::of_target(&target).into_iter();
    observed.prefetch(of_target.chain(probe::queries(&target.ingress)))?;
    let kubernetes_gateways = gateway::of_kubernetes(&target, observed)?;
    let sites = sites::all(&target, observed, now)?;
    let view = &sites[0].view;
    for site in &sites {
        sites::refuse_conflicts(site)?;
    }
    server_certificate::check(request, &sites, observed, now)?;
    let ingress_notes = ingress::check(&target.ingress, environment.routing, observed)?;
    let dns = dns_record::desired(request, &target, observed)?;
    let workload = workload::desired(request, observed)?;
    let guards = guard::desired(request, &target, &sites, observed, now)?;
    // What the API server is asked of objects in a namespace, it answers only where that is there.
    workload::write_namespace(request, &workload, observed)?;

    let source = moving::decide(request, &target, view, observed)?;
    moving::refuse_further_bundles(&source, &sites)?;
    let fail_closed_secrets = fail_closed_secret::desired(request, &sites, &source, observed)?;
    let needs = needs::decide(request.dry_run, &target, &source, observed)?;
    let trust = authority::desired(request, &target, view, source, &needs, observed, now)?;
    let workload_policy = workload_policy::desired(request, &target, view, observed)?;
    let server = server_certificate::desired(request, &sites, observed, now)?;
    let moved = moving::gateway(request, &target, &trust.source)?;
    let is_listed = guards.is_listed();
    let external = external::checks(request, &target, (&workload_policy, is_listed), observed)?;
    let plan = Plan {
        request,
        ingress_notes,
        target: &target,
        view,
        sites: &sites,
        trust: &trust,
        needs: &needs,
        fail_closed_secrets: &fail_closed_secrets,
        guards: &guards,
        workload_policy: &workload_policy,
        server: &server,
        dns: &dns,
        workload: &workload,
        moved: moved.as_ref(),
        external: &external,
        kubernetes_gateways: &kubernetes_gateways,
    };
    let mut wanted = phases(&plan)?;
    wanted::settle(&plan, &mut wanted, observed)?;
    gateway::check_rights(request.dry_run, &target, &wanted, observed)?;
    wanted::check_first(request.dry_run, &wanted, observed)?;
    if request.dry_run != DryRun::None {
        wanted.extend(retirement::doomed(request, &target, view, &trust, now));
        let planned = report::planned(&plan, &wanted, observed);
        return Ok(planned.with_dns(&dns, None));
    }
    let is_new = |text: &String| !observed.notified().contains(text);
    if let Some(warning) = report::warnings(&plan).into_iter().find(is_new) {
        return Err(Effect::Notify(warning).into());
    }
    if trust.authority.is_some() {
        witness::catch_up_unless_unproven(&target.names.authority, observed)?;
    }
    wanted::write(&wanted, observed)?;
    finish(&plan, &wanted, observed, now)
}

/// The objects in the order in which they are written, phase by phase: at no point may the host be open without its guards.
fn phases(plan: &Plan<'_>) -> Result<Vec<Wanted>, Failure> {
    let route = route::desired(plan)?;
    let gateway = gateway::desired(plan)?;
    let record = plan.dns.wanted();
    let (narrowed, route) = if plan.guards.narrow() && route.exists {
        (Some(route), None)
    } else {
        (None, Some(route))
    };
    let phases: [&[Wanted]; 13] = [
        // Kyma's api-gateway does not watch Services, so the Service comes before its APIRule.
        &plan.workload.wanted,
        plan.needs.namespace.as_slice(),
        // The client CA, and the CA that takes its place if it is lost, before anything that could let a client in.
        plan.trust.authority.as_slice(),
        &plan.fail_closed_secrets.wanted,
        // A lost guard is restored from the allow-list in the annotation: removed clients leave the annotation first.
        narrowed.as_slice(),
        // The guards stand before the Gateway and the route, which they protect.
        &plan.guards.wanted,
        // While the issuer's challenge stands, only a record of its own keeps the host resolvable (RFC 4592).
        record.as_slice(),
        &plan.server.wanted,
        std::slice::from_ref(&gateway),
        plan.workload_policy.policy.as_slice(),
        route.as_slice(),
        &plan.guards.lifted,
        plan.dns.lifted.as_slice(),
    ];
    Ok(phases.concat())
}

/// The phases after the last write: waiting for the controllers, probing the proxies, and retiring what was replaced.
fn finish(
    plan: &Plan<'_>,
    wanted: &[Wanted],
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Report> {
    let Plan {
        request,
        target,
        view,
        trust,
        dns,
        ..
    } = plan;
    let seen_by = (*trust, plan.needs.is_certain);
    if !request.wait {
        let kept = retirement::retire(request, target, view, seen_by, None, observed, now)?;
        let written = report::done(plan, wanted, None, observed).with_note(kept);
        let pending = waiting::pending(wanted, observed)?;
        return Ok(written.with_dns(dns, None).unwaited(&pending));
    }
    let awaited: Vec<Wanted> = wanted
        .iter()
        .filter(|wanted| dns.is_waited_for(&wanted.object))
        .cloned()
        .collect();
    waiting::until_ready(request, &awaited, observed, now)?;
    let ineffective = dns_record::settle(request, target, dns, wanted, observed)?;
    let patience = dns_record::patience(request, dns, ineffective.is_some());
    let resolution = dns_record::until_resolved(target, dns.record.as_ref(), patience, observed)?;
    let certificates = server_certificate::fingerprints(plan.sites);
    let ways = waiting::until_seen(plan, certificates.clone(), observed, now)?;
    let unrouted = waiting::until_routed(plan, &certificates, &ways, observed)?;
    let retired = retirement::retire(request, target, view, seen_by, Some(&ways), observed, now)?;
    let looked = waiting::looked(&ways, target, trust, observed, now);
    let done = report::done(plan, wanted, Some(looked), observed)
        .with_note(retired)
        .with_note(unrouted)
        .with_note(ineffective);
    Ok(done.with_dns(dns, Some(resolution)))
}

/// All decisions of a run.
struct Plan<'a> {
    request: &'a Request,
    /// What the user must know of the proxies.
    ingress_notes: Vec<String>,
    target: &'a target::Target,
    /// What stands already, in the first namespace of the proxies and elsewhere.
    view: &'a view::View<'a>,
    /// The same for each namespace of the proxies.
    sites: &'a [view::Site<'a>],
    trust: &'a authority::Trust,
    needs: &'a needs::Needs,
    fail_closed_secrets: &'a fail_closed_secret::FailClosedSecrets,
    guards: &'a guard::Guards,
    workload_policy: &'a workload_policy::WorkloadPolicy,
    server: &'a server_certificate::Server,
    dns: &'a dns_record::Dns,
    workload: &'a workload::Workload,
    /// The Gateway that is moved from a Secret to its authority.
    moved: Option<&'a Wanted>,
    /// External routes to the Service.
    external: &'a [Finding],
    /// The Gateways of the Kubernetes Gateway API with servers on these proxies.
    kubernetes_gateways: &'a [Gateway],
}

/// The query for an object.
fn get(reference: crate::resources::ObjectRef) -> Query {
    Query::Get(reference)
}

#[cfg(test)]
mod tests;
