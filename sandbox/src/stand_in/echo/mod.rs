//! An application to talk to: it answers with what it was asked, so that a client sees which headers came through.

mod answer;
mod deploy;

use std::net::{IpAddr, SocketAddr};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(super) use deploy::{SERVICE_PORT, deploy};

/// An echo that a Service of the cluster leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The Service's port.
    pub port: u16,
    /// Where the process itself listens.
    pub address: SocketAddr,
}

/// Answers HTTP/1.1 on a free port of the address until the tasks end.
pub(super) async fn serve(tasks: &mut JoinSet<()>, address: IpAddr) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((address, 0)).await?;
    let bound = listener.local_addr()?;
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            if let Ok((stream, peer)) = listener.accept().await {
                let service = service_fn(move |request| answer::answer(request, peer.ip()));
                // A broken connection is the client's business.
                connections
                    .spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(bound)
}
