//! One TLS handshake over a stream, and the HTTP request after it.
//!
//! A TLS 1.3 client learns that it was rejected only at its first read, after a successful handshake (RFC 8446, 4.4.2.4 and appendix D): so
//! the outcome is known only after a request was sent and an answer read.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, InvalidMessage, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::no_answer;
use crate::error::{Failure, plain};
use crate::pki::inspect::Certificate;
use crate::plan::Identity;
use crate::plan::probe::{Observation, Outcome};

const LONGEST_STATUS_LINE: usize = 4096;

/// Key and certificate in rustls's form.
pub fn certified_key(identity: &Identity) -> Result<Arc<CertifiedKey>, Failure> {
    let unusable =
        |error: String| Failure::failed(format!("the certificate cannot be shown: {error}"));
    let key = identity
        .key
        .as_ref()
        .ok_or_else(|| unusable("the certificate's key is not here".to_owned()))?;
    let der = PrivateKeyDer::Pkcs8(key.pkcs8_der().to_vec().into());
    let key =
        aws_lc_rs::sign::any_supported_type(&der).map_err(|error| unusable(error.to_string()))?;
    let chain = vec![CertificateDer::from(identity.certificate.der().to_vec())];
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// The result of one connection.
pub struct Exchanged {
    /// The observation.
    pub observation: Observation,
    /// Whether the connection was closed before the gateway sent anything, not even an alert.
    pub was_closed: bool,
    /// Whether the time limit ended it before the gateway sent anything.
    pub was_silent: bool,
}

impl Exchanged {
    /// The result of a connection without a handshake.
    pub fn nothing(outcome: Outcome) -> Self {
        Self {
            observation: Observation::nothing(outcome),
            was_closed: false,
            was_silent: false,
        }
    }

    /// Whether the gateway showed its certificate.
    pub fn is_served(&self) -> bool {
        self.observation.server.is_some()
    }
}

/// The header of the PROXY protocol without the client's addresses (version 1, section 2.1 of its specification); a proxy that expects a
/// header accepts it and uses the connection's own addresses.
const HEADER: &[u8] = b"PROXY UNKNOWN\r\n";

/// Makes a TLS handshake over a stream, after a header of the PROXY protocol if one is wanted. What was seen before the time limit counts,
/// also without an answer to the HTTP request.
pub async fn exchange<S>(
    mut stream: S,
    host: &str,
    identity: Option<Arc<CertifiedKey>>,
    header: bool,
    limit: Duration,
) -> Exchanged
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let observer = Arc::new(Observer::new(identity));
    let conversation = async {
        if header {
            stream.write_all(HEADER).await?;
        }
        converse(stream, host, &observer).await
    };
    let late = || std::io::Error::new(ErrorKind::TimedOut, no_answer(limit));
    let ended = tokio::time::timeout(limit, conversation).await;
    let ended = ended.unwrap_or_else(|_| Err(late()));
    let shown = observer
        .shown
        .lock()
        .map(|shown| shown.clone())
        .unwrap_or_default();
    let offered = observer
        .offered
        .lock()
        .ok()
        .and_then(|offered| offered.clone());
    let is_nothing = shown.is_empty() && offered.is_none();
    let was_closed = is_nothing && ended.as_ref().is_err_and(is_end_of_connection);
    let is_late = |error: &std::io::Error| error.kind() == ErrorKind::TimedOut;
    let was_silent = is_nothing && ended.as_ref().is_err_and(is_late);
    let mut shown = shown.iter().map(|der| Certificate::from_der(der).ok());
    Exchanged {
        observation: Observation {
            offered,
            server: shown.next().flatten(),
            chain: shown.flatten().collect(),
            outcome: match ended {
                Ok(status) => Outcome::Answered(status),
                Err(error) => outcome(&error),
            },
            proxy_protocol: header,
        },
        was_closed,
        was_silent,
    }
}

/// Whether the other side closed the connection.
fn is_end_of_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}

async fn converse<S>(stream: S, host: &str, observer: &Arc<Observer>) -> std::io::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let invalid = |error: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
    let provider = observer.provider.clone();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(observer.clone())
        .with_client_cert_resolver(observer.clone());
    let name = ServerName::try_from(host.to_owned()).map_err(|error| invalid(error.to_string()))?;
    let mut tls = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kubectl-mtls\r\nConnection: close\r\n\r\n"
    );
    tls.write_all(request.as_bytes()).await?;
    tls.flush().await?;
    status_of_answer(&mut tls).await
}

async fn status_of_answer(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<u16> {
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    while answer.len() < LONGEST_STATUS_LINE {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
        if answer.contains(&b'\n') {
            break;
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let status = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split_whitespace().nth(1));
    status
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| std::io::Error::other("the answer was not HTTP"))
}

fn outcome(error: &std::io::Error) -> Outcome {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::AlertReceived(alert)) => Outcome::Refused(alert_name(*alert)),
        Some(rustls::Error::InvalidMessage(message)) => Outcome::Broken(invalid(message)),
        None if error.to_string() == BUFFER_FULL => Outcome::Broken(TOO_LARGE.to_owned()),
        _ => Outcome::Broken(plain(error)),
    }
}

/// rustls's words for a message that does not fit into its buffer (`msgs/deframer/buffers.rs`).
const BUFFER_FULL: &str = "message buffer full";
const TOO_LARGE: &str = "a handshake message is larger than 64 KiB, for example because it lists thousands of CAs; clients may be unable to read it";

/// What a message means that is none of TLS.
fn invalid(message: &InvalidMessage) -> String {
    match message {
        // A server of plain HTTP answers in text, whose first byte is taken for the type of a record.
        InvalidMessage::InvalidContentType => {
            "the port answers in plain text instead of TLS; it may be an HTTP port".to_owned()
        }
        InvalidMessage::HandshakePayloadTooLarge
        | InvalidMessage::MessageTooLarge
        | InvalidMessage::CertificatePayloadTooLarge => TOO_LARGE.to_owned(),
        _ => "the answer is not a valid TLS message".to_owned(),
    }
}

/// The name of an alert in IANA's registry: `certificate_required`.
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

/// Records the certificate and CA names that the gateway sends, and presents the given client
/// certificate. Accepts any server: the plan judges.
#[derive(Debug)]
struct Observer {
    provider: Arc<CryptoProvider>,
    identity: Option<Arc<CertifiedKey>>,
    offered: Mutex<Option<Vec<Vec<u8>>>>,
    /// The server's certificates in DER, its own certificate first.
    shown: Mutex<Vec<Vec<u8>>>,
}

impl Observer {
    fn new(identity: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            identity,
            offered: Mutex::new(None),
            shown: Mutex::new(Vec::new()),
        }
    }
}

impl ResolvesClientCert for Observer {
    fn resolve(
        &self,
        offered: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        if let Ok(mut noted) = self.offered.lock() {
            *noted = Some(offered.iter().map(|name| name.to_vec()).collect());
        }
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
    }
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut noted) = self.shown.lock() {
            let all = std::iter::once(end_entity).chain(intermediates);
            *noted = all.map(|certificate| certificate.to_vec()).collect();
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_bear_their_registered_names() {
        assert_eq!(
            alert_name(AlertDescription::CertificateRequired),
            "certificate_required"
        );
        assert_eq!(alert_name(AlertDescription::UnknownCA), "unknown_ca");
        assert_eq!(
            alert_name(AlertDescription::HandshakeFailure),
            "handshake_failure"
        );
    }
}
