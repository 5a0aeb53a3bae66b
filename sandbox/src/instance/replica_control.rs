//! The ingress gateways of an instance and their replicas: further ones, stopped ones, and those that hear nothing from istiod.

use std::sync::PoisonError;

use super::discovery::Traffic;
use super::gateway::IngressGateway;
use super::replica::Replica;
use super::start::{self, Sign};
use super::{DOMAIN, Instance, envoy, scaling};
use crate::error::Result;

impl Instance {
    /// The ingress gateways, at least one.
    pub fn gateways(&self) -> &[IngressGateway] {
        &self.gateways
    }

    /// The replicas with which the first gateway started.
    pub fn replicas(&self) -> &[Replica] {
        &self.gateways[0].replicas
    }

    /// All replicas that the gateways have at the moment, running or stopped.
    pub fn all_replicas(&self) -> Vec<Replica> {
        let started = self.lock();
        let proxies = started.proxies.iter().flatten();
        proxies.map(|proxy| proxy.replica.clone()).collect()
    }

    /// The replicas that a gateway has at the moment, running or stopped.
    pub fn replicas_of(&self, gateway: &IngressGateway) -> Vec<Replica> {
        let started = self.lock();
        let proxies = started.proxies.iter().flatten();
        proxies
            .filter(|proxy| proxy.gateway == gateway.number)
            .map(|proxy| proxy.replica.clone())
            .collect()
    }

    /// Gives a gateway a further replica and returns when it has the listeners that the others have and its Pod is ready.
    ///
    /// An instance has addresses for eight replicas; fails when they are all in use.
    pub fn add_replica(&self, gateway: &IngressGateway) -> Result<Replica> {
        let _alone = self.scaling.lock().unwrap_or_else(PoisonError::into_inner);
        let replica = self.run(scaling::add(self.plane(), &self.started, gateway))?;
        self.record().publish(&self.directory)?;
        Ok(replica)
    }

    /// Ends a replica for good: its load balancer sends it no further connections, its Pod is deleted, its Envoy is killed.
    ///
    /// Fails when there is no replica with this number.
    pub fn remove_replica(&self, number: usize) -> Result<()> {
        let _alone = self.scaling.lock().unwrap_or_else(PoisonError::into_inner);
        self.run(scaling::remove(&self.started, number))?;
        self.record().publish(&self.directory)
    }

    /// Ends a replica's Envoy; its Pod stays and is no longer ready.
    ///
    /// Fails when there is no replica with this number.
    pub fn stop_replica(&self, number: usize) -> Result<()> {
        let (client, replica) = {
            let mut started = self.lock();
            let client = started.client.clone();
            let proxy = started.proxy(number)?;
            proxy.envoy = None;
            (client, proxy.replica.clone())
        };
        self.run(start::set_ready(&client, &replica, false))?;
        self.record().publish(&self.directory)
    }

    /// Starts a stopped replica's Envoy and returns when it answers; does nothing to one that runs.
    ///
    /// Fails when there is no replica with this number.
    pub fn start_replica(&self, number: usize) -> Result<()> {
        let (client, authority) = {
            let started = self.lock();
            (started.client.clone(), started.authority.clone())
        };
        let (replica, gateway, token) = {
            let mut started = self.lock();
            let proxy = started.proxy(number)?;
            if proxy.envoy.is_some() {
                return Ok(());
            }
            let (replica, gateway) = (proxy.replica.clone(), proxy.gateway);
            (replica, gateway, started.shared[gateway].token.clone())
        };
        let gateway = &self.gateways[gateway];
        let mut envoy = envoy::start(self.plane(), gateway, &replica, &token)?;
        let sign = Sign {
            domain: DOMAIN,
            authority: authority.as_deref(),
            proxy_protocol: self.proxy_protocol(),
        };
        self.run(start::await_replica(
            self.plane(),
            &replica,
            &mut envoy,
            sign,
        ))?;
        self.lock().proxy(number)?.envoy = Some(envoy);
        self.run(start::set_ready(&client, &replica, true))?;
        self.record().publish(&self.directory)
    }

    /// Keeps what istiod has to say from a replica, which goes on with what it has loaded, until [`Self::release_replica`].
    ///
    /// Does nothing to a replica that was removed; panics when no replica can have this number.
    pub fn hold_replica(&self, number: usize) {
        self.set_traffic(number, Traffic::Held);
    }

    /// Ends a replica's connection to istiod, and any other one that it opens, until [`Self::release_replica`].
    ///
    /// Does nothing to a replica that was removed; panics when no replica can have this number.
    pub fn cut_replica(&self, number: usize) {
        self.set_traffic(number, Traffic::Cut);
    }

    /// Lets a replica that was held or cut off load what it missed.
    ///
    /// Does nothing to a replica that was removed; panics when no replica can have this number.
    pub fn release_replica(&self, number: usize) {
        self.set_traffic(number, Traffic::Flows);
    }

    fn set_traffic(&self, number: usize, traffic: Traffic) {
        if let Some(proxy) = &self.lock().proxies[number] {
            proxy.way.set(traffic);
        }
    }
}
