//! The flags for PKCS#12 files, of every command that writes them.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::pki::keystore::Profile;

/// How a PKCS#12 file is protected.
#[derive(Debug, Clone, Default, clap::Args)]
pub(in crate::commands) struct KeystoreFlags {
    /// Read the password of the PKCS#12 file from the first line of this file, or from stdin with `-`
    #[arg(long, value_name = "FILE|-")]
    pub p12_password_file: Option<PathBuf>,
    /// Who must be able to open the PKCS#12 file
    #[arg(long, value_enum, value_name = "WHO", default_value_t)]
    pub p12_profile: P12Profile,
}

/// Who must be able to open the PKCS#12 file.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(in crate::commands) enum P12Profile {
    /// Everything current: AES-256, HMAC-SHA256
    #[default]
    Modern,
    /// Also macOS before 15, and Windows up to Server 2016: triple DES, HMAC-SHA1
    Compat,
}

impl From<P12Profile> for Profile {
    fn from(profile: P12Profile) -> Self {
        match profile {
            P12Profile::Modern => Self::Modern,
            P12Profile::Compat => Self::Compat,
        }
    }
}
