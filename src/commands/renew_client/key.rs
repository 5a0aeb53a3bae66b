//! The flags for the key of a renewed certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commands::key_file::{PASSWORD_FLAG, read, requested};
use crate::error::Failure;
use crate::io::terminal::Terminal;
use crate::pki::key::KeyType;
use crate::plan::ClientKey;
use crate::plan::renew_client::Key;

/// Flags for the new key.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Key")]
pub(super) struct KeyFlags {
    /// Generate a key of this kind: p256, p384, rsa2048, rsa3072, rsa4096 [default: the kind of the
    /// old key]
    #[arg(long, value_name = "KIND")]
    key_type: Option<KeyType>,
    /// Use the private key in this file, such as the old one, instead of generating one: PKCS#8, encrypted or not, SEC1 or PKCS#1
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_type", "csr"])]
    key: Option<PathBuf>,
    /// Read the password of an encrypted `--key` from the first line of this file, or from stdin with `-`
    #[arg(long, value_name = "FILE|-", requires = "key")]
    key_password_file: Option<PathBuf>,
    /// Encrypt the key that is written, with the password of the PKCS#12 file
    #[arg(long, conflicts_with_all = ["key", "csr"])]
    pub encrypt_key: bool,
    /// Certify the key of this signing request (PKCS#10), or of the one on stdin with `-`; only the key is used
    #[arg(long, value_name = "FILE|-", conflicts_with = "key_type")]
    csr: Option<PathBuf>,
}

impl KeyFlags {
    /// The file of `--key`.
    pub fn file(&self) -> Option<&Path> {
        self.key.as_deref()
    }

    /// Whether the user gave the key.
    pub fn is_given(&self) -> bool {
        self.key.is_some() || self.csr.is_some()
    }

    /// Reads the key that the flags name.
    pub fn resolve(&self, terminal: &Terminal) -> Result<Key, Failure> {
        let key = if let Some(path) = &self.csr {
            ClientKey::Elsewhere(requested(path)?.public_key_der().to_vec())
        } else if let Some(path) = &self.key {
            let password = self.key_password_file.as_deref();
            ClientKey::Given(Arc::new(read(path, (password, PASSWORD_FLAG), terminal)?))
        } else if let Some(key_type) = self.key_type {
            ClientKey::New(key_type)
        } else {
            return Ok(Key::Alike);
        };
        Ok(Key::Chosen(key))
    }
}

/// The key, as far as it decides which files are written; the kind of a new key does not.
pub(super) fn for_files(key: &Key) -> ClientKey {
    match key {
        Key::Chosen(key) => key.clone(),
        Key::Alike => ClientKey::New(KeyType::default()),
    }
}
