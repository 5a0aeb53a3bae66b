//! What the files of a client hold.

use zeroize::Zeroizing;

use super::folder::{CLIENT_CA, COMBINED, FULL_CHAIN, Folder};
use super::form::{Form, SecretForm};
use crate::commands::password::Password;
use crate::error::Failure;
use crate::io::clock;
use crate::io::files::Access;
use crate::output;
use crate::pki::chain::without_root;
use crate::pki::inspect::Certificate;
use crate::pki::key::PrivateKey;
use crate::pki::keystore::pkcs12;
use crate::plan::{Delivery, Identity};
use crate::resources::tls_secret;

/// A file of a client, not yet written; wiped when dropped.
pub(in crate::commands) struct Made {
    pub name: String,
    pub content: Zeroizing<Vec<u8>>,
    pub access: Access,
}

impl Made {
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

impl Folder<'_> {
    /// The files in the order in which they get their names: the certificate comes last, so where it stands the others do
    /// too.
    pub(in crate::commands) fn made(
        &self,
        identity: &Identity,
        delivery: &Delivery,
        password: Option<&Password>,
    ) -> Result<Vec<Made>, Failure> {
        let mut made = Vec::new();
        if !delivery.trusted_pem.is_empty() {
            let trusted = delivery.trusted_pem.clone();
            made.push(Made::public(CLIENT_CA.to_owned(), trusted));
        }
        if let Some(password) = password.filter(|password| password.generated) {
            let text = password.text.as_bytes();
            made.push(Made::private(self.password_name(), text));
        }
        let certificate = &identity.certificate;
        if let Some(key) = &identity.key {
            made.extend(self.with_key(key, certificate, delivery, password)?);
        }
        if self.forms.has(Form::Fullchain) {
            let name = self.file_name(FULL_CHAIN);
            made.push(Made::public(name, full_chain(certificate, delivery)));
        }
        if self.standing().as_ref() != Some(certificate) {
            made.push(Made::public(self.file_name("crt"), certificate.pem()));
        }
        Ok(made)
    }

    fn with_key(
        &self,
        key: &PrivateKey,
        certificate: &Certificate,
        delivery: &Delivery,
        password: Option<&Password>,
    ) -> Result<Vec<Made>, Failure> {
        let mut made = Vec::new();
        let private = |suffix, content: &[u8]| Made::private(self.file_name(suffix), content);
        if self.writes_key() {
            let text = self.key_text(key, password)?;
            made.push(private("key", text.as_bytes()));
        }
        if self.forms.has(Form::Combined) {
            let key = self.key_text(key, password)?;
            // The key first, as Python's `ssl` wants it; HAProxy, curl and nginx take any order.
            let text = Zeroizing::new([key.as_str(), &full_chain(certificate, delivery)].concat());
            made.push(private(COMBINED, text.as_bytes()));
        }
        if let Some(password) = password.filter(|_| self.has_keystore()) {
            let name = self.name.as_str();
            let chain = &delivery.chain;
            let store = pkcs12(key, certificate, chain, &password.text, name, self.profile);
            let store = store
                .map_err(|error| Failure::failed("no PKCS#12 file can be made").caused_by(error))?;
            made.push(private("p12", &store));
        }
        Ok(made)
    }

    /// A key as it is written.
    pub(in crate::commands) fn key_text(
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

    /// The Secret with the client's key and certificate, as YAML or JSON.
    pub(in crate::commands) fn secret(
        &self,
        form: &SecretForm,
        identity: &Identity,
        delivery: &Delivery,
    ) -> Result<Zeroizing<String>, Failure> {
        let key = identity.key.as_ref();
        let key = key.ok_or_else(|| Failure::internal("there is no key for the Secret"))?;
        let chain = full_chain(&identity.certificate, delivery);
        let secret = tls_secret::manifest(self.name, form.namespace.as_deref(), &chain, key);
        let text = if form.as_json {
            output::json(&secret)
        } else {
            output::yaml(&secret)
        };
        text.map(Zeroizing::new)
    }
}

/// The certificate and the CAs between it and the root.
fn full_chain(certificate: &Certificate, delivery: &Delivery) -> String {
    std::iter::once(certificate)
        .chain(without_root(&delivery.chain))
        .map(Certificate::pem)
        .collect()
}
