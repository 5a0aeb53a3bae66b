//! One certificate for several hosts: a client that speaks HTTP/2 may use its connection to one of them for another one (RFC 9113, section
//! 9.1.1), and browsers do.
//!
//! A proxy chooses the server, and with it the client CA and the routes, when a connection begins: a request for another server's host is
//! then answered with 404, 421 or, by a guard, 403.

use super::target::{Target, wildcard_over};
use super::waiting::Looked;
use super::{Plan, ServerChoice};
use crate::resources::gateway::{Gateway, Server};
use crate::resources::gateway_api::OF_GATEWAY_API;
use crate::resources::listing::shortened;

/// Number of servers that a message names.
const SERVERS_SHOWN: usize = 3;

/// A note on hosts of these proxies that may share a connection with the host although another server serves them.
pub(super) fn note(plan: &Plan<'_>, looked: Option<&Looked>) -> Option<String> {
    let Plan {
        request, target, ..
    } = plan;
    let names = match (&request.server, looked) {
        (_, Some(looked)) => looked.server_names.as_slice(),
        (ServerChoice::Given(identity), None) => identity.certificate().dns_sans(),
        _ => &[],
    };
    let shares_proxies = |gateway: &&Gateway| gateway.shares_proxies_with(&target.ingress);
    let gateways = target.gateways.iter().filter(shares_proxies);
    let gateways = gateways.map(|gateway| (gateway, ""));
    let kubernetes = plan.kubernetes_gateways.iter();
    let kubernetes = kubernetes.map(|gateway| (gateway, OF_GATEWAY_API));
    let mut others = Vec::new();
    for (gateway, api) in gateways.chain(kubernetes) {
        // The Gateway's routes are reached through each of its mutual-TLS servers.
        let is_own = |server: &Server| {
            api.is_empty() && gateway.name == target.gateway && server.is_mutual()
        };
        let servers = gateway.tls_servers();
        let servers = servers.filter(|server| !is_own(server) && !server.forwards_tcp());
        let shared = servers.filter(|server| may_share_connections(target, names, server));
        others.extend(shared.map(|server| {
            let (hosts, gateway) = (server.hosts.join(", "), &gateway.name);
            let server = server.describe();
            format!("`{hosts}` ({server} of the Gateway `{gateway}`{api})")
        }));
    }
    (!others.is_empty()).then(|| {
        format!(
            "one certificate may cover both `{}` and {}: a browser then uses one HTTP/2 connection for both, and gets 404, 421 or 403; a host with a certificate of its own, as `{}.mtls.DOMAIN`, avoids this",
            target.host,
            shortened(&others, SERVERS_SHOWN),
            target.service,
        )
    })
}

/// Whether the certificate of one server may cover a host of the other, so that clients use one connection for both. A wildcard stands for
/// one label (RFC 9525, section 6.3).
///
/// `names` are those in the certificate of the host, as far as it was seen. Other certificates are not read: their names are assumed to be
/// the hosts of their servers.
fn may_share_connections(target: &Target, names: &[String], server: &Server) -> bool {
    let credential = target.names.credential();
    let mut credentials = std::iter::once(&server.credential).chain(&server.further_credentials);
    let shares_certificate = credentials.any(|other| other == credential);
    let over_ours = wildcard_over(&target.host);
    let covers_host = |pattern: &String| *pattern == over_ours || pattern == "*";
    let is_covered = |pattern: &String| {
        let above = wildcard_over(pattern);
        above == target.gateway_host || names.iter().any(|name| *name == above || name == pattern)
    };
    let differs = |pattern: &String| *pattern != target.gateway_host;
    let mut others = server.hosts.iter().filter(|pattern| differs(pattern));
    others.any(|pattern| shares_certificate || covers_host(pattern) || is_covered(pattern))
}
