//! One proxy of an ingress gateway.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::addresses::Addresses;
use super::mesh::Mesh;

/// Port of Envoy's administration page in every Pod.
const ADMIN_PORT: u16 = 15_000;
/// Port of the Pod's address on which it finds istiod.
const DISCOVERY_PORT: u16 = 15_010;

/// One Envoy of an ingress gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its number in the instance, by which it is stopped, held back and so on. The first gateway's replicas come first.
    pub number: usize,
    /// Namespace of its Pod.
    pub namespace: String,
    /// Name of its Pod.
    pub pod: String,
    /// Address of its Pod, a loopback address that only this replica has.
    pub pod_ip: Ipv4Addr,
    /// Its administration page, port 15000 of the Pod.
    pub admin: SocketAddr,
    /// Port of its HTTPS listener.
    pub tls_port: u16,
    /// Port of its HTTP listener, there as long as a Gateway has an HTTP server.
    pub http_port: u16,
    /// Where it finds istiod.
    pub(crate) discovery: SocketAddr,
    /// The control plane that configures it.
    pub(crate) mesh: Mesh,
}

impl Replica {
    /// A replica with the addresses of its number, which is below [`Addresses::REPLICAS`].
    pub(crate) fn new(
        addresses: &Addresses,
        mesh: Mesh,
        number: usize,
        namespace: &str,
        pod: String,
    ) -> Self {
        let pod_ip = addresses.pod(number);
        Self {
            number,
            namespace: namespace.to_owned(),
            pod,
            pod_ip,
            admin: SocketAddr::new(IpAddr::V4(pod_ip), ADMIN_PORT),
            tls_port: addresses.replica_https(number),
            http_port: addresses.replica_http(number),
            discovery: SocketAddr::new(IpAddr::V4(pod_ip), DISCOVERY_PORT),
            mesh,
        }
    }

    /// Address of its HTTPS listener.
    pub fn tls(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.pod_ip), self.tls_port)
    }

    /// Revision of the istiod that configures it.
    pub fn revision(&self) -> &str {
        self.mesh.revision
    }

    /// Name of its process and its log: `<pod>.<namespace>`, as istioctl names proxies.
    pub fn process(&self) -> String {
        format!("{}.{}", self.pod, self.namespace)
    }
}
