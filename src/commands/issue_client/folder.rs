//! The folder that receives a client's files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::commands::password::Password;
use crate::error::Failure;
use crate::io::files::{self, Access, NewFile, NotWritten};
use crate::pki::inspect::Certificate;
use crate::pki::key::PrivateKey;
use crate::pki::keystore::{Profile, pkcs12};
use crate::pki::names::ClientName;
use crate::plan::issue_client::Held;
use crate::plan::{Delivery, Identity};

const CLIENT_CA: &str = "client-ca.crt";

/// Where the files of one client go.
pub(super) struct Folder<'a> {
    path: &'a Path,
    name: &'a ClientName,
}

impl<'a> Folder<'a> {
    /// A folder that exists and can be written to.
    pub fn new(path: &'a Path, name: &'a ClientName) -> Result<Self, Failure> {
        files::check_writable(path).map_err(hinted)?;
        Ok(Self { path, name })
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.path
            .join(format!("{}.{suffix}", self.name.file_stem()))
    }

    /// What stands there already under the names that would be written; nothing with `force`.
    pub fn held(&self, force: bool) -> Result<Held, Failure> {
        if force {
            return Ok(Held::default());
        }
        let paths = ["crt", "key", "p12", "p12.password"].map(|suffix| self.file(suffix));
        let in_the_way: Vec<String> = paths
            .iter()
            .filter(|path| path.exists())
            .map(|path| self.shown(path))
            .collect();
        let certificate = if in_the_way.is_empty() {
            None
        } else {
            self.delivered()
        };
        let client_ca = self.path.join(CLIENT_CA);
        Ok(Held {
            in_the_way,
            certificate,
            client_ca: client_ca
                .exists()
                .then(|| files::read(&client_ca))
                .transpose()?,
        })
    }

    /// The certificate of files that are complete: its key and its keystore stand beside it.
    fn delivered(&self) -> Option<Certificate> {
        let certificate = Certificate::from_pem(files::read(&self.file("crt")).ok()?).ok()?;
        let pem = zeroize::Zeroizing::new(files::read(&self.file("key")).ok()?);
        let key = PrivateKey::from_pem(&*pem).ok()?;
        (key.matches(&certificate) && self.file("p12").exists()).then_some(certificate)
    }

    /// Writes all files, or none.
    pub fn deliver(
        &self,
        identity: &Identity,
        delivery: &Delivery,
        password: &Password,
        force: bool,
    ) -> Result<(), Failure> {
        let Identity { key, certificate } = identity;
        let chain = std::slice::from_ref(&delivery.issuer);
        let store = pkcs12(
            key,
            certificate,
            chain,
            &password.text,
            self.name.as_str(),
            Profile::Modern,
        )
        .map_err(|error| Failure::failed("no PKCS#12 file can be made").caused_by(error))?;
        let key_pem = key.to_pem();
        let certificate_pem = certificate.pem();
        let file = |path: PathBuf, content, access| NewFile {
            path,
            content,
            access,
        };
        // The certificate comes last: where it stands, the other files do too.
        let mut wanted = vec![
            file(
                self.path.join(CLIENT_CA),
                delivery.trusted_pem.as_bytes(),
                Access::Public,
            ),
            file(self.file("key"), key_pem.as_bytes(), Access::Private),
            file(self.file("p12"), store.as_slice(), Access::Private),
            file(self.file("crt"), certificate_pem.as_bytes(), Access::Public),
        ];
        if password.generated {
            wanted.insert(
                0,
                file(
                    self.file("p12.password"),
                    password.text.as_bytes(),
                    Access::Private,
                ),
            );
        }
        files::write_all(&wanted, force).map_err(hinted)
    }

    /// The files that were written.
    pub fn written(&self, with_password: bool) -> Vec<String> {
        let suffixes = ["crt", "key", "p12"]
            .into_iter()
            .chain(with_password.then_some("p12.password"));
        let own = suffixes.map(|suffix| self.file(suffix));
        own.chain([self.path.join(CLIENT_CA)])
            .map(|path| self.shown(&path))
            .collect()
    }

    fn shown(&self, path: &Path) -> String {
        let path = if self.path == Path::new(".") {
            path.strip_prefix(".").unwrap_or(path)
        } else {
            path
        };
        path.display().to_string()
    }

    /// A request that the certificate opens.
    pub fn curl(&self, host: &str) -> String {
        let [certificate, key] =
            ["crt", "key"].map(|suffix| quoted(&self.shown(&self.file(suffix))));
        format!("curl --cert {certificate} --key {key} https://{host}/")
    }
}

fn hinted(error: NotWritten) -> Failure {
    let hint = match error.kind() {
        ErrorKind::AlreadyExists => "`--force` overwrites it, `--out DIR` writes elsewhere",
        ErrorKind::NotFound => "create the folder first, or name another one with `--out`",
        _ => "name a folder that you may write to with `--out`",
    };
    Failure::from(error).hint(hint)
}

/// A word of a POSIX shell.
fn quoted(text: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./@+,".contains(character);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks_and_quotes_stay_one_word_of_the_shell() {
        assert_eq!(quoted("alice.crt"), "alice.crt");
        assert_eq!(quoted("it's a.crt"), "'it'\\''s a.crt'");
    }
}
