//! Ports and loopback addresses of one instance, which no other instance on the machine has.
//!
//! Both follow from one number. Who listens on a block's first port owns the block, until the process ends; no file can
//! be left behind, and it works between users. The blocks lie below the ports that the kernel hands out by itself, so
//! that an outgoing connection cannot take one between our look and a part's start.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::error::{Error, Result};

const FIRST_PORT: u16 = 20_000;
const BLOCK: u16 = 32;
const BLOCKS: u16 = 380;

/// The addresses of one instance; they are free for others once this is dropped.
#[derive(Debug)]
pub(crate) struct Addresses {
    number: u16,
    _owned: TcpListener,
}

impl Addresses {
    /// Number of gateway replicas that an instance has addresses for.
    pub(crate) const REPLICAS: usize = 8;

    /// Takes the first block whose ports are all free.
    pub(crate) fn claim() -> Result<Self> {
        for number in 0..BLOCKS {
            let first = FIRST_PORT + number * BLOCK;
            let Ok(owned) = TcpListener::bind((Ipv4Addr::LOCALHOST, first)) else {
                continue;
            };
            // This fails as well where somebody listens on all addresses.
            if (first + 1..first + BLOCK)
                .all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
            {
                return Ok(Self {
                    number,
                    _owned: owned,
                });
            }
        }
        Err(Error::Tool(format!(
            "no {BLOCK} free ports in a row from {FIRST_PORT} on; end other sandboxes first"
        )))
    }

    fn port(&self, offset: u16) -> u16 {
        FIRST_PORT + self.number * BLOCK + offset
    }

    fn port_of(&self, first: u16, number: usize) -> u16 {
        let [low, ..] = number.to_le_bytes();
        self.port(first + u16::from(low))
    }

    fn local(&self, offset: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(offset)).into()
    }

    /// Where etcd serves clients.
    pub(crate) fn etcd(&self) -> SocketAddr {
        self.local(1)
    }

    /// Where etcd would meet other members.
    pub(crate) fn etcd_peers(&self) -> SocketAddr {
        self.local(2)
    }

    /// The API server.
    pub(crate) fn api_server(&self) -> SocketAddr {
        self.local(3)
    }

    /// The plaintext discovery of an istiod; there may be two of them.
    pub(crate) fn istiod_discovery(&self, istiod: usize) -> SocketAddr {
        self.istiod(istiod, 0)
    }

    /// Its discovery over TLS, which nobody here uses.
    pub(crate) fn istiod_secure(&self, istiod: usize) -> SocketAddr {
        self.istiod(istiod, 1)
    }

    /// Its readiness and debug pages.
    pub(crate) fn istiod_http(&self, istiod: usize) -> SocketAddr {
        self.istiod(istiod, 2)
    }

    /// Its metrics.
    pub(crate) fn istiod_monitoring(&self, istiod: usize) -> SocketAddr {
        self.istiod(istiod, 3)
    }

    fn istiod(&self, istiod: usize, offset: u16) -> SocketAddr {
        let first = if istiod == 0 { 4 } else { 12 };
        self.local(first + offset)
    }

    /// The kubelet end of port-forwards.
    pub(crate) fn port_forward(&self) -> SocketAddr {
        self.local(8)
    }

    /// The DNS server.
    pub(crate) fn resolver(&self) -> SocketAddr {
        self.local(9)
    }

    /// The load balancer in front of a gateway; there may be two of them.
    pub(crate) fn balancer(&self, gateway: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port_of(10, gateway)).into()
    }

    /// Port of a replica's HTTPS listener.
    pub(crate) fn replica_https(&self, replica: usize) -> u16 {
        self.port_of(16, replica)
    }

    /// Port of a replica's HTTP listener.
    pub(crate) fn replica_http(&self, replica: usize) -> u16 {
        self.port_of(24, replica)
    }

    /// Address of a replica's Pod.
    pub(crate) fn pod(&self, replica: usize) -> Ipv4Addr {
        let [number, ..] = replica.to_le_bytes();
        self.network(11 + number)
    }

    /// Addresses of all Pods that replicas may get.
    pub(crate) fn pods(&self) -> impl Iterator<Item = Ipv4Addr> {
        (0..Self::REPLICAS).map(|replica| self.pod(replica))
    }

    /// Address of an echo backend, 150 of them before they repeat; never a gateway's.
    pub(crate) fn backend(&self, number: u8) -> Ipv4Addr {
        self.network(100 + number % 150)
    }

    /// An address of the instance's own part of 127.0.0.0/8, all of which is loopback on Linux.
    fn network(&self, host: u8) -> Ipv4Addr {
        let [low, high] = self.number.to_le_bytes();
        Ipv4Addr::new(127, 100 + high, low, host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_instances_share_no_address() {
        let (one, other) = (Addresses::claim().unwrap(), Addresses::claim().unwrap());
        assert_ne!(one.api_server(), other.api_server());
        assert_ne!(one.pod(0), other.pod(0));
        assert!(one.pod(0).is_loopback() && one.pod(0) != one.pod(1));
    }
}
