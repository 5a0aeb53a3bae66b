//! TCP servers that are newer than a guard, which closes their connections.

use super::facts::remedy;
use super::{Finding, check};
use crate::plan::probe::IngressProxies;
use crate::resources::gateway::Gateway;

/// The TCP servers without which a guard would be correct: those that were created after it. `None` if the guard differs in another way.
pub(super) fn later(
    gateways: &[Gateway],
    fits: impl Fn(&[Gateway]) -> bool,
) -> Option<Vec<String>> {
    let servers = gateways.iter().enumerate().flat_map(|(number, gateway)| {
        let servers = gateway.servers.iter().enumerate();
        let tcp = servers.filter(|(_, server)| server.forwards_tcp());
        tcp.map(move |(server, _)| (number, server))
    });
    let servers: Vec<(usize, usize)> = servers.collect();
    let each = servers.iter().map(|one| vec![*one]);
    let of_gateways = (0..gateways.len()).map(|number| {
        let own = servers.iter().filter(|(gateway, _)| *gateway == number);
        own.copied().collect()
    });
    let candidates = each.chain(of_gateways).chain([servers.clone()]);
    let later = candidates
        .filter(|later| !later.is_empty())
        .find(|later: &Vec<(usize, usize)>| fits(&without(gateways, later)))?;
    let described = later.iter().filter_map(|(gateway, server)| {
        let gateway = gateways.get(*gateway)?;
        let server = gateway.servers.get(*server)?;
        Some(format!(
            "server `{}` (port {}) of the Gateway {}",
            server.name, server.port, gateway.name
        ))
    });
    Some(described.collect())
}

/// The finding on Gateways of the Kubernetes Gateway API that could not be listed.
pub(super) fn unseen(proxies: &IngressProxies<'_>) -> Option<Finding> {
    let unread = proxies.kubernetes_gateways_unread.as_ref()?;
    let reason = unread.unknown()?;
    let seen = format!("the Gateways of the Kubernetes Gateway API could not be listed: {reason}");
    let why = "whether the guards close connections of their TCP and TLS listeners is not known";
    Some(Finding::new(&check::GUARD_NOT_CHECKED, seen, remedy(unread)).because(why))
}

fn without(gateways: &[Gateway], servers: &[(usize, usize)]) -> Vec<Gateway> {
    let mut kept = gateways.to_vec();
    for (number, gateway) in kept.iter_mut().enumerate() {
        let mut index = 0;
        gateway.servers.retain(|_| {
            index += 1;
            !servers.contains(&(number, index - 1))
        });
    }
    kept
}
