//! The content of a client's files.

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
use crate::plan::{Credential, Delivery, Identity};
use crate::resources::{Object, tls_secret};

/// A file of a client that is not yet written; wiped from memory when dropped.
pub(super) struct CredentialFile {
    pub name: String,
    pub content: Zeroizing<Vec<u8>>,
    pub access: Access,
}

impl CredentialFile {
    fn new(name: String, content: &[u8], access: Access) -> Self {
        Self {
            name,
            content: Zeroizing::new(content.to_vec()),
            access,
        }
    }
}

impl ClientFolder<'_> {
    /// The files in the order in which they get their names. The certificate or request comes last, so that its presence proves that the
    /// others are written.
    pub(super) fn contents(
        &self,
        delivery: &Delivery,
        password: Option<&Password>,
    ) -> Result<Vec<CredentialFile>, Failure> {
        let mut files = Vec::new();
        if let Delivery::Credential(credential) = delivery
            && !credential.trusted_pem.is_empty()
        {
            let trusted = credential.trusted_pem.as_bytes();
            let name = CLIENT_CA.to_owned();
            files.push(CredentialFile::new(name, trusted, Access::Public));
        }
        if let Some(password) = password.filter(|password| password.generated) {
            let (name, text) = (self.password_name(), password.text.as_bytes());
            files.push(CredentialFile::new(name, text, Access::Private));
        }
        let key = match delivery {
            Delivery::Credential(credential) => credential.identity.key.as_ref(),
            Delivery::SigningRequest(request) => Some(&request.key),
        };
        if let Some(key) = key.filter(|_| self.writes_key()) {
            let text = self.key_text(key, password)?;
            files.push(self.private("key", text.as_bytes()));
        }
        match delivery {
            Delivery::Credential(credential) => {
                files.extend(self.of_credential(credential, password)?);
            }
            Delivery::SigningRequest(request) => files.push(self.public("csr", &request.pem)),
        }
        Ok(files)
    }

    fn public(&self, suffix: &str, text: &str) -> CredentialFile {
        CredentialFile::new(self.file_name(suffix), text.as_bytes(), Access::Public)
    }

    fn private(&self, suffix: &str, content: &[u8]) -> CredentialFile {
        CredentialFile::new(self.file_name(suffix), content, Access::Private)
    }

    /// All files of a credential, except the file of the key.
    fn of_credential(
        &self,
        credential: &Credential,
        password: Option<&Password>,
    ) -> Result<Vec<CredentialFile>, Failure> {
        let Identity { key, certificate } = &credential.identity;
        let mut files = Vec::new();
        if let Some(key) = key.as_ref().filter(|_| self.has(FileFormat::Combined)) {
            let key = self.key_text(key, password)?;
            // The key first, as Python's `ssl` wants it; HAProxy, curl and nginx take any order.
            let text = Zeroizing::new([key.as_str(), &full_chain(credential)].concat());
            files.push(self.private(COMBINED, text.as_bytes()));
        }
        if let (Some(key), Some(password), true) = (key, password, self.has_keystore()) {
            let (name, profile) = (self.name.as_str(), self.settings.profile);
            let chain = &credential.chain;
            let store = pkcs12(key, certificate, chain, &password.text, name, profile);
            let store = store
                .map_err(|error| Failure::failed("no PKCS#12 file can be made").caused_by(error))?;
            files.push(self.private("p12", &store));
        }
        if self.has(FileFormat::Fullchain) {
            files.push(self.public(FULL_CHAIN, &full_chain(credential)));
        }
        if self.standing().as_ref() != Some(certificate) {
            files.push(self.public("crt", &certificate.pem()));
        }
        Ok(files)
    }

    /// The PEM text of a key, as it is written.
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
