//! Ctrl-C ends a command between two effects of its loop; a rerun continues.

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
