//! The formats of a client's certificate and key.

use clap::ValueEnum;

/// A format of a client's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// The key in a file of its own, NAME.key
    Pem,
    /// The certificate with the CAs between it and the root, NAME.fullchain.crt, and NAME.key
    Fullchain,
    /// Key, certificate and CA in one file for browsers, Java and Windows, NAME.p12; has a password
    P12,
    /// Key, certificate and the CAs between it and the root in one PEM file, NAME.combined.pem
    Combined,
    /// A Secret of type kubernetes.io/tls on stdout, in YAML or (`-o json`) JSON; nothing is written into a file
    Secret,
}

/// All formats of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFormats {
    /// These files, together with the certificate and the CAs that gateways trust.
    Files(Vec<FileFormat>),
    /// A Secret on stdout.
    Secret(SecretFormat),
}

/// How a Secret is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFormat {
    /// The Secret's namespace, if one was given.
    pub namespace: Option<String>,
    /// Print JSON instead of YAML.
    pub as_json: bool,
}

impl FileFormats {
    /// Whether a format is among the files.
    pub fn has(&self, format: FileFormat) -> bool {
        matches!(self, Self::Files(formats) if formats.contains(&format))
    }

    /// Whether nothing is written into files.
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }
}
