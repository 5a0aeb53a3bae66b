//! Addresses of host names, from the system's resolver or the one that the user names.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::error::Failure;
use crate::plan::Seen;

const LIMIT: Duration = Duration::from_secs(5);
const DNS: u16 = 53;

/// Looks a host up. `resolver` is `HOST[:PORT]`; without it the system's configuration is used.
pub async fn resolve(host: &str, resolver: Option<&str>) -> Result<Seen<Vec<String>>, Failure> {
    let builder = match resolver {
        Some(address) => {
            let config = configuration(address).await?;
            Ok(TokioResolver::builder_with_config(
                config,
                TokioRuntimeProvider::default(),
            ))
        }
        None => TokioResolver::builder_tokio(),
    };
    let client = match builder.and_then(hickory_resolver::ResolverBuilder::build) {
        Ok(client) => client,
        Err(error) => return Ok(Seen::Failed(format!("no resolver: {error}"))),
    };
    let name = format!("{}.", host.trim_end_matches('.'));
    Ok(
        match tokio::time::timeout(LIMIT, client.lookup_ip(name)).await {
            Err(_) => Seen::Failed(format!("no answer within {} s", LIMIT.as_secs())),
            Ok(Ok(found)) => Seen::Found(found.iter().map(|address| address.to_string()).collect()),
            Ok(Err(error)) if error.is_no_records_found() => Seen::Missing,
            Ok(Err(error)) => Seen::Failed(error.to_string()),
        },
    )
}

async fn configuration(resolver: &str) -> Result<ResolverConfig, Failure> {
    let with_port = crate::resources::address::with_port(resolver, DNS);
    let mut found = tokio::net::lookup_host(&with_port).await.map_err(|error| {
        Failure::usage(format!("`--resolver {resolver}` has no address")).caused_by(error)
    })?;
    let address: SocketAddr = found
        .next()
        .ok_or_else(|| Failure::usage(format!("`--resolver {resolver}` has no address")))?;
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    Ok(ResolverConfig::from_parts(None, Vec::new(), vec![server]))
}
