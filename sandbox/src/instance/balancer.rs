//! The cloud's load balancer: hands each TCP connection to the next replica that accepts it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::error::{Result, Trying};
use crate::proxy_protocol::{self, ProxyProtocol};

/// A load balancer's replicas; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Balancer(Arc<RwLock<Vec<SocketAddr>>>);

impl Balancer {
    /// Listens on `address` and spreads connections over its replicas in turn, until the runtime ends.
    ///
    /// Connections begin with a PROXY header from `public`, the load balancer's address, where the replicas understand one.
    pub(crate) async fn start(
        &self,
        address: &str,
        public: Ipv4Addr,
        protocol: ProxyProtocol,
    ) -> Result<()> {
        let listener = TcpListener::bind(address)
            .await
            .trying(|| format!("listen on {address}"))?;
        let turn = AtomicUsize::new(0);
        let balancer = self.clone();
        tokio::spawn(async move {
            loop {
                let Ok((client, from)) = listener.accept().await else {
                    continue;
                };
                let header = protocol
                    .is_understood()
                    .then(|| proxy_protocol::header(from, public));
                let first = turn.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(client, header, balancer.replicas(), first));
            }
        });
        Ok(())
    }

    /// Sends connections to this replica, too.
    pub(crate) fn add(&self, replica: SocketAddr) {
        let mut replicas = self.0.write().unwrap_or_else(PoisonError::into_inner);
        replicas.push(replica);
    }

    /// Sends no further connections to this replica.
    pub(crate) fn remove(&self, replica: SocketAddr) {
        let mut replicas = self.0.write().unwrap_or_else(PoisonError::into_inner);
        replicas.retain(|other| *other != replica);
    }

    fn replicas(&self) -> Vec<SocketAddr> {
        let replicas = self.0.read().unwrap_or_else(PoisonError::into_inner);
        replicas.clone()
    }
}

async fn forward(
    mut client: TcpStream,
    header: Option<Vec<u8>>,
    replicas: Vec<SocketAddr>,
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
