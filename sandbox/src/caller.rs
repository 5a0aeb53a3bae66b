//! A client of the gateway: one HTTP request over TLS, with or without a certificate.
//!
//! A TLS 1.3 client learns of its refusal only when it reads (RFC 8446, appendix D.1), so every call reads an answer.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::proxy_protocol::ANONYMOUS;
use crate::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(10);

/// Calls hosts behind one address.
#[derive(Clone)]
pub struct Caller {
    address: String,
    roots: Option<RootCertStore>,
    identity: Option<(String, String)>,
    proxy_header: bool,
    server_name: Option<String>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP answer.
    Answered {
        /// Its status.
        status: u16,
        /// Its body.
        body: String,
    },
    /// A TLS alert, by its name in IANA's registry.
    Refused(String),
    /// Neither.
    Broken(String),
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, .. } => write!(f, "HTTP {status}"),
            Self::Refused(alert) => write!(f, "refused, TLS alert `{alert}`"),
            Self::Broken(reason) => write!(f, "broken off: {reason}"),
        }
    }
}

impl Caller {
    /// A caller without certificate; `root` is the PEM of the CA behind the server certificates.
    pub fn new(address: impl Into<String>, root: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(root.as_bytes()).flatten());
        Self {
            address: address.into(),
            roots: Some(roots),
            identity: None,
            proxy_header: false,
            server_name: None,
        }
    }

    /// A caller without certificate who takes every server for the right one.
    pub fn careless(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            roots: None,
            identity: None,
            proxy_header: false,
            server_name: None,
        }
    }

    /// The same caller with a certificate and its key, both PEM.
    #[must_use]
    pub fn with_certificate(mut self, certificate: &str, key: &str) -> Self {
        self.identity = Some((certificate.to_owned(), key.to_owned()));
        self
    }

    /// The same caller, whose connections begin with a PROXY header that says nothing: for a replica that expects one.
    #[must_use]
    pub fn with_proxy_header(mut self) -> Self {
        self.proxy_header = true;
        self
    }

    /// The same caller, who names another host in the TLS handshake than in the request.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The same caller at another address.
    #[must_use]
    pub fn at(&self, address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            ..self.clone()
        }
    }

    /// Sends `GET path` to a host, with further headers.
    pub async fn get(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
        let config = self.config()?;
        let exchange = async {
            let name = self.server_name.as_deref().unwrap_or(host).to_owned();
            let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
            let stream = self.connect().await?;
            let mut stream = TlsConnector::from(Arc::new(config))
                .connect(name, stream)
                .await?;
            let mut request =
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
            for (name, value) in headers {
                request.extend([name, ": ", value, "\r\n"]);
            }
            request.push_str("\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            match stream.read_to_end(&mut answer).await {
                // A server may close without TLS's farewell; what came is whole by then.
                Err(error) if answer.is_empty() => Err(error),
                _ => Ok(answer),
            }
        };
        Ok(match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok(answer)) => parse(&answer),
            Ok(Err(error)) => refusal(&error),
            Err(_) => Reply::Broken(format!("no answer within {} s", PATIENCE.as_secs())),
        })
    }

    /// The names of the CAs that a host offers in its handshake, DER, as long as it asks for a certificate at all.
    pub async fn offered(&self, host: &str) -> Result<Option<Vec<Vec<u8>>>> {
        let asked = Arc::new(Asked::default());
        let mut config = self.config()?;
        config.client_auth_cert_resolver = asked.clone();
        let exchange = async {
            let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
            let stream = self.connect().await?;
            TlsConnector::from(Arc::new(config))
                .connect(name, stream)
                .await
        };
        // How it ends does not matter: the question comes before that.
        let _ = tokio::time::timeout(PATIENCE, exchange).await;
        let mut names = asked.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(names.take())
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).await?;
        if self.proxy_header {
            stream.write_all(ANONYMOUS).await?;
        }
        Ok(stream)
    }

    /// How it shakes hands.
    pub(crate) fn config(&self) -> Result<ClientConfig> {
        let invalid =
            |error: String| Error::Name(format!("the client certificate cannot be used: {error}"));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(error.to_string()))?;
        let builder = match &self.roots {
            Some(roots) => builder.with_root_certificates(roots.clone()),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Careless(provider))),
        };
        let Some((certificate, key)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .flatten()
            .collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| invalid(error.to_string()))?;
        let key = builder
            .crypto_provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| invalid(error.to_string()))?;
        // Without rustls's own look at the certificate: it refuses version 1, which `openssl x509 -req` makes.
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        Ok(builder.with_client_cert_resolver(Arc::new(shown)))
    }
}

/// Takes every server certificate.
#[derive(Debug)]
struct Careless(Arc<CryptoProvider>);

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Listens to what a server asks for, and has nothing to show.
#[derive(Debug, Default)]
struct Asked(Mutex<Option<Vec<Vec<u8>>>>);

impl ResolvesClientCert for Asked {
    fn resolve(
        &self,
        names: &[&[u8]],
        _: &[SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        let names = names.iter().map(|name| name.to_vec()).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn parse(answer: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(answer);
    let status = text
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok());
    match (status, text.split_once("\r\n\r\n")) {
        (Some(status), Some((_, body))) => Reply::Answered {
            status,
            body: body.to_owned(),
        },
        _ => Reply::Broken("the answer was not HTTP".to_owned()),
    }
}

fn refusal(error: &std::io::Error) -> Reply {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::AlertReceived(alert)) => Reply::Refused(alert_name(*alert)),
        _ => Reply::Broken(error.to_string()),
    }
}

fn alert_name(alert: AlertDescription) -> String {
    if alert == AlertDescription::UnknownCA {
        return "unknown_ca".to_owned();
    }
    let mut name = String::new();
    for character in format!("{alert:?}").chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}
