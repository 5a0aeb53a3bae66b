//! What can go wrong in the sandbox, in words that name the part and its log.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine cannot run the parts.
    #[error("the sandbox runs on Linux x86_64 only; this is {os} {architecture}")]
    Platform {
        /// Operating system as Rust names it.
        os: &'static str,
        /// Processor architecture as Rust names it.
        architecture: &'static str,
    },
    /// A program that the sandbox needs is missing or too old.
    #[error("{0}")]
    Tool(String),
    /// A part could not be built or downloaded.
    #[error("cannot build {part}: {reason}")]
    Build {
        /// The part's name and version.
        part: String,
        /// The last lines that the build tool wrote.
        reason: String,
    },
    /// A file or process of the machine did not do what was asked.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// The API server refused a request.
    #[error("cannot {what}: {source}")]
    Api {
        /// What was tried.
        what: String,
        /// The answer of the API server.
        source: Box<kube::Error>,
    },
    /// A part ended although it should run.
    #[error("{part} ended early; the end of its log {log}:\n{tail}", log = log.display())]
    Ended {
        /// The part's name.
        part: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s; the logs are in {logs}", logs = logs.display())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// Where to look.
        logs: PathBuf,
    },
    /// Data that was read is not what it should be.
    #[error("{0}")]
    Malformed(String),
    /// An instance with that name runs already, or none does.
    #[error("{0}")]
    Name(String),
    /// One of the stand-ins could not do its work.
    #[error("a stand-in failed: {}", with_cause(.0))]
    StandIn(#[from] crate::stand_in::Error),
}

/// Result of everything in the sandbox.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what was tried when something of the operating system or the API fails.
pub(crate) trait Trying<T> {
    /// Names what was tried, as it stands after "cannot".
    fn trying(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Trying<T> for io::Result<T> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io {
            what: what(),
            source,
        })
    }
}

impl<T> Trying<T> for kube::Result<T> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Api {
            what: what(),
            source: Box::new(source),
        })
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Returns the last lines of a log file; empty when it cannot be read.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut last: Vec<&str> = text.lines().rev().take(lines).collect();
    last.reverse();
    last.join("\n")
}
