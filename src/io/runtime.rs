//! The tokio runtime, started only by commands that talk to a cluster.

use crate::error::Failure;

/// Runs a command's future on one thread: its parallel reads wait for the network, not for a processor.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let thread = OneThread::start()?;
    let result = thread.run(future);
    // DNS look-ups of the standard library cannot be cancelled; nobody waits for them.
    thread.0.shutdown_background();
    result
}

/// One thread for several futures, one after the other, so that the connections of one are used by the next.
pub struct OneThread(tokio::runtime::Runtime);

impl OneThread {
    /// Starts the runtime.
    pub fn start() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .map(Self)
            .map_err(|error| Failure::failed("could not start the runtime").caused_by(error))
    }

    /// Runs a future until it ends or a signal comes.
    pub fn run<T>(&self, future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.0
            .block_on(super::interrupt::unless_interrupted(future))
    }

    /// Runs a future that listens for signals itself.
    pub fn run_to_its_end<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}

/// Runs a future that never waits, because it uses files only.
pub fn run_without_waiting<T>(
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    futures::executor::block_on(future)
}
