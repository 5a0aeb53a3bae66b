//! An eye on a host at every Envoy while something else happens: whom it asks for, and who gets in that must not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::caller::{Caller, Reply};
use crate::instance::{Instance, Replica};
use crate::{Error, Result};

/// A Secret takes some 150 ms from the API server to Envoy, so nothing that stays in force is missed.
const PAUSE: Duration = Duration::from_millis(25);

/// What Envoy answers where an AuthorizationPolicy keeps somebody out.
const FORBIDDEN: &str = "RBAC: access denied";

/// A watch that goes on until it is ended.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// How often every replica was looked at.
    pub rounds: u64,
    /// All names of CAs that a replica offered at any moment, DER.
    pub offered: BTreeSet<Vec<u8>>,
    /// What a stranger got who was not turned away, with the replica where it was.
    pub admitted: Vec<String>,
}

impl Watch {
    /// Watches a host at every replica that the instance's gateways have now. Each of the strangers must never reach the
    /// application.
    pub fn start(instance: &Instance, host: &str, strangers: &[Caller]) -> Result<Self> {
        Self::start_at(&instance.all_replicas(), host, strangers)
    }

    /// Watches a host at these replicas.
    pub fn start_at(replicas: &[Replica], host: &str, strangers: &[Caller]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Io {
                what: "start the watch".to_owned(),
                source,
            })?;
        let callers: Vec<Vec<Caller>> = replicas
            .iter()
            .map(|replica| {
                let at = |caller: &Caller| caller.at(replica.tls().to_string());
                strangers.iter().map(at).collect()
            })
            .collect();
        let (ended, host) = (stop.clone(), host.to_owned());
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !ended.load(Ordering::SeqCst) {
                runtime.block_on(look(&callers, &host, &mut seen))?;
                seen.rounds += 1;
                std::thread::sleep(PAUSE);
            }
            Ok(seen)
        });
        Ok(Self { stop, thread })
    }

    /// Ends the watch.
    pub fn end(self) -> Result<Seen> {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err(Error::Name("the watch broke off".to_owned())))
    }
}

async fn look(replicas: &[Vec<Caller>], host: &str, seen: &mut Seen) -> Result<()> {
    for (number, strangers) in replicas.iter().enumerate() {
        if let Some(any) = strangers.first() {
            seen.offered
                .extend(any.offered(host).await?.into_iter().flatten());
        }
        for stranger in strangers {
            let reply = stranger.get(host, "/headers", &[]).await?;
            // A Gateway for all hosts that asks nobody may answer that it knows no such route, or that a policy forbids it.
            let is_admitted = match &reply {
                Reply::Answered { status: 403, body } => body != FORBIDDEN,
                Reply::Answered { status, .. } => *status != 404,
                _ => false,
            };
            if is_admitted {
                seen.admitted.push(format!("replica {number}: {reply:?}"));
            }
        }
    }
    Ok(())
}
