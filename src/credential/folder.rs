//! The folder that receives a client's files: the names of the files, and the ones that exist
//! already.

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
    /// The formats of the client's files.
    pub formats: FileFormats,
    /// Whether a new key is encrypted.
    pub encrypts_key: bool,
    /// The programs that must be able to open the keystore.
    pub profile: Profile,
    /// The file with the password, `-` for stdin; without it the terminal asks, and without a terminal a password is generated.
    pub password_file: Option<PathBuf>,
    /// Whether files may be overwritten.
    pub force: bool,
}

/// The folder for the files of one client.
pub struct ClientFolder<'a> {
    /// The folder.
    pub path: &'a Path,
    /// The client's name.
    pub name: &'a ClientName,
    /// The client's key: only a new key is written, and a keystore needs the private key.
    pub key: &'a ClientKey,
    /// The file of a given key.
    pub key_file: Option<&'a Path>,
    /// How the client's files are written.
    pub settings: &'a Settings,
}

impl ClientFolder<'_> {
    /// Refuses a folder that cannot be written to or created, and a name that a keystore cannot have.
    pub fn check(&self) -> Result<(), Failure> {
        self.check_name()?;
        if self.settings.formats.is_secret() {
            return Ok(());
        }
        check_out(self.path)
    }

    /// Refuses files of the client in the place of files that the run reads: a given key, or those of a CA. `--force` does not allow it,
    /// unless the new file has the same key.
    pub fn check_inputs<'p>(
        &self,
        inputs: impl IntoIterator<Item = &'p Path>,
    ) -> Result<(), Failure> {
        let password = self.needs_password().then(|| self.password_file());
        let own: Vec<PathBuf> = self.own().into_iter().chain(password).collect();
        let combined = self.file(COMBINED);
        for input in inputs {
            let keeps_key = |path: &PathBuf| self.key_file == Some(input) && *path == combined;
            let mut replaced = own.iter().filter(|path| files::replaces(path, input));
            if let Some(path) = replaced.find(|path| !keeps_key(path)) {
                return Err(Failure::usage(format!(
                    "`{}`, a file of the client `{}`, would replace `{}`",
                    self.shown(path),
                    self.name,
                    input.display()
                ))
                .hint("give the client another name, or write elsewhere with `--out DIR`"));
            }
        }
        Ok(())
    }

    /// Refuses a name that a keystore cannot have, and one whose certificate would have the name of the file with the client CA.
    pub fn check_name(&self) -> Result<(), Failure> {
        let is_client_ca = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|name| name.eq_ignore_ascii_case(CLIENT_CA))
        };
        if self.own().iter().any(is_client_ca) {
            return Err(Failure::usage(format!(
                "the certificate of a client named `{}` would be written to `{CLIENT_CA}`, which holds the client CA",
                self.name
            ))
            .hint("give the client another name"));
        }
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

    /// Whether the key is written into a file of its own; a given key is not.
    pub fn writes_key(&self) -> bool {
        let has_own_file = self.has(FileFormat::Pem) || self.has(FileFormat::Fullchain);
        has_own_file && matches!(self.key, ClientKey::New(_))
    }

    /// Whether the key is new and gets a password.
    pub(super) fn encrypts_new_key(&self) -> bool {
        self.settings.encrypts_key && matches!(self.key, ClientKey::New(_))
    }

    /// Whether a password is needed, for the keystore or for the key.
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

    /// The files of the client, except the one with a generated password.
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

    /// The name of the file that the password protects.
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

    /// The existing files under the names that would be written. Files of a killed run are completed first; files that may be overwritten
    /// are not reported.
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

    /// As [`Self::existing`], for a client's own folder below `out`, which need not exist.
    pub fn existing_below(&self, out: &Path) -> Result<ExistingFiles, Failure> {
        if self.path != out {
            if !is_taken(self.path) {
                return Ok(ExistingFiles::default());
            }
            check_own(self.path)?;
        }
        self.existing()
    }

    /// The existing files of a signing request; those of a killed run are completed first.
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

    /// The certificate of a complete set of files: all files exist, and the certificate belongs to the key.
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

    /// The certificate in the client's certificate file, perhaps with its chain.
    pub(super) fn standing(&self) -> Option<Certificate> {
        let pem = files::read(&self.file("crt")).ok()?;
        Certificate::many_from_pem(pem).ok()?.into_iter().next()
    }

    /// The existing files, not counting this certificate's own, which stay as they are.
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

    /// Completes the files of a run that was killed while it wrote them; returns whether there was such a run.
    fn complete(&self) -> Result<bool, Failure> {
        files::complete(self.path, &self.name.file_stem(), self.settings.force)
    }

    /// The paths of the written files.
    pub fn written(&self, with_password: bool, with_client_ca: bool) -> Vec<String> {
        if self.settings.formats.is_secret() {
            return Vec::new();
        }
        let password = with_password.then(|| self.password_file());
        let client_ca = with_client_ca.then(|| self.path.join(CLIENT_CA));
        let files = self.own().into_iter().chain(password).chain(client_ca);
        files.map(|path| self.shown(&path)).collect()
    }

    /// The paths of the written files of a signing request, the request first.
    pub fn written_request(&self, with_password: bool) -> Vec<String> {
        let files = self.request_files(with_password).into_iter();
        files.map(|path| self.shown(&path)).collect()
    }

    /// The path of the client's file with this suffix, as text for messages.
    pub fn path_of(&self, suffix: &str) -> String {
        self.shown(&self.file(suffix))
    }

    /// A path in the folder, as text for messages.
    pub fn shown(&self, path: &Path) -> String {
        let path = if self.path == Path::new(".") {
            path.strip_prefix(".").unwrap_or(path)
        } else {
            path
        };
        path.display().to_string()
    }
}

/// Refuses a folder that cannot be written to or created; a symbolic link to a folder is accepted.
pub fn check_out(path: &Path) -> Result<(), Failure> {
    if let Some(target) = files::misled(path) {
        return Err(Failure::usage(format!(
            "`{}` is a symbolic link to `{}`, which is not a folder",
            path.display(),
            target.display()
        ))
        .hint("name a folder with `--out`"));
    }
    files::check_writable(path).map_err(hinted)
}

/// Refuses a client's own folder that is a symbolic link: whoever may write to its parent would choose where the key goes.
fn check_own(path: &Path) -> Result<(), Failure> {
    if files::is_link(path) {
        return Err(Failure::refused(format!(
            "`{}` is a symbolic link, and a client's folder must not be one",
            path.display()
        ))
        .hint("remove the link, or write elsewhere with `--out`"));
    }
    Ok(())
}

/// A failure to write a client's files, with hints.
pub fn hinted(error: NotWritten) -> Failure {
    let hint = match error.kind() {
        ErrorKind::AlreadyExists => "`--force` overwrites the file, `--out DIR` writes elsewhere",
        _ => "name a folder that you may write to with `--out`",
    };
    Failure::from(error).hint(hint)
}
