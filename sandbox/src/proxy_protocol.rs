//! The PROXY protocol between the load balancer and the gateway.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Port of the load balancer that clients of HTTPS connect to.
const PUBLIC_PORT: u16 = 443;

/// Version 1 of a header that says nothing about the client
/// (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.1).
pub(crate) const ANONYMOUS: &[u8] = b"PROXY UNKNOWN\r\n";

/// Whether the gateway's listeners expect a PROXY header before the first byte of a connection.
///
/// The load balancer of an instance sends the header as soon as the listeners understand it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// No: a connection with a header is reset.
    #[default]
    Off,
    /// Yes: a connection without a header is reset.
    Required,
    /// Connections with and without a header are served.
    Optional,
}

impl ProxyProtocol {
    /// Whether connections may begin with a header.
    pub(crate) fn is_understood(self) -> bool {
        self != Self::Off
    }
}

/// The header for a client that reached the load balancer's HTTPS port.
pub(crate) fn header(client: SocketAddr, balancer: Ipv4Addr) -> Vec<u8> {
    match client {
        SocketAddr::V4(client) => {
            let (address, port) = (client.ip(), client.port());
            format!("PROXY TCP4 {address} {balancer} {port} {PUBLIC_PORT}\r\n").into_bytes()
        }
        SocketAddr::V6(_) => ANONYMOUS.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_the_client_and_the_load_balancers_public_port() {
        let header = header(([127, 0, 0, 1], 50_000).into(), [203, 0, 113, 10].into());
        assert_eq!(header, b"PROXY TCP4 127.0.0.1 203.0.113.10 50000 443\r\n");
    }
}
