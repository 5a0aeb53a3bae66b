//! Why a release was not made.

use std::io;
use std::path::{Path, PathBuf};

/// A result of this tool.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a release was not made, in words for a developer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("`{}`: {source}", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be run.
    #[error("could not run `{program}`: {source}")]
    Program {
        /// Which one.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program failed, and has said why.
    #[error("`{0}` failed")]
    Failed(String),
    /// Something that can only be said in a sentence.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// What `map_err` takes where a file was touched.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }
}
