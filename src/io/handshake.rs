//! TLS handshakes with the gateway, each followed by one HTTP request.

mod exchange;
pub(super) mod forward;

use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;

use super::cluster::Cluster;
use super::resolver;
use crate::error::{Failure, plain};
use crate::plan::Identity;
use crate::plan::probe::{CONNECTIONS_PER_ADDRESS, Client, Observation, Outcome, Probe, Via};
use exchange::{Exchanged, certified_key, exchange};
use forward::Unforwarded;

/// Time limit for opening a connection, and then again for its answer.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Makes a probe: one handshake through a proxy, several through an address. `resolver` is `HOST[:PORT]`; without it the system's resolver
/// finds the addresses of a load balancer that has a name. `wants_header`: whether that way accepts only connections with a header of the
/// PROXY protocol.
pub async fn probe(
    cluster: &Cluster,
    probe: &Probe,
    identity: Option<&Identity>,
    resolver: Option<&str>,
    wants_header: bool,
) -> Result<Vec<Observation>, Failure> {
    let identity = match &probe.client {
        Client::Nobody => None,
        Client::Shown(_) => {
            Some(certified_key(identity.ok_or_else(|| {
                Failure::internal("there is no certificate for a probe")
            })?)?)
        }
    };
    match &probe.via {
        Via::Proxy(proxy) => {
            let through_pod = async |header| {
                let pod = forward::open(cluster, &proxy.pod, proxy.port).await;
                match pod {
                    Ok(pod) => pod.exchange(&probe.host, identity.clone(), header).await,
                    Err(unforwarded) => Exchanged::nothing(unforwarded.into()),
                }
            };
            Ok(vec![
                with_or_without_header(wants_header, through_pod).await,
            ])
        }
        Via::Address(address) => {
            let to_address = async |header| {
                connect(address, resolver, &probe.host, identity.clone(), header).await
            };
            Ok(several(wants_header, to_address).await)
        }
    }
}

/// Opens new connections to an address until one fails, or there are enough.
async fn several(
    mut wants_header: bool,
    attempt: impl AsyncFn(bool) -> Exchanged,
) -> Vec<Observation> {
    let mut observations = Vec::new();
    for _ in 0..CONNECTIONS_PER_ADDRESS {
        let observation = with_or_without_header(wants_header, &attempt).await;
        let failed = matches!(
            observation.outcome,
            Outcome::Broken(_) | Outcome::Unreachable(_)
        );
        wants_header = observation.proxy_protocol;
        observations.push(observation);
        if failed {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    observations
}

/// A handshake as clients make it; if the connection is closed without an alert, a second one on a new connection after a header of the
/// PROXY protocol.
///
/// A proxy that expects the header closes every connection without it, and one that does not expect it closes every connection with it
/// (Envoy, `envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol`). So the header is sent first only if this way is known to
/// expect it.
async fn with_or_without_header(
    wants_header: bool,
    attempt: impl AsyncFn(bool) -> Exchanged,
) -> Observation {
    if wants_header {
        let known = attempt(true).await;
        if known.is_served() {
            return known.observation;
        }
    }
    let plain = attempt(false).await;
    if wants_header || !plain.was_closed {
        return plain.observation;
    }
    let with_header = attempt(true).await;
    if with_header.is_served() {
        return with_header.observation;
    }
    if !with_header.was_closed {
        return plain.observation;
    }
    Observation::broken(
        "the connection is closed without an alert, with and without a header of the PROXY protocol; \
         a proxy that has no server certificate does the same",
    )
}

async fn connect(
    address: &str,
    resolver: Option<&str>,
    host: &str,
    identity: Option<Arc<CertifiedKey>>,
    header: bool,
) -> Exchanged {
    let connecting = tokio::time::timeout(LIMIT, resolver::connect(address, resolver));
    match connecting.await {
        Ok(Ok(stream)) => exchange(stream, host, identity, header, LIMIT).await,
        Ok(Err(error)) => Exchanged::nothing(Outcome::Unreachable(plain(&error))),
        Err(_) => Exchanged::nothing(Outcome::Unreachable(no_answer(LIMIT))),
    }
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}

impl Observation {
    fn nothing(outcome: Outcome) -> Self {
        Self {
            offered: None,
            server: None,
            chain: Vec::new(),
            outcome,
            proxy_protocol: false,
        }
    }

    fn broken(reason: impl Into<String>) -> Self {
        Self::nothing(Outcome::Broken(reason.into()))
    }
}

impl From<Unforwarded> for Outcome {
    fn from(unforwarded: Unforwarded) -> Self {
        match unforwarded {
            Unforwarded::Denied(denial) => Self::Denied(denial),
            Unforwarded::Failed(reason) => Self::NotForwarded(reason),
        }
    }
}

#[cfg(test)]
mod tests;
