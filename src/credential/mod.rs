//! A client's files: the formats of its credential, the layout of its folder, the content of the files, and writing them in the order in
//! which nothing is lost.
//!
//! Reads and writes files through `io`, and asks for their password. Has no access to flags, clusters and CAs, makes no decision about
//! certificates, and prints nothing.

mod contents;
mod folder;
mod formats;
mod password;
#[cfg(test)]
mod tests;
mod writing;

pub use contents::secret;
pub use folder::{COMBINED, ClientFolder, FULL_CHAIN, Settings, check_out, hinted};
pub use formats::{FileFormat, FileFormats, SecretFormat};
pub use password::{Password, read_password};
pub use writing::FolderWriter;
