//! Reads keys and signing requests from files that users name.

use std::path::Path;

use zeroize::Zeroizing;

use crate::credential::read_password;
use crate::error::Failure;
use crate::io::files;
use crate::io::prompt::hidden;
use crate::io::terminal::Terminal;
use crate::pki::csr::{self, Csr};
use crate::pki::key::{self, PrivateKey};
use crate::plan::command_line::quoted;
use crate::resources::printable::printable_line;

/// The flag for the password of a client's key.
pub(super) const PASSWORD_FLAG: &str = "--key-password-file";

/// Reads a private key; the password of an encrypted key comes from the file that a flag names, or from the user.
pub(super) fn read(
    path: &Path,
    (source, flag): (Option<&Path>, &str),
    terminal: &Terminal,
) -> Result<PrivateKey, Failure> {
    let pem = Zeroizing::new(files::read(path)?);
    warn_if_exposed(path, terminal);
    let unusable = |error: key::Error| {
        Failure::refused(format!("the key in `{}` cannot be used", path.display())).caused_by(error)
    };
    match PrivateKey::from_pem(&*pem) {
        Err(key::Error::Encrypted) => {}
        other => return other.map_err(unusable),
    }
    let shown = path.display().to_string();
    let password = match source {
        Some(file) => read_password(file)?,
        None if terminal.is_interactive() => {
            hidden(&format!("Password of `{}`: ", printable_line(&shown)))?
        }
        None => {
            return Err(Failure::usage(format!(
                "the key in `{shown}` is encrypted, and without a terminal its password cannot be asked for"
            ))
            .hint(format!("give the password with `{flag}`")));
        }
    };
    PrivateKey::from_encrypted_pem(&*pem, &password).map_err(unusable)
}

/// Warns of a private key that other users may read, with the command that changes the mode.
pub(super) fn warn_if_exposed(path: &Path, terminal: &Terminal) {
    if let Some(mode) = files::exposed(path) {
        let shown = path.display().to_string();
        terminal.warn(&format!(
            "other users of this machine may read the private key `{shown}` (mode {mode:04o}); to restrict the file to your user, run:\n  chmod 600 {}",
            quoted(&shown)
        ));
    }
}

/// Reads a signing request from a file, or from stdin with `-`.
pub(super) fn requested(path: &Path) -> Result<Csr, Failure> {
    let pem = files::read_or_stdin(path, "the signing request")?;
    Csr::from_pem(&pem).map_err(|error| unsigned(path, error))
}

/// Why a signing request is not signed.
pub(super) fn unsigned(path: &Path, error: csr::Error) -> Failure {
    Failure::refused(format!("`--csr {}` cannot be signed", path.display())).caused_by(error)
}
