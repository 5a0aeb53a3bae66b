//! Addresses of host names, from the system's resolver or the one that the user gives.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::TcpStream;

use crate::error::{Failure, plain};
use crate::plan::Seen;
use crate::resources::address::with_port;

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
        Err(error) => {
            return Ok(Seen::Failed(format!(
                "the DNS resolver could not be set up: {error}"
            )));
        }
    };
    let name = format!("{}.", host.trim_end_matches('.'));
    Ok(
        match tokio::time::timeout(LIMIT, client.lookup_ip(name)).await {
            Err(_) => Seen::Failed(format!("no answer within {} s", LIMIT.as_secs())),
            Ok(Ok(found)) => Seen::Found(found.iter().map(|address| address.to_string()).collect()),
            Ok(Err(error)) if error.is_no_records_found() => Seen::Missing,
            Ok(Err(error)) => Seen::Failed(plain(&error)),
        },
    )
}

/// Connects to `HOST:PORT`, a name or an address; `resolver` as for [`resolve`]. Data is sent without delay.
pub async fn connect(address: &str, resolver: Option<&str>) -> io::Result<TcpStream> {
    let stream = open(address, resolver).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn open(address: &str, resolver: Option<&str>) -> io::Result<TcpStream> {
    let named = address
        .rsplit_once(':')
        .filter(|_| address.parse::<SocketAddr>().is_err());
    let (Some((host, port)), Some(_)) = (named, resolver) else {
        return TcpStream::connect(address).await;
    };
    let found = resolve(host, resolver).await.map_err(io::Error::other)?;
    let Some(address) = found.found().and_then(|addresses| addresses.first()) else {
        let why = found.unknown();
        let why = why.unwrap_or_else(|| "the name has no address".to_owned());
        return Err(io::Error::other(format!("`{host}`: {why}")));
    };
    TcpStream::connect(with_port(address, port.parse().map_err(io::Error::other)?)).await
}

async fn configuration(resolver: &str) -> Result<ResolverConfig, Failure> {
    let mut found = tokio::net::lookup_host(with_port(resolver, DNS))
        .await
        .map_err(|error| {
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
