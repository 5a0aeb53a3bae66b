//! The entrances: every object that sends requests to the Pods of an exposed Service from others than the clients of its host.

mod http_routes;
mod services;

use serde_json::Value;

use super::callers::{Callers, RoutedServer};
use super::{Exposed, Workload, lists};
use crate::plan::command_line;
use crate::plan::control_plane::{is_read, passes_redirects};
use crate::plan::{Observed, Query, Reconciled, ingress};
use crate::resources::access_policy;
use crate::resources::backends::{self, Backends};
use crate::resources::gateway::{Gateway, Server, overlap};
use crate::resources::gateway_api::OF_GATEWAY_API;
use crate::resources::guard::headers_reference;
use crate::resources::http_routes::identity;
use crate::resources::istiod::REVISION;
use crate::resources::listing::shortened;
use crate::resources::names::INGRESS_NAMESPACE;
use crate::resources::virtual_service::VirtualService;
use crate::resources::workload_access::{Arrival, Principal};
use crate::resources::{Kind, Object, ObjectRef, api_rule};

use services::{ports, sharing};
pub(super) use services::{services, slices};

/// How many hosts a message names.
const HOSTS_SHOWN: usize = 3;
/// The ServiceAccount of Istio's default ingress gateway, used if its Pods cannot be read.
const DEFAULT_ACCOUNT: &str = "istio-ingressgateway-service-account";
/// The annotation of an Ingress's class, from before `spec.ingressClassName`.
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// One entrance to a Service.
pub(super) struct Entrance {
    /// The object that leads to the Service, in a sentence.
    pub seen: String,
    /// The callers that reach the workload through it.
    pub callers: Callers,
    /// How requests through the entrance arrive at the workload.
    pub arrival: Arrival,
    /// The command that closes the entrance.
    pub remedy: String,
}

/// All entrances, as far as they could be listed.
pub(super) fn all(
    exposed: &Exposed<'_>,
    gateways: &[&Gateway],
    workload: &Workload<'_>,
    observed: &Observed,
) -> Reconciled<Vec<Entrance>> {
    let [routes, ingresses, _] = lists(&exposed.service.namespace);
    let services = services(exposed, observed)?;
    let slices = match slices(exposed, services) {
        Some(query) => listed(&query, observed)?,
        None => &[],
    };
    let sharing = sharing(exposed, services, workload, slices);
    let names: Vec<ObjectRef> = sharing
        .iter()
        .map(|object| object.reference().clone())
        .chain([exposed.service.clone()])
        .collect();
    let found = Found {
        exposed,
        names: &names,
        ports: ports(&sharing),
        own: principal(exposed, observed)?,
    };
    let mut entrances = found.virtual_services(gateways, observed)?;
    entrances.extend(found.http_routes(listed(&routes, observed)?, observed)?);
    let ingresses = listed(&ingresses, observed)?.iter();
    entrances.extend(ingresses.filter_map(|object| found.ingress(object)));
    entrances.extend(sharing.iter().filter_map(|object| found.service(object)));
    Ok(entrances)
}

/// The objects of a list; none if it may not be read, which another check reports.
fn listed<'w>(query: &Query, observed: &'w Observed) -> Reconciled<&'w [Object]> {
    let listed = observed.try_list(query)?;
    Ok(listed.found().copied().unwrap_or_default())
}

/// The identities of the mutual-TLS Gateway's proxies in the mesh.
pub(super) fn principal(exposed: &Exposed<'_>, observed: &Observed) -> Reconciled<Principal> {
    let pods = ingress::all_pods(exposed.proxies, observed)?;
    let mut known: Vec<String> = pods
        .into_iter()
        .map(|pod| access_policy::principal(pod, ""))
        .map(|name| name.trim_start_matches('/').to_owned())
        .collect();
    known.sort();
    known.dedup();
    if known.is_empty() && exposed.proxies.is_default() {
        known.push(format!("ns/{INGRESS_NAMESPACE}/sa/{DEFAULT_ACCOUNT}"));
    }
    Ok(if known.is_empty() {
        Principal::Unknown
    } else {
        Principal::OneOf(known)
    })
}

struct Found<'a> {
    exposed: &'a Exposed<'a>,
    /// The exposed Service, and those that lead to the same Pods.
    names: &'a [ObjectRef],
    ports: Option<Vec<u16>>,
    /// The identity of the mutual-TLS Gateway's proxies.
    own: Principal,
}

impl Found<'_> {
    fn arrival(&self, principal: Principal, hosts: Vec<String>) -> Arrival {
        Arrival {
            principal,
            hosts: Some(hosts).filter(|hosts| !hosts.is_empty()),
            ports: self.ports.clone(),
            server_name: None,
        }
    }

    fn virtual_services(
        &self,
        gateways: &[&Gateway],
        observed: &Observed,
    ) -> Reconciled<Vec<Entrance>> {
        let objects = listed(&Query::everywhere(Kind::VirtualService), observed)?;
        let mut entrances = Vec::new();
        for object in objects {
            let backends = backends::of_virtual_service(object, objects);
            if !backends.lead_to(self.names) {
                continue;
            }
            let Ok(service) = VirtualService::read(object) else {
                continue;
            };
            let owner = match &service.made_for {
                Some((namespace, name)) => api_rule::reference(namespace, name),
                None => object.reference().clone(),
            };
            for gateway in gateways {
                let name = gateway.name.to_string();
                let is_own = owner == *self.exposed.route && gateway.name == *self.exposed.gateway;
                if is_own || !service.gateways.contains(&name) {
                    continue;
                }
                let is_read = |label| is_read(label, &gateway.ingress, observed);
                if !is_read(object.label(REVISION))? || !is_read(gateway.revision.as_deref())? {
                    continue;
                }
                let has_redirect = gateway.servers.iter().any(|server| server.redirects);
                let passes_redirects =
                    has_redirect && passes_redirects(&gateway.ingress, observed)?;
                let servers = gateway.servers.iter();
                let admitting = servers.filter_map(|server| {
                    let leads = carries(server, object) && serves(server, &service.hosts);
                    let routed = RoutedServer {
                        server,
                        passes_redirects,
                        hosts: &service.hosts,
                        shares_proxies: gateway.shares_proxies_with(self.exposed.proxies),
                    };
                    let callers = Callers::of(&routed, self.exposed).filter(|_| leads);
                    Some((callers?, server))
                });
                let Some((callers, server)) = widest(admitting) else {
                    continue;
                };
                let is_named = || identity(object).is_some_and(|identity| identity.is_set);
                if callers == Callers::Unnamed
                    && (is_named() || has_header_guard(gateway, observed)?)
                {
                    continue;
                }
                let to = (&gateway.name.reference(), self.principal(gateway));
                entrances.push(self.by_server((&owner, &backends), to, server, callers));
            }
        }
        Ok(entrances)
    }

    /// The identity in the mesh of a Gateway's proxies.
    fn principal(&self, gateway: &Gateway) -> Principal {
        if gateway.shares_proxies_with(self.exposed.proxies) {
            self.own.clone()
        } else {
            Principal::Unknown
        }
    }

    /// The entrance by a server of a Gateway whose proxies have this identity.
    fn by_server(
        &self,
        (owner, backends): (&ObjectRef, &Backends),
        (gateway, principal): (&ObjectRef, Principal),
        server: &Server,
        callers: Callers,
    ) -> Entrance {
        let mode = match server.mode.as_str() {
            "" => &server.protocol,
            mode => mode,
        };
        let of_kubernetes = match gateway.kind {
            Kind::KubernetesGateway => OF_GATEWAY_API,
            _ => "",
        };
        Entrance {
            seen: format!(
                "{} from port {} ({mode}) of the Gateway {}/{}{of_kubernetes} to the {}",
                sends(owner, &backends.hosts),
                server.port,
                gateway.namespace,
                gateway.name,
                self.exposed.service
            ),
            callers,
            arrival: self.arrival(principal, backends.hosts.clone()),
            remedy: command_line::kubectl("delete", owner),
        }
    }

    fn ingress(&self, object: &Object) -> Option<Entrance> {
        let class = match object.text(&["spec", "ingressClassName"]) {
            "" => object.annotation(INGRESS_CLASS).unwrap_or_default(),
            class => class,
        };
        let principal = if class == "istio" {
            self.own.clone()
        } else {
            Principal::Unknown
        };
        self.by_object(object.reference(), backends::of_ingress(object), principal)
    }

    fn by_object(
        &self,
        owner: &ObjectRef,
        backends: Backends,
        principal: Principal,
    ) -> Option<Entrance> {
        backends.lead_to(self.names).then(|| Entrance {
            seen: format!(
                "{} to the {}",
                sends(owner, &backends.hosts),
                self.exposed.service
            ),
            callers: Callers::Anybody,
            arrival: self.arrival(principal, backends.hosts),
            remedy: command_line::kubectl("delete", owner),
        })
    }
}

/// Whether the proxies of a Gateway reject forged identity headers: by the header guard that `expose` writes for it.
fn has_header_guard(gateway: &Gateway, observed: &Observed) -> Reconciled<bool> {
    for proxies in gateway.ingress.parts() {
        let guard = headers_reference(&proxies.namespace, &gateway.name);
        if observed.try_get(&guard)?.found().is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Of several servers the one that admits most.
fn widest<'s>(
    admitting: impl Iterator<Item = (Callers, &'s Server)>,
) -> Option<(Callers, &'s Server)> {
    admitting.min_by(|(one, _), (other, _)| one.cmp(other))
}

/// Whether a server uses routes that a `VirtualService` has: `tls` and `tcp` where it forwards connections as TCP, else `http` (istiod,
/// `pilot/pkg/networking/core/gateway.go`).
fn carries(server: &Server, route: &Object) -> bool {
    let has = |rules: &str| {
        let rules = route.at(&["spec", rules]).and_then(Value::as_array);
        rules.is_some_and(|rules| !rules.is_empty())
    };
    if server.forwards_tcp() {
        has("tls") || has("tcp")
    } else {
        has("http")
    }
}

/// Whether a server takes requests for one of these hosts.
fn serves(server: &Server, hosts: &[String]) -> bool {
    let is_met = |pattern: &String| hosts.iter().any(|host| overlap(pattern, host));
    server.hosts.iter().any(is_met)
}

/// Text such as `VirtualService shop/web sends requests for open.example.com`.
fn sends(owner: &ObjectRef, hosts: &[String]) -> String {
    if hosts.is_empty() {
        return format!("{owner} sends requests for any host");
    }
    format!(
        "{owner} sends requests for {}",
        shortened(hosts, HOSTS_SHOWN)
    )
}
