//! The tokio runtime, started only by commands that talk to a cluster.

use crate::error::Failure;

/// Runs a command's future on one thread: its parallel reads wait for the network, not for a processor.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::failed("could not start the runtime").caused_by(error))?;
    let result = runtime.block_on(super::interrupt::unless_interrupted(future));
    // DNS look-ups of the standard library cannot be cancelled; nobody waits for them.
    runtime.shutdown_background();
    result
}

/// Runs a future that never waits, because all that it touches are files.
pub fn run_without_waiting<T>(
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    futures::executor::block_on(future)
}
