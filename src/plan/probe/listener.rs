//! The mutual-TLS servers of a Gateway as its proxies see them, for the guards on them.

use std::collections::{BTreeMap, BTreeSet};

use super::{kubernetes_gateways, pods, service_of};
use crate::plan::control_plane::passes_redirects;
use crate::plan::{Observed, Reconciled, Seen};
use crate::resources::Object;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::gateway_api;
use crate::resources::guard::{Listener, ProxyPorts, admits};
use crate::resources::ingress::IngressGateway;
use crate::resources::istiod::REVISION;
use crate::resources::names::GatewayName;
use crate::resources::service::Port;

/// The proxies of a Gateway and the Services in front of them, as far as they may be read.
#[derive(Debug)]
pub struct IngressProxies<'a> {
    ingress: IngressGateway,
    /// Of each namespace the ports of the Service, where they are known, and the Pods.
    parts: Vec<(Option<Vec<Port>>, &'a [Object])>,
    /// Whether a header of clients bypasses redirects to HTTPS.
    passes_redirects: bool,
    /// The Gateways of the Kubernetes Gateway API that configure these proxies too.
    kubernetes_gateways: Vec<Gateway>,
    /// Those of them that are of another controller, which nobody serves.
    unserved: BTreeSet<GatewayName>,
    /// The list of those, if it could not be read.
    pub kubernetes_gateways_unread: Option<Seen<()>>,
}

impl<'a> IngressProxies<'a> {
    /// The proxies that a Gateway's selector selects.
    pub fn of(observed: &'a Observed, ingress: &IngressGateway) -> Reconciled<Self> {
        let (mut parts, mut services) = (Vec::new(), BTreeSet::new());
        for part in ingress.parts() {
            let (name, service) = service_of(observed, &part)?;
            services.insert(name);
            let pods = observed.try_list(&pods(&part))?;
            let pods = pods.found().copied().unwrap_or_default();
            // In a further namespace there may be none: then the proxies listen on the Gateway's own port.
            let is_without = matches!(service, Seen::Missing) && !parts.is_empty();
            let ports = service.found().map(|service| service.ports.clone());
            parts.push((ports.or(is_without.then(Vec::new)), pods));
        }
        let listed = observed.try_list(&kubernetes_gateways())?;
        let found: &[Object] = listed.found().copied().unwrap_or_default();
        let on_proxies = |object| gateway_api::on_proxies(object, ingress, &services);
        let unserved = found
            .iter()
            .filter(|object| !gateway_api::is_of_istio(object));
        let unserved = unserved.map(|object| GatewayName::new(object.namespace(), object.name()));
        Ok(Self {
            ingress: ingress.clone(),
            parts,
            passes_redirects: passes_redirects(ingress, observed)?,
            kubernetes_gateways: found.iter().filter_map(on_proxies).collect(),
            unserved: unserved.collect(),
            kubernetes_gateways_unread: match &listed {
                Seen::NotServed => None,
                listed => listed.unknown().map(|_| listed.map(|_| ())),
            },
        })
    }

    /// The Gateways of the Kubernetes Gateway API that configure these proxies, as Gateways of Istio.
    pub fn kubernetes_gateways(&self) -> &[Gateway] {
        &self.kubernetes_gateways
    }

    /// Those of them whose controller is istiod.
    pub fn served_kubernetes_gateways(&self) -> impl Iterator<Item = &Gateway> {
        let gateways = self.kubernetes_gateways.iter();
        gateways.filter(|gateway| !self.unserved.contains(&gateway.name))
    }

    /// These Gateways and those of the Kubernetes Gateway API.
    pub fn all_gateways<'g>(
        &self,
        gateways: impl IntoIterator<Item = &'g Gateway>,
    ) -> Vec<Gateway> {
        let gateways = gateways.into_iter().cloned();
        gateways.chain(self.kubernetes_gateways.clone()).collect()
    }

    /// The listener of these servers of one Gateway, which share a port, among all Gateways; its ports as far as the Services
    /// and the Pods were read.
    pub fn listener<'s>(
        &self,
        servers: impl IntoIterator<Item = &'s Server>,
        gateways: &[Gateway],
    ) -> Listener {
        let there = self.parts.iter().filter(|(_, pods)| !pods.is_empty());
        let ports = there.map(|(service, pods)| {
            let service = service.as_ref()?;
            Some(ProxyPorts { service, pods })
        });
        let ports: Option<Vec<ProxyPorts<'_>>> = ports.collect();
        Listener::of(servers, &self.ingress, gateways, &ports.unwrap_or_default())
            .passing_redirects(self.passes_redirects)
    }

    /// The listeners of a Gateway's mutual-TLS servers, those of each port: of `own`'s port all of them, of others those with the same
    /// clients.
    pub fn mutual_listeners(
        &self,
        gateway: &Gateway,
        own: &Server,
        gateways: &[Gateway],
    ) -> Vec<Listener> {
        let is_mutual = |server: &&Server| {
            let is_alike = server.port == own.port || admits(server, own, false).is_none();
            server.is_mutual() && !server.forwards_tcp() && is_alike
        };
        let servers = gateway.servers.iter().filter(is_mutual);
        let mut ports: BTreeMap<u16, Vec<&Server>> = BTreeMap::new();
        for server in servers.chain(std::iter::once(own)) {
            ports.entry(server.port).or_default().push(server);
        }
        let servers = ports.into_values();
        servers
            .map(|servers| self.listener(servers, gateways))
            .collect()
    }

    /// The revision of the istiod that configures the proxies, if all of them have the same.
    pub fn revision(&self) -> Option<String> {
        let pods = self.parts.iter().flat_map(|(_, pods)| *pods);
        let revisions: BTreeSet<Option<&str>> = pods.map(|pod| pod.label(REVISION)).collect();
        match revisions.into_iter().collect::<Vec<_>>().as_slice() {
            [Some(one)] => Some((*one).to_owned()),
            _ => None,
        }
    }
}
