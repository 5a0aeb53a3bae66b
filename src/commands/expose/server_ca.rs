//! The files of the server certificate: the given ones, and the CA file for clients.

use std::path::Path;
use std::sync::Arc;

use super::ServerFlags;
use crate::commands::server_ca_file;
use crate::error::Failure;
use crate::io::clock;
use crate::io::files::{self, Access, NewFile};
use crate::io::terminal::Terminal;
use crate::pki::server::ServerIdentity;
use crate::plan::expose::ServerChoice;
use crate::resources::object_name::is_subdomain;

/// The source that `--server-certificate` names; its files are read and checked before anything
/// else is done.
pub(super) fn choice(flags: &ServerFlags) -> Result<ServerChoice, Failure> {
    let Some(source) = flags.server_certificate.as_deref() else {
        return Ok(ServerChoice::Auto);
    };
    match source {
        "auto" => return Ok(ServerChoice::Auto),
        "gardener" => return Ok(ServerChoice::Gardener),
        "cert-manager" => return Ok(ServerChoice::CertManager),
        "self-signed" => return Ok(ServerChoice::SelfSigned),
        _ => {}
    }
    if let Some(name) = source.strip_prefix("secret/") {
        return secret(name);
    }
    let Some((certificate, key)) = source.split_once(',') else {
        return Err(Failure::usage(format!("`--server-certificate {source}` is not a source of server certificates")).hint(
            "give `auto`, `gardener`, `cert-manager`, `self-signed`, `secret/NAME`, or two PEM files as `CERT,KEY`",
        ));
    };
    let chain = files::read(Path::new(certificate))?;
    let key_pem = zeroize::Zeroizing::new(files::read(Path::new(key))?);
    let identity =
        ServerIdentity::load(chain, key_pem.as_slice(), clock::now()).map_err(|error| {
            Failure::usage(format!(
                "`{certificate}` and `{key}` cannot be used as the server certificate"
            ))
            .caused_by(error)
        })?;
    Ok(ServerChoice::Given(Arc::new(identity)))
}

/// Reads the name of a server Secret (RFC 1123 subdomain); with the ending `-cacert` istiod would
/// read it as a client CA.
fn secret(name: &str) -> Result<ServerChoice, Failure> {
    if is_subdomain(name) && !name.ends_with("-cacert") {
        return Ok(ServerChoice::Secret(name.to_owned()));
    }
    Err(
        Failure::usage(format!("`{name}` is not the name of a server Secret"))
            .hint("the server Secret must be in the namespace of the gateway's Pods, and its name must not end in `-cacert`"),
    )
}

/// Writes the CA certificate that clients have to trust. If the default file cannot be written, that is a note; if a file that the user
/// named cannot be written, that is a failure.
pub(super) fn hand_over(
    ca: &str,
    host: &str,
    flags: &ServerFlags,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let path = flags.server_ca_out.clone();
    let path = path.unwrap_or_else(|| server_ca_file::path(host, ca, flags.force));
    let shown = path.display().to_string();
    if files::has_content(&path, ca.as_bytes()) {
        return Ok(());
    }
    let file = NewFile {
        path,
        content: ca.as_bytes(),
        access: Access::Public,
    };
    let written = files::make_folder(file.path.parent().unwrap_or(&file.path))
        .and_then(|_made| files::write_all(&[file], flags.force));
    match written {
        Ok(()) => {
            terminal.note(&format!(
                "the gateway's certificate is signed by a CA of kubectl-mtls: give `{shown}` to clients (`curl --cacert {shown}`)"
            ));
            Ok(())
        }
        Err(error) => {
            let failure = Failure::from(error).hint(
                "`--server-ca-out FILE` writes the server's CA elsewhere, `--force` overwrites",
            );
            if flags.server_ca_out.is_some() {
                return Err(failure);
            }
            terminal.warn(&format!(
                "could not write the server's CA, which clients have to trust, to `{shown}`: the file has other content, or the folder is not writable; `--server-ca-out FILE` writes the CA elsewhere, `--force` overwrites the file"
            ));
            Ok(())
        }
    }
}
