//! Ctrl-C ends a command between two effects of its loop; a rerun continues.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Failure;

/// The future's result, or the interruption if that comes first.
pub async fn unless_interrupted<T>(
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        // Asked first, so that Ctrl-C is listened for before the future does anything.
        biased;
        _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
        result = future => result,
    }
}

/// The signals that ask a command to end: Ctrl-C, and those of a terminal that closes and of a system that shuts down.
pub struct Signals([Signal; 3]);

impl Signals {
    /// Listens from now on; nothing ends the process any more but the command itself.
    pub fn listen() -> Result<Self, Failure> {
        let on = |kind| signal(kind);
        let all = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hangup] = all.map(on);
        let failed = |error| Failure::failed("could not listen for signals").caused_by(error);
        let listening = || Ok::<_, std::io::Error>([interrupt?, terminate?, hangup?]);
        listening().map(Self).map_err(failed)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
