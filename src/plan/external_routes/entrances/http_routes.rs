//! `HTTPRoutes` as entrances, by the listeners of the Gateways to which they are attached.

use super::{Callers, Entrance, Found, RoutedServer, widest};
use crate::plan::probe::{IngressProxies, kubernetes_gateways};
use crate::plan::{Observed, Reconciled};
use crate::resources::backends::{self, Backends};
use crate::resources::gateway::Gateway;
use crate::resources::gateway_api::{self, is_of_istio};
use crate::resources::parent_refs::{ListenerRef, Parent, host_names, parents};
use crate::resources::workload_access::Principal;
use crate::resources::{Object, ObjectRef};

/// The listeners of one Gateway that a route names.
struct Attachment<'r> {
    gateway: ObjectRef,
    listeners: Vec<ListenerRef<'r>>,
}

/// The Gateways that a route names, and whether it has other parents too.
fn attachments(route: &Object) -> (Vec<Attachment<'_>>, bool) {
    let mut attachments: Vec<Attachment<'_>> = Vec::new();
    let mut has_others = false;
    for parent in parents(route) {
        let Parent::Listeners(listeners) = parent else {
            has_others = true;
            continue;
        };
        let mut known = attachments.iter_mut();
        match known.find(|one| one.gateway == listeners.gateway) {
            Some(known) => known.listeners.push(listeners),
            None => attachments.push(Attachment {
                gateway: listeners.gateway.clone(),
                listeners: vec![listeners],
            }),
        }
    }
    (attachments, has_others)
}

impl Found<'_> {
    /// The entrances by these routes: one for each of a route's Gateways.
    pub(super) fn http_routes(
        &self,
        routes: &[Object],
        observed: &Observed,
    ) -> Reconciled<Vec<Entrance>> {
        let mut entrances = Vec::new();
        for route in routes {
            let backends = backends::of_http_route(route);
            if backends.lead_to(self.names) {
                entrances.extend(self.http_route(route, backends, observed)?);
            }
        }
        Ok(entrances)
    }

    fn http_route(
        &self,
        route: &Object,
        backends: Backends,
        observed: &Observed,
    ) -> Reconciled<Vec<Entrance>> {
        let listed = observed.try_list(&kubernetes_gateways())?;
        let Some(gateways) = listed.found().copied() else {
            // Which clients its Gateways admit is not known.
            return Ok(self.unknown(route, backends).into_iter().collect());
        };
        let proxies = IngressProxies::of(observed, self.exposed.proxies)?;
        let (attachments, mut is_unknown) = attachments(route);
        let mut entrances = Vec::new();
        for attachment in attachments {
            let mut gateways = gateways.iter();
            let Some(object) = gateways.find(|one| *one.reference() == attachment.gateway) else {
                // A route whose Gateway is not there is used by none.
                continue;
            };
            if !is_of_istio(object) {
                is_unknown = true;
                continue;
            }
            let mut shared = proxies.kubernetes_gateways().iter();
            let shared = shared.find(|one| is_named(one, &attachment.gateway));
            let (gateway, principal) = match shared {
                Some(gateway) => (Some(gateway.clone()), self.own.clone()),
                None => (
                    gateway_api::translated(object, &gateway_api::own_proxies(object)),
                    Principal::Unknown,
                ),
            };
            let Some(gateway) = gateway else {
                is_unknown = true;
                continue;
            };
            let hosts = host_names(route);
            let admitting = gateway.servers.iter().filter_map(|server| {
                let mut listeners = attachment.listeners.iter();
                let is_used = listeners.any(|named| named.uses(route, object, server));
                let routed = RoutedServer {
                    server,
                    passes_redirects: false,
                    hosts: &hosts,
                    shares_proxies: shared.is_some(),
                };
                let callers = Callers::of(&routed, self.exposed)?;
                is_used.then_some((callers, server))
            });
            entrances.extend(widest(admitting).map(|(callers, server)| {
                let to = (&attachment.gateway, principal.clone());
                self.by_server((route.reference(), &backends), to, server, callers)
            }));
        }
        if is_unknown {
            entrances.extend(self.unknown(route, backends));
        }
        Ok(entrances)
    }

    /// The entrance by a route of which it is not known who comes by it: anybody.
    fn unknown(&self, route: &Object, backends: Backends) -> Option<Entrance> {
        self.by_object(route.reference(), backends, Principal::Unknown)
    }
}

fn is_named(gateway: &Gateway, reference: &ObjectRef) -> bool {
    gateway.name.namespace == reference.namespace && gateway.name.name == reference.name
}
