//! The Gateways that read an authority's client-CA Secret: where its changes must be seen.

use std::collections::BTreeMap;

use crate::error::Failure;
use crate::plan::{Query, Seen, Stop, World};
use crate::resources::authority::AuthorityState;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::names::GatewayName;
use crate::resources::{Kind, Object};

/// A Gateway, and how to shake hands with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Which one.
    pub gateway: GatewayName,
    /// A host of its server: the server name of the handshake.
    pub host: String,
    /// The labels of its proxies.
    pub selector: BTreeMap<String, String>,
}

impl Served {
    /// A host that selects a server: its own, or one below its wildcard.
    pub fn probe(pattern: &str) -> String {
        pattern.replacen('*', "kubectl-mtls-probe", 1)
    }

    fn of(gateway: &Gateway, server: &Server) -> Option<Self> {
        Some(Self {
            gateway: gateway.name.clone(),
            host: Self::probe(server.hosts.first()?),
            selector: gateway.selector.clone(),
        })
    }
}

/// Every Gateway that reads the authority's client-CA Secret.
///
/// Where not all Gateways may be listed it is the one that the state names; others that read the Secret are not known then.
pub fn served<R>(state: &AuthorityState, world: &World) -> Result<Vec<Served>, Stop<R>> {
    let Some(secret) = &state.client_ca_secret else {
        return Ok(Vec::new());
    };
    let named: Option<GatewayName> = state.gateway.as_deref().and_then(|name| name.parse().ok());
    let everywhere = Query::everywhere(Kind::Gateway);
    let own = named.as_ref().map(|name| Query::Get(name.reference()));
    world.need([everywhere.clone()].into_iter().chain(own))?;
    let objects: Vec<&Object> = match (world.list(&everywhere), &named) {
        (Seen::Found(objects), _) => objects.iter().collect(),
        (_, Some(name)) => world.required(&name.reference())?.into_iter().collect(),
        (other, None) => {
            return Err(Failure::failed(format!(
                "the Gateways that read the Secret `{secret}` could not be listed: {}",
                other.unknown().unwrap_or_default()
            ))
            .into());
        }
    };
    let gateways = objects
        .into_iter()
        .filter_map(|object| Gateway::read(object).ok());
    Ok(gateways
        .filter_map(|gateway| {
            let mut servers = gateway.tls_servers();
            let server = servers
                .find(|server| server.is_mutual() && server.client_ca_secret() == *secret)?;
            Served::of(&gateway, server)
        })
        .collect())
}
