//! The mutual-TLS servers of a Gateway as its proxies see them, for the guards on them.

use std::collections::BTreeSet;

use super::{pods, service};
use crate::plan::{Observed, Reconciled};
use crate::resources::Object;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::guard::{Listener, ProxyPorts};
use crate::resources::ingress::IngressGateway;
use crate::resources::istiod::REVISION;
use crate::resources::service::Service;

/// The proxies of a Gateway and the Service in front of them, as far as they may be read.
#[derive(Debug)]
pub struct IngressProxies<'a> {
    ingress: &'a IngressGateway,
    service: Option<Service>,
    pods: &'a [Object],
}

impl<'a> IngressProxies<'a> {
    /// The proxies that a Gateway's selector selects.
    pub fn of(observed: &'a Observed, ingress: &'a IngressGateway) -> Reconciled<Self> {
        let (_, service) = service(observed, ingress)?;
        let pods = observed.try_list(&pods(ingress))?;
        Ok(Self {
            ingress,
            service: service.found().cloned(),
            pods: pods.found().copied().unwrap_or_default(),
        })
    }

    /// The listener of these servers of one Gateway, which share a port, among all Gateways; its ports are known if the Service and the
    /// Pods were read.
    pub fn listener<'s>(
        &self,
        servers: impl IntoIterator<Item = &'s Server>,
        gateways: &[Gateway],
    ) -> Listener {
        let service = self.service.as_ref().filter(|_| !self.pods.is_empty());
        let ports = service.map(|service| ProxyPorts {
            service: &service.ports,
            pods: self.pods,
        });
        Listener::of(servers, self.ingress, gateways, ports.as_ref())
    }

    /// The revision of the istiod that configures the proxies, if all of them have the same.
    pub fn revision(&self) -> Option<String> {
        let revisions: BTreeSet<Option<&str>> =
            self.pods.iter().map(|pod| pod.label(REVISION)).collect();
        match revisions.into_iter().collect::<Vec<_>>().as_slice() {
            [Some(one)] => Some((*one).to_owned()),
            _ => None,
        }
    }
}
