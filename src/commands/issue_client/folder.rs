//! The folder that receives a client's files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::commands::password::Password;
use crate::error::Failure;
use crate::io::clock;
use crate::io::files::{self, Access, NewFile, NotWritten, Unflushed};
use crate::pki::inspect::Certificate;
use crate::pki::key::{self, PrivateKey};
use crate::pki::keystore::{Profile, pkcs12};
use crate::pki::names::ClientName;
use crate::plan::issue_client::Held;
use crate::plan::{ClientKey, Delivery, Identity};

const CLIENT_CA: &str = "client-ca.crt";
/// The suffix of the file with a generated password.
const PASSWORD: &str = "p12.password";

/// Where the files of one client go, and which ones.
pub(super) struct Folder<'a> {
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
}

/// A file of a client, not yet written; wiped when dropped.
struct Made {
    name: String,
    content: Zeroizing<Vec<u8>>,
    access: Access,
}

impl Made {
    fn new(name: String, content: Vec<u8>, access: Access) -> Self {
        Self {
            name,
            content: Zeroizing::new(content),
            access,
        }
    }
}

impl Folder<'_> {
    /// Refuses a folder that does not exist or cannot be written to.
    pub fn check(&self) -> Result<(), Failure> {
        files::check_writable(self.path).map_err(hinted)
    }

    /// Whether a keystore is written, which needs a password.
    pub fn has_keystore(&self) -> bool {
        !matches!(self.key, ClientKey::Elsewhere(_))
    }

    fn file_name(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.name.file_stem())
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.path.join(self.file_name(suffix))
    }

    /// The files of the client itself, but a generated password.
    fn own(&self) -> Vec<PathBuf> {
        let suffixes: &[&str] = match self.key {
            ClientKey::New(_) => &["crt", "key", "p12"],
            ClientKey::Given(_) => &["crt", "p12"],
            ClientKey::Elsewhere(_) => &["crt"],
        };
        suffixes.iter().map(|suffix| self.file(suffix)).collect()
    }

    fn password_file(&self) -> PathBuf {
        self.file(PASSWORD)
    }

    /// What stands there already under the names that would be written; with `force` nothing is in the way.
    pub fn held(&self, force: bool) -> Result<Held, Failure> {
        if force {
            return Ok(Held {
                certificate: self.delivered(),
                ..Held::default()
            });
        }
        let password = self.has_keystore().then(|| self.password_file());
        let in_the_way: Vec<String> = self
            .own()
            .into_iter()
            .chain(password)
            .filter(|path| path.exists())
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
            client_ca: client_ca
                .exists()
                .then(|| files::read(&client_ca))
                .transpose()?,
        })
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

    fn holds_key_of(&self, certificate: &Certificate) -> Option<bool> {
        let pem = Zeroizing::new(files::read(&self.file("key")).ok()?);
        match PrivateKey::from_pem(&*pem) {
            Ok(key) => Some(key.matches(certificate)),
            // Nobody is asked for its password only to compare: files are written all or none.
            Err(key::Error::Encrypted) => Some(self.encrypts_key),
            Err(_) => None,
        }
    }

    /// Writes all files, or none, when these others are on disk. Where a key is at hand, there must be a password.
    pub fn deliver(
        &self,
        identity: &Identity,
        delivery: &Delivery,
        password: Option<&Password>,
        first: &[Unflushed],
        force: bool,
    ) -> Result<(), Failure> {
        let made = self.made(identity, delivery, password)?;
        let wanted: Vec<NewFile<'_>> = made
            .iter()
            .map(|file| NewFile {
                path: self.path.join(&file.name),
                content: &file.content,
                access: file.access,
            })
            .collect();
        files::write_after(&wanted, force, first).map_err(hinted)
    }

    /// The files in the order in which they get their names: the certificate comes last, so where it stands the others do
    /// too.
    fn made(
        &self,
        identity: &Identity,
        delivery: &Delivery,
        password: Option<&Password>,
    ) -> Result<Vec<Made>, Failure> {
        let public =
            |name: String, text: String| Made::new(name, text.into_bytes(), Access::Public);
        let private =
            |suffix: &str, content| Made::new(self.file_name(suffix), content, Access::Private);
        let mut made = vec![public(CLIENT_CA.to_owned(), delivery.trusted_pem.clone())];
        if let (Some(key), Some(password)) = (&identity.key, password) {
            if password.generated {
                let text = password.text.as_bytes().to_vec();
                made.push(private(PASSWORD, text));
            }
            if matches!(self.key, ClientKey::New(_)) {
                let text = self.key_text(key, password)?;
                made.push(private("key", text.as_bytes().to_vec()));
            }
            let store = self.keystore(key, &identity.certificate, delivery, password)?;
            made.push(private("p12", store));
        }
        made.push(public(self.file_name("crt"), identity.certificate.pem()));
        Ok(made)
    }

    fn key_text(
        &self,
        key: &PrivateKey,
        password: &Password,
    ) -> Result<Zeroizing<String>, Failure> {
        if !self.encrypts_key {
            return Ok(key.to_pem());
        }
        key.to_encrypted_pem(&password.text, clock::random()?)
            .map_err(|error| Failure::failed("the key cannot be encrypted").caused_by(error))
    }

    fn keystore(
        &self,
        key: &PrivateKey,
        certificate: &Certificate,
        delivery: &Delivery,
        password: &Password,
    ) -> Result<Vec<u8>, Failure> {
        let chain = std::slice::from_ref(&delivery.issuer);
        let name = self.name.as_str();
        pkcs12(key, certificate, chain, &password.text, name, self.profile)
            .map_err(|error| Failure::failed("no PKCS#12 file can be made").caused_by(error))
    }

    /// The files that were written.
    pub fn written(&self, with_password: bool) -> Vec<String> {
        let password = with_password.then(|| self.password_file());
        self.own()
            .into_iter()
            .chain(password)
            .chain([self.path.join(CLIENT_CA)])
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

    /// A request that the certificate opens; none where the key is elsewhere.
    pub fn curl(&self, host: &str) -> Option<String> {
        let certificate = quoted(&self.shown(&self.file("crt")));
        let key = match (self.key, self.key_file) {
            (ClientKey::New(_), _) => self.shown(&self.file("key")),
            (ClientKey::Given(_), Some(path)) => path.display().to_string(),
            _ => return None,
        };
        Some(format!(
            "curl --cert {certificate} --key {} https://{host}/",
            quoted(&key)
        ))
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
    use std::sync::Arc;

    use super::*;
    use crate::pki::key::KeyType;
    use crate::pki::tests::{authority, client};

    #[test]
    fn names_with_blanks_and_quotes_stay_one_word_of_the_shell() {
        assert_eq!(quoted("alice.crt"), "alice.crt");
        assert_eq!(quoted("it's a.crt"), "'it'\\''s a.crt'");
    }

    /// Delivers into a new folder; the names of its files, and what a rerun finds there.
    fn delivered(
        key_of: impl Fn(&Arc<PrivateKey>) -> ClientKey,
        encrypts_key: bool,
    ) -> (tempfile::TempDir, Vec<String>, Held) {
        let place = tempfile::tempdir().unwrap();
        let authority = authority();
        let (private, certificate) = client(&authority);
        let private = Arc::new(private);
        let key = key_of(&private);
        let name = "alice".parse().unwrap();
        let folder = Folder {
            path: place.path(),
            name: &name,
            key: &key,
            key_file: None,
            encrypts_key,
            profile: Profile::Modern,
        };
        let at_hand = !matches!(key, ClientKey::Elsewhere(_));
        let identity = Identity {
            key: at_hand.then_some(private),
            certificate,
        };
        let delivery = Delivery {
            trusted_pem: authority.certificate().pem(),
            issuer: authority.certificate().clone(),
        };
        let password = Password {
            text: Zeroizing::new("secret".to_owned()),
            generated: false,
        };
        let password = at_hand.then_some(&password);
        folder
            .deliver(&identity, &delivery, password, &[], false)
            .unwrap();
        let mut names: Vec<String> = std::fs::read_dir(place.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let held = folder.held(false).unwrap();
        assert_eq!(held.certificate, Some(identity.certificate));
        (place, names, held)
    }

    #[test]
    fn a_new_key_is_written_beside_its_certificate() {
        let (_, names, held) = delivered(|_| ClientKey::New(KeyType::P256), false);
        assert_eq!(
            names,
            ["alice.crt", "alice.key", "alice.p12", "client-ca.crt"]
        );
        assert_eq!(held.in_the_way.len(), 3);
    }

    #[test]
    fn a_new_key_is_encrypted_where_that_is_wanted() {
        let (place, ..) = delivered(|_| ClientKey::New(KeyType::P256), true);
        let pem = files::read(&place.path().join("alice.key")).unwrap();
        assert!(PrivateKey::from_encrypted_pem(pem, "secret").is_ok());
    }

    #[test]
    fn a_given_key_is_not_written_again() {
        let (_, names, _) = delivered(|key| ClientKey::Given(key.clone()), false);
        assert_eq!(names, ["alice.crt", "alice.p12", "client-ca.crt"]);
    }

    #[test]
    fn whoever_sent_a_request_gets_certificates_only() {
        let elsewhere = |key: &Arc<PrivateKey>| ClientKey::Elsewhere(key.public_key_der().to_vec());
        let (_, names, _) = delivered(elsewhere, false);
        assert_eq!(names, ["alice.crt", "client-ca.crt"]);
    }
}
