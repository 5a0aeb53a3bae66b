//! Keys and certificates generated in memory: CAs, client and server certificates.

use std::sync::Arc;

use super::authority::NewAuthority;
use crate::pki::authority::Authority;
use crate::pki::csr::{self, Csr};
use crate::pki::inspect::Certificate;
use crate::pki::key::{KeyType, PrivateKey};
use crate::pki::leaf::LeafRequest;
use crate::pki::server::ServerIdentity;

/// Keys and certificates to generate.
#[derive(Debug)]
pub enum Generate {
    /// A client CA.
    Authority(NewAuthority),
    /// Nothing is generated: the user gave this client CA, and the run continues as if it had
    /// generated it.
    Given(Arc<Authority>),
    /// The certificate of a client, and its key unless the client has one.
    Leaf(Box<NewLeaf>),
    /// A signing request for an external CA, and its key unless the client has one.
    SigningRequest(LeafRequest, ClientKey),
    /// Short-lived client certificates to probe gateways with, each under its label.
    Canaries(Vec<(String, NewLeaf)>),
    /// A short-lived client certificate of a CA that nobody trusts, under this label: gateways must refuse it.
    Stranger(String),
    /// A CA for server certificates, for the authority of this name.
    ServerAuthority(String),
    /// A CA whose key is dropped at once, so that it never has a client.
    KeylessAuthority,
    /// A server certificate with its key.
    Server {
        /// The CA that signs the certificate.
        authority: Arc<Authority>,
        /// The host, a wildcard or exact.
        host: String,
    },
}

/// The generated keys and certificates.
#[derive(Debug)]
pub enum Generated {
    /// A client CA.
    Authority(Arc<Authority>),
    /// The certificate of a client.
    Leaf(Identity),
    /// A signing request with its key.
    SigningRequest(SigningRequest),
    /// Certificates to probe gateways with, by their labels.
    Canaries(Vec<(String, Identity)>),
    /// A CA for server certificates.
    ServerAuthority(Authority),
    /// A CA whose key nobody has.
    KeylessAuthority(Certificate),
    /// A server certificate with its key.
    Server(ServerIdentity),
}

/// A client certificate to generate.
#[derive(Debug, Clone)]
pub struct NewLeaf {
    /// The CA that signs the certificate.
    pub authority: Arc<Authority>,
    /// The certificate's subject, alternative names and lifetime.
    pub request: LeafRequest,
    /// The key that is certified.
    pub key: ClientKey,
}

/// The key of a client.
#[derive(Debug, Clone)]
pub enum ClientKey {
    /// A new key of this type.
    New(KeyType),
    /// A key that the user has in a file.
    Given(Arc<PrivateKey>),
    /// The public key of a signing request (`SubjectPublicKeyInfo`, DER); the client keeps the
    /// private key.
    Elsewhere(Vec<u8>),
}

/// A certificate of a client, with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The client's private key, unless the sender of a signing request keeps it.
    pub key: Option<Arc<PrivateKey>>,
    /// The certificate.
    pub certificate: Certificate,
}

/// A signing request for an external CA.
#[derive(Debug, Clone)]
pub struct SigningRequest {
    /// The key that the request is for.
    pub key: Arc<PrivateKey>,
    /// The parsed request.
    pub csr: Csr,
    /// The request, PKCS#10 in PEM.
    pub pem: String,
}

impl SigningRequest {
    /// Signs a request with its key.
    pub fn of(request: &LeafRequest, key: Arc<PrivateKey>) -> Result<Self, csr::Error> {
        let pem = csr::make(request, &key)?;
        let csr = Csr::from_pem(&pem)?;
        Ok(Self { key, csr, pem })
    }
}
