//! Probes of the gateway: handshakes and their observations.

use std::fmt;

use crate::pki::inspect::Certificate;
use crate::resources::ingress::{Proxy, pod_name};

/// One handshake, or several equal ones, each followed by one HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe {
    /// The way to the gateway.
    pub via: Via,
    /// The host: server name of the handshake and `Host` of the request.
    pub host: String,
    /// The client of the handshake.
    pub client: Client,
}

/// The way to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// A port-forward to one proxy.
    Proxy(Proxy),
    /// An address, `HOST:PORT`, behind which replicas cannot be told apart: the probe makes several new connections.
    Address(String),
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy(proxy) => f.write_str(&pod_name(&proxy.pod)),
            Self::Address(address) => f.write_str(address),
        }
    }
}

/// New connections per address, when replicas cannot be told apart.
pub const CONNECTIONS_PER_ADDRESS: u32 = 30;

/// The client of a handshake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// A client without a certificate, which must be rejected.
    Nobody,
    /// A client with a certificate of this run, by its label in [`Observed::identities`](super::Observed::identities).
    Shown(String),
}

impl Client {
    /// A client with the certificate of this label.
    pub fn shown(label: impl Into<String>) -> Self {
        Self::Shown(label.into())
    }
}

/// The observation of one handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The DER names of the CAs that the gateway requests; `None` if it requested no certificate.
    pub offered: Option<Vec<Vec<u8>>>,
    /// The server's certificate.
    pub server: Option<Certificate>,
    /// The further certificates that the server sends, in its order.
    pub chain: Vec<Certificate>,
    /// The outcome of the handshake.
    pub outcome: Outcome,
    /// Whether a header of the PROXY protocol was sent before the handshake.
    pub proxy_protocol: bool,
}

/// The outcome of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// TLS succeeded and an HTTP answer came, with this status.
    Answered(u16),
    /// A TLS alert, by its IANA name: `certificate_required`.
    Refused(String),
    /// The connection ended without an alert.
    Broken(String),
    /// No connection could be opened.
    Unreachable(String),
    /// The port-forward was denied.
    Denied(String),
    /// The port-forward failed, so that nothing is known about the proxy.
    NotForwarded(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => write!(f, "answered with HTTP {status}"),
            Self::Refused(alert) => write!(f, "refused with `{alert}`"),
            Self::Broken(reason) => write!(f, "was aborted: {reason}"),
            Self::Unreachable(reason) => write!(f, "did not begin, no connection: {reason}"),
            Self::Denied(reason) => write!(f, "not permitted: {reason}"),
            Self::NotForwarded(reason) => write!(f, "failed: port-forward: {reason}"),
        }
    }
}
