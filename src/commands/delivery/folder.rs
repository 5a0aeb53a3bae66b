//! The folder that receives a client's files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::form::{Form, Forms, Guide};
use crate::error::Failure;
use crate::io::files::{self, NotWritten, is_taken};
use crate::output::guidance::{self, ClientFiles};
use crate::pki::inspect::Certificate;
use crate::pki::key::{self, PrivateKey};
use crate::pki::keystore::{Profile, check_alias};
use crate::pki::names::ClientName;
use crate::plan::ClientKey;
use crate::plan::issue_client::Held;

pub(in crate::commands) const CLIENT_CA: &str = "client-ca.crt";
pub(in crate::commands) const FULL_CHAIN: &str = "fullchain.crt";
pub(in crate::commands) const COMBINED: &str = "combined.pem";

/// Where the files of one client go, and which ones.
pub(in crate::commands) struct Folder<'a> {
    /// The folder.
    pub path: &'a Path,
    /// The client.
    pub name: &'a ClientName,
    /// Its key: only a new one is written, and only where it is at hand there is a keystore.
    pub key: &'a ClientKey,
    /// Where a given key lies.
    pub key_file: Option<&'a Path>,
    /// Whether a new key is encrypted.
    pub encrypts_key: bool,
    /// Who must be able to open the keystore.
    pub profile: Profile,
    /// What the client gets.
    pub forms: &'a Forms,
}

impl Folder<'_> {
    /// Refuses a folder that does not exist or cannot be written to, and a name that the keystore cannot have.
    pub fn check(&self) -> Result<(), Failure> {
        self.check_name()?;
        if self.forms.is_secret() {
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

    /// Whether a keystore is written, which needs a password.
    pub fn has_keystore(&self) -> bool {
        self.forms.has(Form::P12) && !matches!(self.key, ClientKey::Elsewhere(_))
    }

    /// Whether the key is written into a file of its own: a given one stays where it is.
    pub(in crate::commands) fn writes_key(&self) -> bool {
        let has_own_file = self.forms.has(Form::Pem) || self.forms.has(Form::Fullchain);
        has_own_file && matches!(self.key, ClientKey::New(_))
    }

    /// Whether the key is new and gets a password.
    pub(in crate::commands) fn encrypts_new_key(&self) -> bool {
        self.encrypts_key && matches!(self.key, ClientKey::New(_))
    }

    /// Whether a password is needed: for the keystore, or for the key.
    pub fn needs_password(&self) -> bool {
        let writes_pem = self.writes_key() || self.forms.has(Form::Combined);
        self.has_keystore() || (self.encrypts_new_key() && writes_pem)
    }

    pub(in crate::commands) fn file_name(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.name.file_stem())
    }

    pub(in crate::commands) fn file(&self, suffix: &str) -> PathBuf {
        self.path.join(self.file_name(suffix))
    }

    /// The files of the client itself, but a generated password.
    fn own(&self) -> Vec<PathBuf> {
        if self.forms.is_secret() {
            return Vec::new();
        }
        let suffixes = [
            ("crt", true),
            ("key", self.writes_key()),
            (FULL_CHAIN, self.forms.has(Form::Fullchain)),
            ("p12", self.has_keystore()),
            (COMBINED, self.forms.has(Form::Combined)),
        ];
        let written = suffixes.into_iter().filter(|(_, is_written)| *is_written);
        written.map(|(suffix, _)| self.file(suffix)).collect()
    }

    /// The file that the password is for.
    pub fn password_for(&self) -> String {
        self.file_name(if self.has_keystore() { "p12" } else { "key" })
    }

    /// The name of the file with a generated password.
    pub(in crate::commands) fn password_name(&self) -> String {
        format!("{}.password", self.password_for())
    }

    /// Whether a generated password stands there.
    pub fn has_password_file(&self) -> bool {
        self.password_file().exists()
    }

    fn password_file(&self) -> PathBuf {
        self.path.join(self.password_name())
    }

    /// What stands there already under the names that would be written, completed where a run was killed before it had written
    /// all of them; with `force` nothing is in the way.
    pub fn held(&self, force: bool) -> Result<Held, Failure> {
        if self.forms.is_secret() {
            return Ok(Held::default());
        }
        self.complete(force)?;
        if force {
            return Ok(Held {
                certificate: self.delivered(),
                ..Held::default()
            });
        }
        let password = self.needs_password().then(|| self.password_file());
        let in_the_way: Vec<String> = self
            .own()
            .into_iter()
            .chain(password)
            .filter(|path| files::is_taken(path))
            .map(|path| self.shown(&path))
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
            client_ca: files::is_taken(&client_ca)
                .then(|| files::read(&client_ca))
                .transpose()?,
        })
    }

    /// The same, where the folder may be one of the client's own below `out`, which need not exist.
    pub fn held_below(&self, out: &Path, force: bool) -> Result<Held, Failure> {
        if self.path != out {
            if !is_taken(self.path) {
                return Ok(Held::default());
            }
            check_own(self.path)?;
        }
        self.held(force)
    }

    /// The certificate of files that are complete: they are all there, and the certificate is the key's.
    pub(in crate::commands) fn delivered(&self) -> Option<Certificate> {
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
    pub(in crate::commands) fn standing(&self) -> Option<Certificate> {
        let pem = files::read(&self.file("crt")).ok()?;
        Certificate::many_from_pem(pem).ok()?.into_iter().next()
    }

    /// What is in the way but for this certificate itself, which stays as it is.
    pub fn in_the_way_of(&self, certificate: &Certificate, mut held: Held) -> Held {
        if self.standing().as_ref() == Some(certificate) {
            let own = self.shown(&self.file("crt"));
            held.in_the_way.retain(|file| *file != own);
        }
        held
    }

    fn holds_key_of(&self, certificate: &Certificate) -> Option<bool> {
        let suffix = if self.writes_key() {
            "key"
        } else if self.forms.has(Form::Combined) {
            COMBINED
        } else {
            // A keystore stays closed: nobody is asked for its password only to compare.
            return Some(true);
        };
        let pem = Zeroizing::new(files::read(&self.file(suffix)).ok()?);
        match PrivateKey::from_pem(&*pem) {
            Ok(key) => Some(key.matches(certificate)),
            // The same: files are written all or none.
            Err(key::Error::Encrypted) => Some(self.encrypts_key),
            Err(_) => None,
        }
    }

    /// Completes the files of a run that was killed between two of them; says whether there was one.
    pub fn complete(&self, force: bool) -> Result<bool, Failure> {
        if self.forms.is_secret() {
            return Ok(false);
        }
        let completed = files::complete(self.path, &self.name.file_stem(), force);
        completed.map_err(|error| {
            Failure::from(error).hint("move it away, or overwrite it with `--force`")
        })
    }

    /// The files that were written.
    pub fn written(&self, with_password: bool) -> Vec<String> {
        if self.forms.is_secret() {
            return Vec::new();
        }
        let password = with_password.then(|| self.password_file());
        self.own()
            .into_iter()
            .chain(password)
            .chain([self.path.join(CLIENT_CA)])
            .map(|path| self.shown(&path))
            .collect()
    }

    pub(in crate::commands) fn shown(&self, path: &Path) -> String {
        let path = if self.path == Path::new(".") {
            path.strip_prefix(".").unwrap_or(path)
        } else {
            path
        };
        path.display().to_string()
    }

    /// Where the files lie that a client uses.
    pub fn client_files(&self) -> ClientFiles {
        let shown = |suffix: &str| self.shown(&self.file(suffix));
        let has_fullchain = self.forms.has(Form::Fullchain);
        let given = self.key_file.map(|path| path.display().to_string());
        ClientFiles {
            certificate: shown(if has_fullchain { FULL_CHAIN } else { "crt" }),
            key: match self.key {
                ClientKey::New(_) => self.writes_key().then(|| shown("key")),
                ClientKey::Given(_) => given,
                ClientKey::Elsewhere(_) => None,
            },
            combined: self.forms.has(Form::Combined).then(|| shown(COMBINED)),
            keystore: self.has_keystore().then(|| shown("p12")),
        }
    }

    /// A request that the certificate opens; none where the key is elsewhere, or nothing is written.
    pub fn curl(&self, host: &str) -> Option<String> {
        if self.forms.is_secret() {
            return None;
        }
        guidance::curl(&self.client_files(), host)
    }

    /// How the files are used.
    pub fn guidance(
        &self,
        wanted: &[Guide],
        host: Option<&str>,
        with_password: bool,
    ) -> Vec<String> {
        let files = self.client_files();
        let password = with_password.then(|| self.shown(&self.password_file()));
        let text = |guide: &Guide| match guide {
            Guide::Curl => Some(guidance::with_curl(&files, host)),
            Guide::Browser => guidance::in_browsers(&files, password.as_deref(), host),
        };
        wanted.iter().filter_map(text).collect()
    }
}

/// Refuses a folder that does not exist or cannot be written to; it may be a symbolic link to one.
pub(in crate::commands) fn check_out(path: &Path) -> Result<(), Failure> {
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
pub(in crate::commands) fn check_own(path: &Path) -> Result<(), Failure> {
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
pub(in crate::commands) fn hinted(error: NotWritten) -> Failure {
    let hint = match error.kind() {
        ErrorKind::AlreadyExists => "`--force` overwrites it, `--out DIR` writes elsewhere",
        ErrorKind::NotFound => "create the folder first, or name another one with `--out`",
        _ => "name a folder that you may write to with `--out`",
    };
    Failure::from(error).hint(hint)
}
