//! The guards of a host: missing, weakened, or harmful to other servers; and the servers that they
//! close.

mod other_servers;

use std::collections::BTreeSet;

use super::facts::{Facts, blind, remedy};
use super::hosts::Host;
use super::routes::{Backend, Route, object};
use super::{Finding, Link, NAMES_SHOWN, check, tcp_servers};
use crate::plan::Reconciled;
use crate::plan::probe::IngressProxies;
use crate::resources::gateway::Gateway;
use crate::resources::guard::{
    Clients, Fault, HeaderGuard, HostGuard, IDENTITY_HEADERS, Listener, effective, faults,
    headers_reference, host_of, host_reference, noted_on,
};
use crate::resources::listing::shortened;
use crate::resources::names::{CLIENTS_ANNOTATION, GatewayName};
use crate::resources::{Object, ObjectRef};

/// The name of the host guard of a host, where its Service is known.
pub(super) fn host_guard(host: &Host) -> Option<ObjectRef> {
    let Backend { service, .. } = host.backend()?;
    let proxies = &host.gateway.ingress.namespace;
    Some(host_reference(proxies, &service.namespace, &service.name))
}

/// The name of the header guard of a host's Gateway.
pub(super) fn header_guard(host: &Host) -> ObjectRef {
    headers_reference(&host.gateway.ingress.namespace, &host.gateway.name)
}

/// The existing host guard of a host.
pub(super) fn of_host<'a>(host: &Host, facts: &Facts<'a>) -> Reconciled<Option<&'a Object>> {
    let Some(reference) = host_guard(host) else {
        return Ok(None);
    };
    let policies = facts.policies(&reference.namespace)?;
    let mut policies = policies.found().copied().unwrap_or_default().iter();
    // A Service may have another host, which the guard is about.
    let is_meant = |policy: &&Object| {
        *policy.reference() == reference && host_of(policy).as_ref() == Some(&host.name)
    };
    Ok(policies.find(is_meant))
}

/// The existing header guard of a Gateway, in the namespace of its proxies.
pub(super) fn of_headers<'a>(
    proxies: &str,
    gateway: &GatewayName,
    facts: &Facts<'a>,
) -> Reconciled<Option<&'a Object>> {
    let reference = headers_reference(proxies, gateway);
    let policies = facts.policies(proxies)?;
    let mut policies = policies.found().copied().unwrap_or_default().iter();
    Ok(policies.find(|policy| *policy.reference() == reference))
}

/// Whether a guard denies identity headers that clients of a Gateway send.
pub(super) fn has_header_guard(
    proxies: &str,
    gateway: &GatewayName,
    facts: &Facts<'_>,
) -> Reconciled<bool> {
    let guard = of_headers(proxies, gateway, facts)?;
    Ok(guard.is_some_and(|policy| policy.text(&["spec", "action"]) == "DENY"))
}

/// Adds the findings on the guards, and on every other server of the Gateway that serves the host.
pub(super) fn examine(host: &Host, facts: &Facts<'_>, link: &mut Link) -> Reconciled<()> {
    let guards = Guards::of(host, facts)?;
    let (is_closed, checks) = guards.of_host();
    let checks = checks.into_iter().chain(guards.of_headers());
    for check in checks.chain(guards.of_other_servers(is_closed)) {
        link.add(check);
    }
    link.extend(tcp_servers::unseen(&guards.proxies));
    Ok(())
}

/// The facts about the guards of one host.
struct Guards<'a> {
    host: &'a Host,
    proxies: IngressProxies<'a>,
    gateways: Vec<Gateway>,
    revision: Option<String>,
    /// The policies in the namespace of the proxies; where they could not be listed, which the clients' link reports, the remedy.
    policies: Result<&'a [Object], String>,
    /// The route, if this plugin manages it.
    route: Option<&'a Object>,
    /// Who may call the host as it is noted beside the host guard, and the object that notes it.
    noted: Option<(ObjectRef, Clients)>,
}

/// Whether the host guard denies requests that come in through other servers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    Yes,
    No,
    Unknown,
}

impl<'a> Guards<'a> {
    fn of(host: &'a Host, facts: &'a Facts<'_>) -> Reconciled<Self> {
        let proxies = IngressProxies::of(facts.observed, &host.noted(facts))?;
        let listed = facts.policies(&host.gateway.ingress.namespace)?;
        let route = host.route.as_ref().and_then(|route| object(route, facts));
        let route = route.filter(|route| route.is_ours());
        let header_guard = of_headers(&host.gateway.ingress.namespace, &host.gateway.name, facts)?;
        Ok(Self {
            host,
            noted: noted(host, route, header_guard),
            gateways: proxies.all_gateways(facts.gateways.readable.iter().map(|(_, known)| known)),
            revision: proxies.revision(),
            proxies,
            policies: match blind(&listed) {
                None => Ok(listed.found().copied().unwrap_or_default()),
                Some(_) => Err(remedy(&listed)),
            },
            route,
        })
    }

    fn live(&self, reference: &ObjectRef) -> Option<&'a Object> {
        let mut policies = self.policies.as_ref().ok()?.iter();
        policies.find(|policy| policy.reference() == reference)
    }

    /// The listener of the host's server among these Gateways.
    fn listener(&self, gateways: &[Gateway]) -> Listener {
        self.proxies.listener([&self.host.server], gateways)
    }

    /// Whether the host guard closes other servers, and the findings on it.
    fn of_host(&self) -> (Closed, Vec<Finding>) {
        let Some(service) = self.service() else {
            return (Closed::No, Vec::new());
        };
        if self.policies.is_err() {
            return (Closed::Unknown, Vec::new());
        }
        let proxies = &self.host.gateway.ingress.namespace;
        let reference = host_reference(proxies, &service.namespace, &service.name);
        let Some(live) = self.live(&reference).filter(|live| self.is_meant(live)) else {
            let missing = self.missing_host_guard(&reference);
            return (Closed::No, missing.into_iter().collect());
        };
        let stated = Clients::of_policy(live);
        let noted = self.noted.as_ref().map(|(_, clients)| clients);
        let clients = effective(stated.clone(), noted.cloned()).unwrap_or(Clients::Any);
        let headers = self.headers();
        let wanted = |gateways: &[Gateway]| {
            HostGuard {
                host: &self.host.name,
                clients: &clients,
                headers: &headers,
                gateway: &self.host.gateway.name,
                ingress: &self.host.gateway.ingress,
                listener: &self.listener(gateways),
            }
            .object(reference.clone())
        };
        let what = format!("the host guard of `{}`", self.host.name);
        let why = match &clients {
            Clients::Listed(_) => format!(
                "clients that are not on the allow-list may call `{}`",
                self.host.name
            ),
            Clients::Any => format!(
                "requests for `{}` that come in through another server are not denied",
                self.host.name
            ),
        };
        let judged = self.judge(live, &what, &why, wanted);
        let mut checks = judged.checks;
        if let (Some(stated), Some((by, noted))) = (&stated, &self.noted)
            && stated != noted
            && clients == *stated
        {
            checks.push(self.differing(live, stated, (by, noted)));
        }
        (judged.closed, checks)
    }

    /// Whether the Service's host guard is about this host: that of a route of somebody else may be about another host of the Service.
    fn is_meant(&self, guard: &Object) -> bool {
        self.route.is_some() || host_of(guard).as_ref() == Some(&self.host.name)
    }

    /// Whether this plugin guards the host.
    fn is_guarded(&self) -> bool {
        let guard = || {
            self.live(&host_guard(self.host)?)
                .filter(|live| self.is_meant(live))
        };
        self.route.is_some() || self.noted.is_some() || guard().is_some()
    }

    fn of_headers(&self) -> Vec<Finding> {
        if self.policies.is_err() || !self.is_guarded() {
            return Vec::new();
        }
        let gateway = &self.host.gateway;
        let reference = headers_reference(&gateway.ingress.namespace, &gateway.name);
        let what = format!("the header guard of the Gateway {}", gateway.name);
        let why = "clients can send identity headers in other spellings, which some applications take for the real ones";
        let Some(live) = self.live(&reference) else {
            return vec![
                Finding::new(
                    &check::GUARD_MISSING,
                    format!("{reference}, {what}, does not exist"),
                    self.host.expose_command(),
                )
                .because(why),
            ];
        };
        let wanted = |gateways: &[Gateway]| {
            let listeners = self
                .proxies
                .mutual_listeners(gateway, &self.host.server, gateways);
            HeaderGuard {
                gateway: &gateway.name,
                ingress: &gateway.ingress,
                listeners: &listeners,
            }
            .object()
        };
        self.judge(live, &what, why, wanted).checks
    }

    fn service(&self) -> Option<ObjectRef> {
        Some(self.host.backend()?.service)
    }

    /// The headers that only the route may set, if it does not remove them from requests.
    fn headers(&self) -> BTreeSet<String> {
        match &self.host.route {
            Some(Route::ApiRule(_, rule)) => rule
                .options
                .iter()
                .flat_map(|options| options.headers.keys())
                .map(|name| name.to_lowercase())
                .filter(|name| !IDENTITY_HEADERS.contains(&name.as_str()))
                .collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Compares a guard with the one that this plugin would write, among these Gateways.
    fn judge(
        &self,
        live: &Object,
        what: &str,
        why: &str,
        wanted: impl Fn(&[Gateway]) -> Object,
    ) -> Judged {
        let revision = self.revision.as_deref();
        let found = faults(live, &wanted(&self.gateways), revision);
        if found.is_empty() {
            return Judged {
                closed: Closed::Yes,
                checks: Vec::new(),
            };
        }
        let fits = |gateways: &[Gateway]| faults(live, &wanted(gateways), revision).is_empty();
        if found == [Fault::Rules]
            && let Some(later) = tcp_servers::later(&self.gateways, fits)
        {
            return Judged {
                closed: Closed::Yes,
                checks: vec![self.cutting(live, what, &later)],
            };
        }
        let weakened = |fault: &Fault| {
            Finding::new(
                &check::GUARD_WEAKENED,
                format!(
                    "{}, {what}, does not deny what it should: {fault}",
                    live.reference()
                ),
                self.host.expose_command(),
            )
            .because(why.to_owned())
        };
        Judged {
            closed: Closed::No,
            checks: found.iter().map(weakened).collect(),
        }
    }
}

impl Guards<'_> {
    /// The finding on a host guard that is gone, where an object notes its clients.
    fn missing_host_guard(&self, reference: &ObjectRef) -> Option<Finding> {
        let (by, clients) = self.noted.as_ref()?;
        let host = &self.host.name;
        let why = match clients {
            Clients::Listed(_) => {
                format!("every client that the gateway trusts may call `{host}`")
            }
            Clients::Any => {
                format!("requests for `{host}` that come in through another server are not denied")
            }
        };
        let finding = Finding::new(
            &check::GUARD_MISSING,
            format!(
                "{reference}, the host guard of `{host}`, does not exist, and {by} says that it must"
            ),
            self.host.expose_command(),
        );
        Some(finding.because(why))
    }

    /// The finding on a guard that differs from what is noted; the guard is in force, since the proxies enforce it.
    fn differing(
        &self,
        live: &Object,
        stated: &Clients,
        (by, noted): (&ObjectRef, &Clients),
    ) -> Finding {
        let what = if self.route.is_some() {
            "the route"
        } else {
            "the header guard"
        };
        Finding::new(
            &check::GUARD_DIFFERS,
            format!(
                "{} admits {}, and {by} notes {}",
                live.reference(),
                admitted(stated),
                admitted(noted)
            ),
            self.host.expose_command(),
        )
        .because(format!("the guard is in force; if it were deleted, `expose` would restore it with the clients that {what} notes"))
    }

    /// The finding on a guard that was written before some TCP servers existed.
    fn cutting(&self, live: &Object, what: &str, later: &[String]) -> Finding {
        Finding::new(&check::GUARD_CUTS_OTHERS, format!(
                "{}, {what}, was written before the TCP {}",
                live.reference(),
                shortened(later, SERVERS_SHOWN)
            ), self.host.expose_command()).because("the guard closes connections of TCP servers, where only its conditions on ports and server names apply")
    }
}

/// Who may call a host, and which object notes it: the route if it is ours, else the header guard.
fn noted(
    host: &Host,
    route: Option<&Object>,
    header_guard: Option<&Object>,
) -> Option<(ObjectRef, Clients)> {
    let Some(route) = route else {
        let (guard, service) = (header_guard?, host.backend()?.service);
        return Some((
            guard.reference().clone(),
            noted_on(guard, &service, &host.name)?,
        ));
    };
    let clients = Clients::of_annotation(route.annotation(CLIENTS_ANNOTATION)?)?;
    Some((route.reference().clone(), clients))
}

/// The result of comparing a guard.
struct Judged {
    closed: Closed,
    checks: Vec<Finding>,
}

/// How many servers a message names.
const SERVERS_SHOWN: usize = 3;

fn admitted(clients: &Clients) -> String {
    match clients.listed() {
        None => "every client".to_owned(),
        Some(uris) => {
            let uris: Vec<&String> = uris.iter().collect();
            shortened(&uris, NAMES_SHOWN)
        }
    }
}
