//! One replica's way to istiod. It can be held up: the replica then goes on with what it has loaded, as one does whose news
//! are late. It can be cut, too: then the replica has no connection at all.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Result, Trying};

/// What becomes of what istiod says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// It arrives.
    Flows,
    /// It arrives once it flows again.
    Held,
    /// There is no connection.
    Cut,
}

/// The way, open, held up or cut.
#[derive(Debug)]
pub(crate) struct Way {
    traffic: watch::Sender<Traffic>,
    listening: JoinHandle<()>,
}

impl Way {
    /// Listens on `address` and passes each connection on to istiod, until it is closed or the runtime ends.
    pub(crate) async fn open(address: SocketAddr, istiod: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .trying(|| format!("listen on {address}"))?;
        let (sender, traffic) = watch::channel(Traffic::Flows);
        let listening = tokio::spawn(async move {
            loop {
                if let Ok((replica, _)) = listener.accept().await
                    && *traffic.borrow() != Traffic::Cut
                {
                    tokio::spawn(pass(replica, istiod, traffic.clone()));
                }
            }
        });
        Ok(Self {
            traffic: sender,
            listening,
        })
    }

    /// Holds up what istiod says, lets it arrive, or ends all connections.
    pub(crate) fn set(&self, traffic: Traffic) {
        self.traffic.send_replace(traffic);
    }

    /// Listens no longer; the address is free when this returns.
    pub(crate) async fn close(mut self) {
        self.listening.abort();
        let _ = (&mut self.listening).await;
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn pass(replica: TcpStream, istiod: SocketAddr, mut traffic: watch::Receiver<Traffic>) {
    let Ok(istiod) = TcpStream::connect(istiod).await else {
        return;
    };
    let (mut asks, hears) = replica.into_split();
    let (says, mut is_asked) = istiod.into_split();
    let told = traffic.clone();
    tokio::select! {
        _ = traffic.wait_for(|traffic| *traffic == Traffic::Cut) => {}
        _ = tokio::io::copy(&mut asks, &mut is_asked) => {}
        _ = tell(says, hears, told) => {}
    }
}

async fn tell(
    mut says: OwnedReadHalf,
    mut hears: OwnedWriteHalf,
    mut traffic: watch::Receiver<Traffic>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = says.read(&mut bytes).await?;
        if read == 0
            || traffic
                .wait_for(|traffic| *traffic == Traffic::Flows)
                .await
                .is_err()
        {
            return Ok(());
        }
        hears.write_all(&bytes[..read]).await?;
    }
}
