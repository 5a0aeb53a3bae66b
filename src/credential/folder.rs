//! The folder that receives a client's files: their names, and what it holds already.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::formats::{FileFormat, FileFormats};
use crate::error::Failure;
use crate::io::files::{self, NotWritten, is_taken};
use crate::pki::csr::Csr;
use crate::pki::inspect::Certificate;
use crate::pki::key::{self, PrivateKey};
use crate::pki::keystore::{Profile, check_alias};
use crate::pki::names::ClientName;
use crate::plan::ClientKey;
use crate::plan::external_ca::request::ExistingRequest;
use crate::plan::issue_client::ExistingFiles;

pub(super) const CLIENT_CA: &str = "client-ca.crt";
/// The suffix of the certificate with the CAs between it and the root.
pub const FULL_CHAIN: &str = "fullchain.crt";
/// The suffix of the file with key and certificates.
pub const COMBINED: &str = "combined.pem";

/// How a client's files are written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the client gets.
    pub formats: FileFormats,
    /// Whether a new key is encrypted.
    pub encrypts_key: bool,
    /// Who must be able to open the keystore.
    pub profile: Profile,
    /// The file with the password, `-` for stdin; a terminal asks without, and where there is none, a password is generated.
    pub password_file: Option<PathBuf>,
    /// Whether files may be overwritten.
    pub force: bool,
}

/// Where the files of one client go.
pub struct ClientFolder<'a> {
    /// The folder.
    pub path: &'a Path,
    /// The client.
    pub name: &'a ClientName,
    /// Its key: only a new one is written, and only where it is at hand there is a keystore.
    pub key: &'a ClientKey,
    /// Where a given key lies.
    pub key_file: Option<&'a Path>,
    /// How its files are written.
    pub settings: &'a Settings,
}

impl ClientFolder<'_> {
    /// Refuses a folder that cannot be written to, or made, and a name that the keystore cannot have.
    pub fn check(&self) -> Result<(), Failure> {
        self.check_name()?;
        if self.settings.formats.is_secret() {
            return Ok(());
        }
        check_out(self.path)
    }

    /// Refuses a name that the keystore cannot have.
    pub fn check_name(&self) -> Result<(), Failure> {
        if !self.has_keystore() {
            return Ok(());
        }
        check_alias(self.name.as_str()).map_err(|error| {
            Failure::usage(format!("no PKCS#12 file for `{}`", self.name))
                .caused_by(error)
                .hint("or leave `p12` out of `--format`")
        })
    }

    /// Whether a format is written.
    pub fn has(&self, format: FileFormat) -> bool {
        self.settings.formats.has(format)
    }

    /// Whether a keystore is written, which needs a password.
    pub fn has_keystore(&self) -> bool {
        self.has(FileFormat::P12) && !matches!(self.key, ClientKey::Elsewhere(_))
    }

    /// Whether the key is written into a file of its own: a given one stays where it is.
    pub fn writes_key(&self) -> bool {
        let has_own_file = self.has(FileFormat::Pem) || self.has(FileFormat::Fullchain);
        has_own_file && matches!(self.key, ClientKey::New(_))
    }

    /// Whether the key is new and gets a password.
    pub(super) fn encrypts_new_key(&self) -> bool {
        self.settings.encrypts_key && matches!(self.key, ClientKey::New(_))
    }

    /// Whether a password is needed: for the keystore, or for the key.
    pub fn needs_password(&self) -> bool {
        let writes_pem = self.writes_key() || self.has(FileFormat::Combined);
        self.has_keystore() || (self.encrypts_new_key() && writes_pem)
    }

    pub(super) fn file_name(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.name.file_stem())
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.path.join(self.file_name(suffix))
    }

    fn files(&self, suffixes: &[(&str, bool)]) -> Vec<PathBuf> {
        let written = suffixes.iter().filter(|(_, is_written)| *is_written);
        written.map(|(suffix, _)| self.file(suffix)).collect()
    }

    /// The files of the client itself, but a generated password.
    fn own(&self) -> Vec<PathBuf> {
        if self.settings.formats.is_secret() {
            return Vec::new();
        }
        self.files(&[
            ("crt", true),
            ("key", self.writes_key()),
            (FULL_CHAIN, self.has(FileFormat::Fullchain)),
            ("p12", self.has_keystore()),
            (COMBINED, self.has(FileFormat::Combined)),
        ])
    }

    /// The file that the password is for.
    pub(super) fn password_for(&self) -> String {
        self.file_name(if self.has_keystore() { "p12" } else { "key" })
    }

    /// The name of the file with a generated password.
    pub(super) fn password_name(&self) -> String {
        format!("{}.password", self.password_for())
    }

    /// The file with a generated password.
    pub fn password_file(&self) -> PathBuf {
        self.path.join(self.password_name())
    }

    /// What stands there already under the names that would be written, completed where a run was killed before it had written
    /// all of them; where files may be overwritten, none is in the way.
    pub fn existing(&self) -> Result<ExistingFiles, Failure> {
        if self.settings.formats.is_secret() {
            return Ok(ExistingFiles::default());
        }
        let were_completed = self.complete()?;
        let password = self.needs_password().then(|| self.password_file());
        let client_ca = self.path.join(CLIENT_CA);
        let client_ca = self.is_in_the_way(&client_ca).then_some(client_ca);
        Ok(ExistingFiles {
            in_the_way: self.in_the_way(self.own().into_iter().chain(password)),
            certificate: self.delivered(),
            client_ca: client_ca.map(|path| files::read(&path)).transpose()?,
            were_completed,
        })
    }

    /// The same, where the folder may be one of the client's own below `out`, which need not exist.
    pub fn existing_below(&self, out: &Path) -> Result<ExistingFiles, Failure> {
        if self.path != out {
            if !is_taken(self.path) {
                return Ok(ExistingFiles::default());
            }
            check_own(self.path)?;
        }
        self.existing()
    }

    /// What stands there already of a signing request, completed where a run was killed.
    pub fn existing_request(&self) -> Result<ExistingRequest, Failure> {
        let files = self.request_files(self.needs_password());
        let is_complete = self.complete()? && files.iter().all(|path| is_taken(path));
        let path = self.file("csr");
        let read = || {
            Csr::from_pem(files::read(&path)?).map_err(|error| {
                Failure::refused(format!("`{}` cannot be used", path.display())).caused_by(error)
            })
        };
        Ok(ExistingRequest {
            completed: is_complete.then(read).transpose()?,
            in_the_way: self.in_the_way(files),
        })
    }

    fn request_files(&self, with_password: bool) -> Vec<PathBuf> {
        self.files(&[
            ("csr", true),
            ("key", self.writes_key()),
            ("key.password", with_password),
        ])
    }

    fn is_in_the_way(&self, path: &Path) -> bool {
        !self.settings.force && is_taken(path)
    }

    fn in_the_way(&self, files: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
        let files = files.into_iter().filter(|path| self.is_in_the_way(path));
        files.map(|path| self.shown(&path)).collect()
    }

    /// The certificate of files that are complete: they are all there, and the certificate is the key's.
    fn delivered(&self) -> Option<Certificate> {
        if !self.own().iter().all(|path| path.exists()) {
            return None;
        }
        let certificate = Certificate::from_pem(files::read(&self.file("crt")).ok()?).ok()?;
        let is_its_key = match self.key {
            ClientKey::New(_) => self.holds_key_of(&certificate)?,
            ClientKey::Given(key) => key.matches(&certificate),
            ClientKey::Elsewhere(public) => public == certificate.public_key_der(),
        };
        is_its_key.then_some(certificate)
    }

    /// The certificate that stands under the client's name, perhaps with its chain.
    pub(super) fn standing(&self) -> Option<Certificate> {
        let pem = files::read(&self.file("crt")).ok()?;
        Certificate::many_from_pem(pem).ok()?.into_iter().next()
    }

    /// What is there already but for this certificate itself, which stays as it is.
    pub fn existing_beside(&self, certificate: &Certificate) -> Result<ExistingFiles, Failure> {
        let mut existing = self.existing()?;
        if self.standing().as_ref() == Some(certificate) {
            let own = self.shown(&self.file("crt"));
            existing.in_the_way.retain(|file| *file != own);
        }
        Ok(existing)
    }

    fn holds_key_of(&self, certificate: &Certificate) -> Option<bool> {
        let suffix = if self.writes_key() {
            "key"
        } else if self.has(FileFormat::Combined) {
            COMBINED
        } else {
            // A keystore stays closed: nobody is asked for its password only to compare.
            return Some(true);
        };
        let pem = Zeroizing::new(files::read(&self.file(suffix)).ok()?);
        match PrivateKey::from_pem(&*pem) {
            Ok(key) => Some(key.matches(certificate)),
            // The same: files are written all or none.
            Err(key::Error::Encrypted) => Some(self.settings.encrypts_key),
            Err(_) => None,
        }
    }

    /// Completes the files of a run that was killed between two of them; says whether there was one.
    fn complete(&self) -> Result<bool, Failure> {
        let completed = files::complete(self.path, &self.name.file_stem(), self.settings.force);
        completed.map_err(|error| {
            Failure::from(error).hint("move it away, or overwrite it with `--force`")
        })
    }

    /// The files that were written, as paths.
    pub fn written(&self, with_password: bool, with_client_ca: bool) -> Vec<String> {
        if self.settings.formats.is_secret() {
            return Vec::new();
        }
        let password = with_password.then(|| self.password_file());
        let client_ca = with_client_ca.then(|| self.path.join(CLIENT_CA));
        let files = self.own().into_iter().chain(password).chain(client_ca);
        files.map(|path| self.shown(&path)).collect()
    }

    /// The files of a signing request that were written, as paths, the request first.
    pub fn written_request(&self, with_password: bool) -> Vec<String> {
        let files = self.request_files(with_password).into_iter();
        files.map(|path| self.shown(&path)).collect()
    }

    /// The path of the client's file of this suffix, as it is printed.
    pub fn path_of(&self, suffix: &str) -> String {
        self.shown(&self.file(suffix))
    }

    /// A path in the folder, as it is printed.
    pub fn shown(&self, path: &Path) -> String {
        let path = if self.path == Path::new(".") {
            path.strip_prefix(".").unwrap_or(path)
        } else {
            path
        };
        path.display().to_string()
    }
}

/// Refuses a folder that cannot be written to, or made; it may be a symbolic link to one.
pub fn check_out(path: &Path) -> Result<(), Failure> {
    if let Some(target) = files::misled(path) {
        return Err(Failure::usage(format!(
            "`{}` is a symbolic link to `{}`, which is no folder",
            path.display(),
            target.display()
        ))
        .hint("name a folder with `--out`"));
    }
    files::check_writable(path).map_err(hinted)
}

/// Refuses a client's own folder that is a symbolic link: whoever may write beside it would choose where the key goes.
fn check_own(path: &Path) -> Result<(), Failure> {
    if files::is_link(path) {
        return Err(Failure::refused(format!(
            "`{}` is a symbolic link, and a client's folder is none",
            path.display()
        ))
        .hint("remove it, or write elsewhere with `--out`"));
    }
    Ok(())
}

/// What helps where a client's files cannot be written.
pub fn hinted(error: NotWritten) -> Failure {
    let hint = match error.kind() {
        ErrorKind::AlreadyExists => "`--force` overwrites it, `--out DIR` writes elsewhere",
        _ => "name a folder that you may write to with `--out`",
    };
    Failure::from(error).hint(hint)
}
