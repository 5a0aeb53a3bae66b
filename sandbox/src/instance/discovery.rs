//! One replica's way to istiod. It can be held up: the replica then goes on with what it has loaded, as one does whose news
//! are late.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Result, Trying};

/// The way, open or held up.
#[derive(Debug)]
pub(crate) struct Way {
    held: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

impl Way {
    /// Listens on `address` and passes each connection on to istiod, until it is closed or the runtime ends.
    pub(crate) async fn open(address: SocketAddr, istiod: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .trying(|| format!("listen on {address}"))?;
        let (sender, held) = watch::channel(false);
        let listening = tokio::spawn(async move {
            loop {
                if let Ok((replica, _)) = listener.accept().await {
                    tokio::spawn(pass(replica, istiod, held.clone()));
                }
            }
        });
        Ok(Self {
            held: sender,
            listening,
        })
    }

    /// Holds up what istiod says, or lets it arrive.
    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
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

async fn pass(replica: TcpStream, istiod: SocketAddr, held: watch::Receiver<bool>) {
    let Ok(istiod) = TcpStream::connect(istiod).await else {
        return;
    };
    let (mut asks, hears) = replica.into_split();
    let (says, mut is_asked) = istiod.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut asks, &mut is_asked) => {}
        _ = tell(says, hears, held) => {}
    }
}

async fn tell(
    mut says: OwnedReadHalf,
    mut hears: OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = says.read(&mut bytes).await?;
        if read == 0 || held.wait_for(|held| !held).await.is_err() {
            return Ok(());
        }
        hears.write_all(&bytes[..read]).await?;
    }
}
