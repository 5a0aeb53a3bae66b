//! The cloud's load balancer: hands each TCP connection to the next replica that accepts it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::objects::LOAD_BALANCER;
use crate::error::{Result, Trying};
use crate::proxy_protocol::{self, ProxyProtocol};

/// Listens on `address` and spreads connections over `replicas` in turn, until the runtime ends.
///
/// Connections begin with a PROXY header where the replicas understand one.
pub(crate) async fn start(
    address: SocketAddr,
    replicas: Vec<SocketAddr>,
    protocol: ProxyProtocol,
) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .trying(|| format!("listen on {address}"))?;
    let turn = AtomicUsize::new(0);
    let replicas: Arc<[SocketAddr]> = replicas.into();
    tokio::spawn(async move {
        loop {
            let Ok((client, from)) = listener.accept().await else {
                continue;
            };
            let first = turn.fetch_add(1, Ordering::Relaxed);
            let header = protocol
                .is_understood()
                .then(|| proxy_protocol::header(from, LOAD_BALANCER));
            tokio::spawn(forward(client, header, Arc::clone(&replicas), first));
        }
    });
    Ok(())
}

async fn forward(
    mut client: TcpStream,
    header: Option<Vec<u8>>,
    replicas: Arc<[SocketAddr]>,
    first: usize,
) {
    for place in 0..replicas.len() {
        let replica = replicas[(first + place) % replicas.len()];
        let Ok(mut server) = TcpStream::connect(replica).await else {
            continue;
        };
        // Small TLS records of a handshake must not wait for each other.
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        if let Some(header) = &header
            && server.write_all(header).await.is_err()
        {
            return;
        }
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    }
}
