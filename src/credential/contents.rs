//! What the files of a client hold.

use zeroize::Zeroizing;

use super::folder::{CLIENT_CA, COMBINED, ClientFolder, FULL_CHAIN};
use super::formats::{FileFormat, SecretFormat};
use super::password::Password;
use crate::error::Failure;
use crate::io::clock;
use crate::io::files::Access;
use crate::pki::chain::without_root;
use crate::pki::inspect::Certificate;
use crate::pki::key::PrivateKey;
use crate::pki::keystore::pkcs12;
use crate::pki::names::ClientName;
use crate::plan::{Credential, Delivery, SigningRequest};
use crate::resources::{Object, tls_secret};

/// A file of a client, not yet written; wiped when dropped.
pub(super) struct CredentialFile {
    pub name: String,
    pub content: Zeroizing<Vec<u8>>,
    pub access: Access,
}

impl CredentialFile {
    fn public(name: String, text: String) -> Self {
        Self {
            name,
            content: Zeroizing::new(text.into_bytes()),
            access: Access::Public,
        }
    }

    fn private(name: String, content: &[u8]) -> Self {
        Self {
            name,
            content: Zeroizing::new(content.to_vec()),
            access: Access::Private,
        }
    }
}

impl ClientFolder<'_> {
    /// The files in the order in which they get their names: certificate or request come last, so where they stand the others
    /// do too.
    pub(super) fn contents(
        &self,
        delivery: &Delivery,
        password: Option<&Password>,
    ) -> Result<Vec<CredentialFile>, Failure> {
        let mut files = Vec::new();
        if let Delivery::Credential(credential) = delivery
            && !credential.trusted_pem.is_empty()
        {
            let trusted = credential.trusted_pem.clone();
            files.push(CredentialFile::public(CLIENT_CA.to_owned(), trusted));
        }
        if let Some(password) = password.filter(|password| password.generated) {
            let text = password.text.as_bytes();
            files.push(CredentialFile::private(self.password_name(), text));
        }
        files.extend(match delivery {
            Delivery::Credential(credential) => self.of_credential(credential, password)?,
            Delivery::SigningRequest(request) => self.of_request(request, password)?,
        });
        Ok(files)
    }

    fn of_credential(
        &self,
        credential: &Credential,
        password: Option<&Password>,
    ) -> Result<Vec<CredentialFile>, Failure> {
        let certificate = &credential.identity.certificate;
        let mut files = match &credential.identity.key {
            Some(key) => self.with_key(key, credential, password)?,
            None => Vec::new(),
        };
        if self.has(FileFormat::Fullchain) {
            let name = self.file_name(FULL_CHAIN);
            files.push(CredentialFile::public(name, full_chain(credential)));
        }
        if self.standing().as_ref() != Some(certificate) {
            files.push(CredentialFile::public(
                self.file_name("crt"),
                certificate.pem(),
            ));
        }
        Ok(files)
    }

    fn with_key(
        &self,
        key: &PrivateKey,
        credential: &Credential,
        password: Option<&Password>,
    ) -> Result<Vec<CredentialFile>, Failure> {
        let mut files = Vec::from_iter(self.key_file(key, password)?);
        let private =
            |suffix, content: &[u8]| CredentialFile::private(self.file_name(suffix), content);
        if self.has(FileFormat::Combined) {
            let key = self.key_text(key, password)?;
            // The key first, as Python's `ssl` wants it; HAProxy, curl and nginx take any order.
            let text = Zeroizing::new([key.as_str(), &full_chain(credential)].concat());
            files.push(private(COMBINED, text.as_bytes()));
        }
        if let Some(password) = password.filter(|_| self.has_keystore()) {
            let (name, profile) = (self.name.as_str(), self.settings.profile);
            let Credential {
                identity, chain, ..
            } = credential;
            let certificate = &identity.certificate;
            let store = pkcs12(key, certificate, chain, &password.text, name, profile);
            let store = store
                .map_err(|error| Failure::failed("no PKCS#12 file can be made").caused_by(error))?;
            files.push(private("p12", &store));
        }
        Ok(files)
    }

    fn of_request(
        &self,
        request: &SigningRequest,
        password: Option<&Password>,
    ) -> Result<Vec<CredentialFile>, Failure> {
        let mut files = Vec::from_iter(self.key_file(&request.key, password)?);
        let pem = request.pem.clone();
        files.push(CredentialFile::public(self.file_name("csr"), pem));
        Ok(files)
    }

    /// The file of a new key.
    fn key_file(
        &self,
        key: &PrivateKey,
        password: Option<&Password>,
    ) -> Result<Option<CredentialFile>, Failure> {
        if !self.writes_key() {
            return Ok(None);
        }
        let text = self.key_text(key, password)?;
        let file = CredentialFile::private(self.file_name("key"), text.as_bytes());
        Ok(Some(file))
    }

    /// A key as it is written.
    fn key_text(
        &self,
        key: &PrivateKey,
        password: Option<&Password>,
    ) -> Result<Zeroizing<String>, Failure> {
        let Some(password) = password.filter(|_| self.encrypts_new_key()) else {
            return Ok(key.to_pem());
        };
        key.to_encrypted_pem(&password.text, clock::random()?)
            .map_err(|error| Failure::internal(format!("the key cannot be encrypted: {error}")))
    }
}

/// The Secret with a client's key and certificate.
pub fn secret(
    name: &ClientName,
    format: &SecretFormat,
    delivery: &Delivery,
) -> Result<Object, Failure> {
    let no_key = || Failure::internal("there is no key for the Secret");
    let Delivery::Credential(credential) = delivery else {
        return Err(no_key());
    };
    let key = credential.identity.key.as_ref().ok_or_else(no_key)?;
    let chain = full_chain(credential);
    let namespace = format.namespace.as_deref();
    Ok(tls_secret::manifest(name, namespace, &chain, key))
}

/// The certificate and the CAs between it and the root.
fn full_chain(credential: &Credential) -> String {
    std::iter::once(&credential.identity.certificate)
        .chain(without_root(&credential.chain))
        .map(Certificate::pem)
        .collect()
}
