//! Waiting for the controllers, with their own messages, and then probing the gateway to verify the result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::authority::Trust;
use super::existing::Existing;
use super::ownership::changed_by_others;
use super::pending::{AFTERWARDS, Pending};
use super::target::Target;
use super::wanted::Wanted;
use super::{Plan, Request};
use super::{dns_record, hopeless, route, server_certificate, workload};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::plan::identity;
use crate::plan::probe::Client;
use crate::plan::probe::{self, Expectation, ExpectedAnswer, Lagging, ProbeOptions, Served, Ways};
use crate::plan::{Action, Effect, Generate, Observed, Query, Reconciled, Seen, Wait, Written};
use crate::resources::api_rule::NO_SIDECAR;
use crate::resources::authority::AuthorityState;
use crate::resources::proxy_config::{Part, serves};
use crate::resources::{Kind, Object, ObjectRef, client_ca};

/// The result of handshakes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    /// The Pods or addresses that were probed; empty if none could be.
    pub through: Vec<String>,
    /// Why replicas could not be probed one by one.
    pub replicas_unknown: Option<String>,
    /// Whether a client of the CA created in this run was accepted.
    pub own_client_admitted: bool,
    /// End of the server certificate, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub server_certificate_expires: Option<OffsetDateTime>,
    /// The DNS names in the server certificate.
    #[serde(skip)]
    pub server_names: Vec<String>,
    /// The time of the last probe by the API server's clock, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Kinds whose spec only users and this plugin write. The handshakes notice a changed Gateway.
const CONTESTED: [Kind; 3] = [
    Kind::ApiRule,
    Kind::VirtualService,
    Kind::AuthorizationPolicy,
];

/// The last changes of this run to objects that another run may change again.
fn contested(observed: &Observed) -> impl Iterator<Item = &Written> {
    observed.changes().iter().filter(|written| {
        let is_last = observed.change_of(&written.object) == Some(written);
        is_last && written.action != Action::Deleted && CONTESTED.contains(&written.object.kind)
    })
}

/// The reads that repeat the observation of those objects with every wait.
fn reread(observed: &Observed) -> impl Iterator<Item = Query> {
    contested(observed).map(|written| Query::Get(written.object.clone()))
}

/// Ends a run when somebody else, another `expose` for example, changes or deletes an object that it wrote: it would wait in vain.
pub(super) fn refuse_others_changes(observed: &Observed) -> Result<(), Failure> {
    for written in contested(observed) {
        match observed.already_read(&written.object) {
            Some(Seen::Missing) => return Err(changed_by_others(&written.object, "deleted")),
            // Two runs may change the same allow-list; the decision on the guard compares its rules.
            Some(Seen::Found(_)) if written.object.kind == Kind::AuthorizationPolicy => {}
            // A controller may add defaults, so what this run wrote must only be contained in it.
            Some(Seen::Found(live)) if !spec_of(&written.answer).is_contained_in(live) => {
                return Err(changed_by_others(&written.object, "changed"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The object without all fields but its spec.
fn spec_of(object: &Object) -> Object {
    let spec = object.at(&["spec"]).cloned().unwrap_or_default();
    Object::new(object.reference().clone()).with("spec", spec)
}

/// Waits until the issuer and the route's controller have accepted the written objects.
pub(super) fn until_ready(
    request: &Request,
    wanted: &[Wanted],
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    hopeless::check(request, wanted, observed, now)?;
    let pending = pending(wanted, observed)?;
    if pending.is_empty() {
        return Ok(());
    }
    if observed.waited() >= request.timeout {
        return Err(timed_out(request, &pending).hint(AFTERWARDS).into());
    }
    Err(Effect::Wait(Wait {
        progress: pending.iter().map(Pending::line).collect(),
        reread: pending
            .into_iter()
            .map(|one| Query::Get(one.object))
            .chain(reread(observed))
            .collect::<BTreeSet<Query>>()
            .into_iter()
            .collect(),
    })
    .into())
}

/// The objects that are not ready yet, in apply order.
pub(super) fn pending(wanted: &[Wanted], observed: &Observed) -> Result<Vec<Pending>, Failure> {
    let mut all = Vec::new();
    for wanted in wanted {
        let read = observed.already_read(wanted.object.reference());
        let Some(live) = read.and_then(|seen| seen.found().copied()) else {
            continue;
        };
        let pending = match live.reference().kind {
            Kind::Certificate | Kind::CertManagerCertificate => server_certificate::pending(live),
            Kind::DnsEntry => dns_record::pending(live),
            Kind::ApiRule => route::pending(live, observed),
            Kind::Deployment => workload::pending(live),
            _ => Ok(None),
        };
        all.extend(pending.map_err(|error| Failure::failed(error.to_string()))?);
    }
    Ok(all)
}

fn timed_out(request: &Request, pending: &[Pending]) -> Failure {
    let lines: Vec<String> = pending.iter().map(Pending::line).collect();
    let failure = probe::late(request.timeout, &lines).hints(pending.iter().map(
        |Pending { object, .. }| {
            format!(
                "inspect the object with `kubectl -n {} describe {} {}`",
                object.namespace,
                object.kind.resource(),
                object.name
            )
        },
    ));
    let is_cert_managers = |pending: &&Pending| pending.object.kind == Kind::CertManagerCertificate;
    let requests = pending.iter().find(is_cert_managers).map(|pending| {
        let describe = format!("kubectl -n {} describe", pending.object.namespace);
        [
            format!("the issuer's messages are in `{describe} certificaterequests.cert-manager.io`"),
            format!("those of an ACME issuer are in `{describe} orders.acme.cert-manager.io,challenges.acme.cert-manager.io`"),
        ]
    });
    let failure = failure.hints(requests.into_iter().flatten());
    let says = |words: &str| lines.iter().any(|line| line.contains(words));
    if says(NO_SIDECAR) {
        return failure.hint(format!(
            "`--inject` lets new Pods of `{}` have a sidecar; those that run already need `kubectl -n {} rollout restart deployment`",
            request.namespace, request.namespace
        ));
    }
    failure
}

/// Probes until every proxy requests the trusted CAs, rejects a client without a certificate and one of an unknown CA, and accepts a client
/// of the CA created in this run; `certificates` are those that the proxies of each namespace must show, where that is known.
pub(super) fn until_seen(
    plan: &Plan<'_>,
    certificates: BTreeMap<String, String>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Ways> {
    let Plan {
        request,
        target,
        trust,
        ..
    } = plan;
    let is_made = || observed.canary(OWN).is_some();
    if let Some(authority) = own(trust, observed).filter(|_| !is_made())
        && let Some(canary) = identity::canary(&target.names.authority, authority, now)?
    {
        return Err(Generate::Canaries(vec![(OWN.to_owned(), canary)]).into());
    }
    // A server that requests certificates without verifying them rejects a client without one, too, but not this one.
    if observed.canary(STRANGER).is_none() {
        return Err(Generate::Stranger(STRANGER.to_owned()).into());
    }
    let own = is_made().then(|| (Client::shown(OWN), ExpectedAnswer::LetIn));
    let stranger = (
        Client::shown(STRANGER),
        ExpectedAnswer::Refused("unknown_ca"),
    );
    let clients: Vec<(Client, ExpectedAnswer)> = own.into_iter().chain([stranger]).collect();
    let subjects = trust.client_ca.bundle.subjects_der();
    let at = Served {
        kind: Kind::Gateway,
        gateway: target.gateway.clone(),
        host: target.host.clone(),
        client_ca: trust.source.object.clone(),
        resource: client_ca::field(&trust.source.object),
        ingress: target.ingress.clone(),
        may_lack: plan.server.lacking.clone(),
        certificates,
    };
    let offered = subjects.into_iter().map(<[u8]>::to_vec).collect();
    let expectation = Expectation {
        at: &at,
        offered: &offered,
        clients: &clients,
        since: None,
    };
    let contested: Vec<Query> = reread(observed).collect();
    let options = ProbeOptions {
        may_send_again: false,
        timeout: request.timeout,
        connect_to: request.connect_to.as_deref(),
        afterwards: AFTERWARDS,
        reread: &contested,
    };
    let mut ways = probe::until_seen(&[expectation], &options, observed)?;
    Ok(ways.pop().unwrap_or_default())
}

/// How long a proxy must have been showing new listeners before a client is said to be kept out. Envoy's administration page shows a
/// listener when its main thread hands it to the worker threads, which take it over in their next turn (`addListenerToWorker` in
/// `source/common/listener_manager/listener_manager_impl.cc`).
const TAKEN_OVER: Duration = Duration::from_millis(200);

/// Waits until every proxy that can be asked has a route for the host and enforces its guards: until then it answers each client with 404,
/// or a removed one with 200. Where the server certificate of its namespace is not known, it must use the server Secret by name. Returns a
/// note if one could not be asked.
pub(super) fn until_routed(
    plan: &Plan<'_>,
    certificates: &BTreeMap<String, String>,
    ways: &Ways,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let Plan {
        request,
        target,
        guards,
        ..
    } = plan;
    // A Gateway made by hand may have its server certificate from elsewhere.
    let is_named = |existing: &Existing| !existing.server.credential.is_empty();
    let is_named = target.existing.as_ref().is_none_or(is_named);
    let credential = target.names.credential();
    let names_secret = |pod: &ObjectRef| {
        let is_lacking = plan.server.lacking.contains(&pod.namespace);
        is_named && !is_lacking && !certificates.contains_key(&pod.namespace)
    };
    let routes = Part::Hosts(target.gateway.clone());
    // Also in a run that wrote no guard: a proxy may not have loaded the guard of an earlier run.
    let asked = ways.pods().flat_map(|pod| {
        let secrets = names_secret(pod).then_some(Part::ServerSecrets);
        let parts = [routes.clone(), Part::Policies].into_iter().chain(secrets);
        parts.map(move |part| Query::Proxy(pod.clone(), part))
    });
    observed.prefetch(asked)?;
    let has_excluded = guards.have_excluded(observed);
    let mut lagging = Lagging::default();
    for pod in ways.pods() {
        let without = |hosts: &BTreeSet<String>| !hosts.contains(&target.host);
        let words = format!("no route for {} yet", target.host);
        lagging.ask(pod, &routes, observed, without, &words)?;
        let is_taken_over = !has_excluded || observed.said_for(pod, &Part::Policies) >= TAKEN_OVER;
        let lags = |lines: &BTreeSet<String>| {
            !guards.are_enforced(&pod.namespace, lines) || !is_taken_over
        };
        let words = "the guards are not enforced yet";
        lagging.ask(pod, &Part::Policies, observed, lags, words)?;
        if names_secret(pod) {
            let own = [target.gateway_host.as_str(), "*"].map(|host| serves(host, credential));
            let lags = |lines: &BTreeSet<String>| !own.iter().any(|line| lines.contains(line));
            let words = format!("it does not use the server Secret `{credential}` yet");
            lagging.ask(pod, &Part::ServerSecrets, observed, lags, &words)?;
        }
    }
    lagging.reread(reread(observed).chain(guards.queries()));
    let unknown = lagging.until_none(std::slice::from_ref(ways), request.timeout, observed);
    let unknown = unknown.map_err(|blocked| {
        blocked.map_failure(|failure| {
            failure
                .hint("`kubectl mtls status` checks everything between DNS and the client")
                .hint(AFTERWARDS)
        })
    })?;
    Ok(unknown.map(|reason| {
        format!("whether every proxy has the route and enforces the guards was not seen: {reason}")
    }))
}

/// The authority that issues, if this run created it and so has its key.
fn own<'a>(trust: &Trust, observed: &'a Observed) -> Option<&'a Arc<Authority>> {
    let issuing = trust.state.as_ref().and_then(AuthorityState::issuing_ca);
    observed
        .generated_authority()
        .filter(|minted| issuing == Some(minted.certificate()))
}

/// The label of a client certificate of the CA made in this run.
const OWN: &str = "own";
/// The label of a client certificate of a CA that nobody trusts.
const STRANGER: &str = "stranger";

/// The result of the probes.
pub(super) fn looked(
    ways: &Ways,
    target: &Target,
    trust: &Trust,
    observed: &Observed,
    now: OffsetDateTime,
) -> Looked {
    let server = probe::probes(ways, &target.host, &Client::Nobody)
        .find_map(|look| observed.observations(&look).first()?.server.clone());
    Looked {
        through: ways.ways.iter().map(ToString::to_string).collect(),
        replicas_unknown: ways.why_unknown(),
        own_client_admitted: own(trust, observed).is_some() && !ways.ways.is_empty(),
        server_certificate_expires: server.as_ref().map(Certificate::not_after),
        server_names: server.map_or_else(Vec::new, |server| server.dns_sans().to_vec()),
        at: now,
    }
}

#[cfg(test)]
mod tests;
