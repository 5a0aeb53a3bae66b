//! The flags for the key that is certified: a new key, an existing one, or the key of a signing request.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use crate::commands::key_file::{PASSWORD_FLAG, read, requested, unsigned};
use crate::error::Failure;
use crate::io::terminal::Terminal;
use crate::pki::csr;
use crate::pki::key::{KeyType, PrivateKey};
use crate::plan::ClientKey;
use crate::plan::identity::Names;

/// The source of a name in the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// From the signing request
    Csr,
    /// From the client's name, and the flags
    Name,
}

/// Flags for the key that is certified.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Key")]
pub(super) struct KeyFlags {
    /// The kind of key: p256, p384, rsa2048, rsa3072, rsa4096
    #[arg(long, value_name = "KIND", default_value_t = KeyType::P256)]
    key_type: KeyType,
    /// Use the private key in this file instead of creating one: PKCS#8, encrypted or not, SEC1 or PKCS#1
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_type", "csr"], group = "key_at_hand")]
    key: Option<PathBuf>,
    /// Read the password of an encrypted `--key` from the first line of this file, or from stdin with `-`
    #[arg(long, value_name = "FILE|-", requires = "key_at_hand")]
    key_password_file: Option<PathBuf>,
    /// Encrypt the key that is written, with the password of the PKCS#12 file
    #[arg(long, conflicts_with_all = ["key", "csr"])]
    pub encrypt_key: bool,
    /// Sign this request (PKCS#10), or the one on stdin with `-`: the private key stays with its
    /// owner
    #[arg(
        long,
        value_name = "FILE|-",
        group = "requested",
        conflicts_with = "key_type"
    )]
    csr: Option<PathBuf>,
    /// Take the subject from the request, or from the name
    #[arg(
        long,
        value_enum,
        value_name = "SOURCE",
        default_value = "name",
        requires = "requested",
        conflicts_with = "subject"
    )]
    subject_from: Source,
    /// Also take the subject alternative names from the request
    #[arg(
        long,
        value_enum,
        value_name = "SOURCE",
        default_value = "name",
        requires = "requested"
    )]
    san_from: Source,
}

impl KeyFlags {
    /// The file of `--key`.
    pub fn file(&self) -> Option<&Path> {
        self.key.as_deref()
    }

    /// The kind of a new key.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// Refuses flags that belong to a single client.
    pub fn check_for_many(&self) -> Result<(), Failure> {
        if self.key.is_none() && self.csr.is_none() {
            return Ok(());
        }
        Err(
            Failure::usage("`--key` and `--csr` are for a single client")
                .hint("a table (`-f`) has a column `csr`"),
        )
    }

    /// The key that is certified, with the names that a signing request brings.
    pub fn resolve(
        &self,
        names: Names,
        terminal: &Terminal,
    ) -> Result<(ClientKey, Names), Failure> {
        if let Some(path) = &self.csr {
            return self.requested(path, names);
        }
        let key = match &self.key {
            Some(path) => ClientKey::Given(Arc::new(self.read(path, terminal)?)),
            None => ClientKey::New(self.key_type),
        };
        Ok((key, names))
    }

    /// Reads a key file, with the password that the flags give.
    pub fn read(&self, path: &Path, terminal: &Terminal) -> Result<PrivateKey, Failure> {
        let password = self.key_password_file.as_deref();
        read(path, (password, PASSWORD_FLAG), terminal)
    }

    /// The key of a signing request, with the names that are taken from the request.
    pub fn requested(&self, path: &Path, mut names: Names) -> Result<(ClientKey, Names), Failure> {
        let refused = |error: csr::Error| unsigned(path, error);
        let csr = requested(path)?;
        if self.subject_from == Source::Csr {
            names.subject = Some(csr.subject().map_err(refused)?);
        }
        if self.san_from == Source::Csr {
            let asked = csr.sans().map_err(refused)?;
            names.uris.extend(asked.uris);
            names.dns.extend(asked.dns);
            names.emails.extend(asked.emails);
            names.ips.extend(asked.ips);
        }
        let key = ClientKey::Elsewhere(csr.public_key_der().to_vec());
        Ok((key, names))
    }
}
