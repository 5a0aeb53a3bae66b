//! Port-forwards to Pods, and the meaning of their failures.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::client::UpgradeConnectionError;
use rustls::sign::CertifiedKey;
use tokio::io::DuplexStream;

use super::exchange::{Exchanged, exchange};
use super::{LIMIT, no_answer};
use crate::io::cluster::Cluster;
use crate::io::unreachable::Unreachable;
use crate::plan::probe::Outcome;
use crate::resources::ObjectRef;

/// How long after the end of a stream the kubelet's reason may arrive.
const REASON_FOLLOWS: Duration = Duration::from_millis(200);

/// Why a port-forward could not be opened.
#[derive(Debug)]
pub enum Unforwarded {
    /// The user lacks the permission: what is not allowed.
    Denied(String),
    /// Any other failure.
    Failed(String),
}

/// A port of a Pod.
pub struct Forwarded {
    port: u16,
    /// The bytes to and from the port.
    pub stream: DuplexStream,
    /// The reason for which the kubelet ended the stream, if it gives one.
    fault: Pin<Box<dyn Future<Output = Option<String>> + Send>>,
}

/// Opens a port-forward to a Pod.
pub async fn open(cluster: &Cluster, pod: &ObjectRef, port: u16) -> Result<Forwarded, Unforwarded> {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), &pod.namespace);
    let opening = tokio::time::timeout(LIMIT, pods.portforward(&pod.name, &[port])).await;
    let late = |_| {
        Unforwarded::Failed(format!(
            "the connection did not open within {} s",
            LIMIT.as_secs()
        ))
    };
    let mut forwarder = opening.map_err(late)?.map_err(|error| reason(&error))?;
    match (forwarder.take_stream(port), forwarder.take_error(port)) {
        (Some(stream), Some(fault)) => Ok(Forwarded {
            port,
            stream,
            fault: Box::pin(fault),
        }),
        _ => Err(Unforwarded::Failed(
            "the connection did not open".to_owned(),
        )),
    }
}

fn reason(error: &kube::Error) -> Unforwarded {
    let status = match error {
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => *status,
        kube::Error::Api(status) => http::StatusCode::from_u16(status.code).unwrap_or_default(),
        other => return Unforwarded::Failed(Unreachable::because(other).reason),
    };
    if status == http::StatusCode::FORBIDDEN {
        return Unforwarded::Denied("you may not `get` and `create` `pods/portforward`".to_owned());
    }
    Unforwarded::Failed(format!("the API server answered with HTTP {status}"))
}

impl Forwarded {
    /// Makes a TLS handshake with the proxy, after a header of the PROXY protocol if one is wanted.
    pub async fn exchange(
        self,
        host: &str,
        identity: Option<Arc<CertifiedKey>>,
        header: bool,
    ) -> Exchanged {
        let exchanged = exchange(self.stream, host, identity, header, LIMIT).await;
        if exchanged.was_silent {
            // Whether the bytes reached the proxy is not known.
            return Exchanged::nothing(Outcome::NotForwarded(no_answer(LIMIT)));
        }
        if !exchanged.was_closed {
            return exchanged;
        }
        match tokio::time::timeout(REASON_FOLLOWS, self.fault).await {
            Ok(Some(fault)) => judge(&fault, self.port, exchanged),
            _ => exchanged,
        }
    }
}

/// The meaning of the kubelet's message about a stream that ended: the proxy closed it, does not listen, or was never reached.
///
/// The words are those of Go's errors (`syscall.ECONNREFUSED`, `ECONNRESET`, `EPIPE`, `io.EOF`) and of `socat`, which container runtimes
/// pass on.
fn judge(fault: &str, port: u16, exchanged: Exchanged) -> Exchanged {
    let words = fault.to_ascii_lowercase();
    let names = |known: &str| words.contains(known);
    if ["reset by peer", "broken pipe", "eof"]
        .into_iter()
        .any(names)
    {
        exchanged
    } else if names("connection refused") {
        let silent = format!("nothing listens on port {port} of the Pod");
        Exchanged::nothing(Outcome::Broken(silent))
    } else {
        Exchanged::nothing(Outcome::NotForwarded(fault.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_closes_or_does_not_listen_is_told_apart_from_a_port_forward_that_fails() {
        let ended = |fault: &str| {
            let closed = Exchanged {
                was_closed: true,
                ..Exchanged::nothing(Outcome::Broken("end of file".to_owned()))
            };
            let judged = judge(fault, 8443, closed);
            (judged.was_closed, judged.observation.outcome)
        };
        let reset = "error forwarding port 8443 to pod gw-1, uid : read tcp4 127.0.0.1:36452->127.0.0.1:8443: read: connection reset by peer";
        assert!(ended(reset).0);
        let refused = "error forwarding port 8443 to pod gw-1: dial tcp4 127.0.0.1:8443: connect: connection refused";
        let (was_closed, outcome) = ended(refused);
        assert!(!was_closed);
        assert_eq!(
            outcome.to_string(),
            "was aborted: nothing listens on port 8443 of the Pod"
        );
        let socat = "unable to do port forwarding: socat not found\n";
        assert_eq!(
            ended(socat).1,
            Outcome::NotForwarded("unable to do port forwarding: socat not found".to_owned())
        );
    }
}
