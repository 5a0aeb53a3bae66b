//! The file with the server CA of kubectl-mtls, which signs a gateway's server certificate: `expose` writes it, and curl lines name it.

use std::path::{Path, PathBuf};

use crate::io::files;
use crate::pki::inspect::Certificate;
use crate::pki::server::is_ca_of;

const DEFAULT: &str = "server-ca.crt";

/// The file for the server CA of a host: `server-ca.crt`, or a file named after the host if `server-ca.crt` holds another CA and must not
/// be overwritten.
pub(super) fn path(host: &str, ca: &str, overwrites: bool) -> PathBuf {
    let default = PathBuf::from(DEFAULT);
    let is_free = !files::is_taken(&default) || files::has_content(&default, ca.as_bytes());
    if is_free || overwrites {
        return default;
    }
    PathBuf::from(format!("{host}-{DEFAULT}"))
}

/// The file in this folder with the server CA of an authority, which signs for all Gateways of the
/// authority.
pub(super) fn of_authority(authority: &str) -> Option<String> {
    let mut found = files::ending_with(Path::new("."), DEFAULT).into_iter();
    let found = found.find(|name| holds_ca_of(Path::new(name), authority));
    found.filter(|_| !authority.is_empty())
}

fn holds_ca_of(path: &Path, authority: &str) -> bool {
    let read = files::read_if_there(path).ok().flatten();
    let certificate = read.and_then(|pem| Certificate::from_pem(pem).ok());
    certificate.is_some_and(|ca| is_ca_of(&ca, authority))
}
