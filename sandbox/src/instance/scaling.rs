//! Gives a gateway further replicas, and takes them away.

use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams};

use super::control_plane::ControlPlane;
use super::gateway::IngressGateway;
use super::replica::Replica;
use super::start::{self, Proxy, Shared, Started};
use super::{create, gateway_objects, probe};
use crate::error::{Error, Result, Trying};

/// Starts a further replica of a gateway and returns when it has the listeners that the others have.
pub(crate) async fn add(
    plane: ControlPlane<'_>,
    started: &Mutex<Started>,
    gateway: &IngressGateway,
) -> Result<Replica> {
    let (number, ordinal, shared, client, others) = reserve(started, gateway)?;
    let replica = gateway.replica(plane.addresses, number, ordinal);
    let outcome = async {
        let pod = gateway_objects::pod(gateway, &replica, false);
        create::all(&client, vec![pod]).await?;
        let mut proxy = start::open(plane, gateway, &replica, &shared.token).await?;
        await_listeners(plane, &mut proxy, &others).await?;
        start::set_ready(&client, &replica, true).await?;
        Ok(Some(proxy))
    };
    match outcome.await {
        Ok(proxy) => {
            shared.balancer.add(replica.tls());
            lock(started).proxies[number] = proxy;
            Ok(replica)
        }
        Err(error) => {
            // The first failure says more than one of cleaning up.
            let _ = delete_pod(&client, &replica).await;
            Err(error)
        }
    }
}

/// The lowest free number, the end of the Pod's name, and the gateway's other replicas that run.
fn reserve(
    started: &Mutex<Started>,
    gateway: &IngressGateway,
) -> Result<(usize, usize, Shared, Client, Vec<Replica>)> {
    let mut started = lock(started);
    let free = started.proxies.iter().position(Option::is_none);
    let number = free.ok_or_else(|| {
        Error::Name("all replicas that an instance has addresses for exist already".to_owned())
    })?;
    let others = started.proxies.iter().flatten();
    let others = others
        .filter(|proxy| proxy.gateway == gateway.number && proxy.envoy.is_some())
        .map(|proxy| proxy.replica.clone())
        .collect();
    let client = started.client.clone();
    let shared = &mut started.shared[gateway.number];
    let ordinal = shared.next_ordinal;
    shared.next_ordinal += 1;
    Ok((number, ordinal, shared.clone(), client, others))
}

/// istiod may hear of the Pod only after the Envoy has asked for its listeners, and answers that there are none.
async fn await_listeners(
    plane: ControlPlane<'_>,
    proxy: &mut Proxy,
    others: &[Replica],
) -> Result<()> {
    let Some(envoy) = &mut proxy.envoy else {
        return Ok(());
    };
    let replica = &proxy.replica;
    let listens = || async {
        if !probe::answers(replica.admin, "/ready").await {
            return false;
        }
        let mut counts = Vec::new();
        for other in others {
            counts.extend(probe::listeners(other.admin).await);
        }
        probe::listeners(replica.admin).await >= counts.into_iter().min()
    };
    let what = format!("{} listening", replica.process());
    plane.wait(envoy, &what, listens).await
}

/// Ends a replica for good.
pub(crate) async fn remove(started: &Mutex<Started>, number: usize) -> Result<()> {
    let (proxy, client) = {
        let mut started = lock(started);
        let slot = started.proxies.get_mut(number);
        let proxy = slot.and_then(Option::take);
        let proxy = proxy.ok_or_else(|| start::no_replica(number))?;
        started.shared[proxy.gateway]
            .balancer
            .remove(proxy.replica.tls());
        (proxy, started.client.clone())
    };
    let Proxy {
        replica,
        envoy,
        way,
        ..
    } = proxy;
    let deleted = delete_pod(&client, &replica).await;
    drop(envoy);
    way.close().await;
    deleted
}

async fn delete_pod(client: &Client, replica: &Replica) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &replica.namespace);
    // Nobody else would end the Pod's grace period.
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete(&replica.pod, &at_once)
        .await
        .map(drop)
        .trying(|| format!("delete Pod `{}`", replica.pod))
}

fn lock(started: &Mutex<Started>) -> MutexGuard<'_, Started> {
    started.lock().unwrap_or_else(PoisonError::into_inner)
}
