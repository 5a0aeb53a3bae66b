//! Against a server that takes, or wants, a header of the PROXY protocol as an Envoy does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::io::runtime::OneThread;
use crate::pki::server::ServerIdentity;
use crate::pki::tests::{NOW, authority};

const HOST: &str = "alice.example.com";
const HEADER: &[u8] = b"PROXY UNKNOWN\r\n";

/// Asks for certificates of these CAs, and takes none.
#[derive(Debug)]
struct Asking(Vec<DistinguishedName>);

impl ClientCertVerifier for Asking {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.0
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Err(rustls::Error::General("nobody".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("nobody".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What the server does.
#[derive(Default)]
struct Behaviour {
    wants_header: AtomicBool,
    /// It has no certificate: whatever comes, it closes the connection.
    closes: AtomicBool,
    /// What was sent on each connection: whether it began with a header.
    connections: std::sync::Mutex<Vec<bool>>,
}

impl Behaviour {
    /// The connections since the last call.
    fn seen(&self) -> Vec<bool> {
        std::mem::take(&mut self.connections.lock().unwrap())
    }
}

fn acceptor() -> TlsAcceptor {
    acceptor_asking(None)
}

/// A server that asks for certificates of these CAs, or for none.
fn acceptor_asking(cas: Option<Vec<DistinguishedName>>) -> TlsAcceptor {
    let identity = ServerIdentity::generate(&authority(), HOST, NOW, [7; 20]).unwrap();
    let key = PrivateKeyDer::Pkcs8(identity.key().pkcs8_der().to_vec().into());
    let chain = vec![CertificateDer::from(identity.certificate().der().to_vec())];
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(match cas {
            Some(cas) => Arc::new(Asking(cas)),
            None => WebPkiClientVerifier::no_client_auth(),
        })
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(mut stream: TcpStream, acceptor: TlsAcceptor, behaviour: Arc<Behaviour>) {
    let mut first = [0; HEADER.len()];
    if stream.peek(&mut first).await.is_err() {
        return;
    }
    let has_header = first == HEADER;
    behaviour.connections.lock().unwrap().push(has_header);
    let is_right = has_header == behaviour.wants_header.load(Ordering::SeqCst);
    if !is_right || behaviour.closes.load(Ordering::SeqCst) {
        // Closed with bytes unread: a reset.
        return;
    }
    if has_header {
        stream.read_exact(&mut first).await.unwrap();
    }
    let Ok(mut tls) = acceptor.accept(stream).await else {
        return;
    };
    let mut request = [0; 512];
    let _ = tls.read(&mut request).await;
    let _ = tls.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await;
    let _ = tls.shutdown().await;
}

/// The address of a server, and what it does and has seen.
async fn server() -> (String, Arc<Behaviour>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let behaviour = Arc::new(Behaviour::default());
    let (acceptor, shared) = (acceptor(), behaviour.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, acceptor.clone(), shared.clone()));
        }
    });
    (address, behaviour)
}

fn runs(test: impl AsyncFnOnce()) {
    OneThread::start().unwrap().run_to_its_end(test());
}

async fn shakes_hands(address: &str, wants_header: bool) -> Observation {
    let attempt = async |header| connect(address, None, HOST, None, header).await;
    with_or_without_header(wants_header, attempt).await
}

#[test]
fn a_gateway_without_proxy_protocol_is_never_sent_a_header() {
    runs(async || {
        let (address, behaviour) = server().await;
        let observation = shakes_hands(&address, false).await;
        assert_eq!(observation.outcome, Outcome::Answered(404));
        assert!(!observation.proxy_protocol);
        assert_eq!(behaviour.seen(), [false]);
    });
}

#[test]
fn a_gateway_that_wants_the_header_is_looked_at_with_it_on_a_new_connection() {
    runs(async || {
        let (address, behaviour) = server().await;
        behaviour.wants_header.store(true, Ordering::SeqCst);
        let observation = shakes_hands(&address, false).await;
        assert_eq!(observation.outcome, Outcome::Answered(404));
        assert!(observation.server.unwrap().covers_host(HOST));
        assert!(observation.proxy_protocol);
        assert_eq!(behaviour.seen(), [false, true]);
        // What worked comes first from then on; when the gateway changes, it is seen at once.
        let again = shakes_hands(&address, true).await;
        assert_eq!(again.outcome, Outcome::Answered(404));
        assert_eq!(behaviour.seen(), [true]);
        behaviour.wants_header.store(false, Ordering::SeqCst);
        let changed = shakes_hands(&address, true).await;
        assert_eq!(changed.outcome, Outcome::Answered(404));
        assert!(!changed.proxy_protocol);
        assert_eq!(behaviour.seen(), [true, false]);
    });
}

#[test]
fn several_connections_to_one_address_remember_what_worked() {
    runs(async || {
        let (address, behaviour) = server().await;
        behaviour.wants_header.store(true, Ordering::SeqCst);
        let attempt = async |header| connect(&address, None, HOST, None, header).await;
        let observations = several(false, attempt).await;
        assert_eq!(observations.len(), CONNECTIONS_PER_ADDRESS as usize);
        let seen = behaviour.seen();
        assert_eq!(seen.len(), observations.len() + 1);
        assert!(!seen[0] && seen[1..].iter().all(|header| *header));
    });
}

#[test]
fn a_gateway_that_closes_either_way_is_told_as_one_that_may_lack_its_certificate() {
    runs(async || {
        let (address, behaviour) = server().await;
        behaviour.closes.store(true, Ordering::SeqCst);
        let observation = shakes_hands(&address, false).await;
        let Outcome::Broken(reason) = observation.outcome else {
            panic!("{:?}", observation.outcome);
        };
        assert!(
            reason.contains("with and without a header of the PROXY protocol"),
            "{reason}"
        );
        assert!(reason.contains("no server certificate"), "{reason}");
        assert_eq!(behaviour.seen(), [false, true]);
    });
}

#[test]
fn an_address_where_nobody_listens_is_tried_once() {
    runs(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let outcome = shakes_hands(&address, false).await.outcome;
        assert!(matches!(outcome, Outcome::Unreachable(_)), "{outcome}");
    });
}

/// What a handshake with a server shows that does this with its only connection, within a second.
async fn meets<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> Observation
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let limit = Duration::from_secs(1);
    exchange(stream, HOST, None, false, limit).await.observation
}

#[track_caller]
fn is_aborted(observation: &Observation, words: &str) {
    let said = observation.outcome.to_string();
    assert_eq!(said, format!("was aborted: {words}"));
}

#[test]
fn a_port_for_plain_http_is_said_not_to_speak_tls() {
    runs(async || {
        let plain = async |mut stream: TcpStream| {
            let mut hello = [0; 512];
            let _ = stream.read(&mut hello).await;
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await;
        };
        let observation = meets(plain).await;
        let words = "the port answers in plain text instead of TLS; it may be an HTTP port";
        is_aborted(&observation, words);
    });
}

#[test]
fn a_port_that_never_answers_is_left_after_the_time_limit() {
    runs(async || {
        let silent = async |stream: TcpStream| {
            tokio::time::sleep(Duration::from_secs(30)).await;
            drop(stream);
        };
        let observation = meets(silent).await;
        is_aborted(&observation, "no answer within 1 s");
        assert!(observation.server.is_none());
    });
}

#[test]
fn what_a_gateway_shows_counts_although_the_service_behind_it_does_not_answer() {
    runs(async || {
        let slow = |cas| {
            async move |stream: TcpStream| {
                let mut tls = acceptor_asking(cas).accept(stream).await.unwrap();
                let mut request = [0; 512];
                let _ = tls.read(&mut request).await;
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
        };
        let observation = meets(slow(None)).await;
        is_aborted(&observation, "no answer within 1 s");
        assert!(observation.server.unwrap().covers_host(HOST));
        assert_eq!(observation.offered, None);
    });
}

#[test]
fn thousands_of_cas_are_read_and_more_than_clients_take_are_one_clear_line() {
    let names = |count: usize| -> Vec<DistinguishedName> {
        let ca = authority();
        let name = ca.certificate().subject_der().to_vec();
        std::iter::repeat_n(DistinguishedName::in_sequence(&name[2..]), count).collect()
    };
    let asks = |cas| {
        async move |stream: TcpStream| {
            let _ = acceptor_asking(Some(cas)).accept(stream).await;
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
    };
    let length = names(1)[0].as_ref().len() + 2;
    runs(async || {
        let few = 60_000 / length;
        let observation = meets(asks(names(few))).await;
        assert_eq!(observation.offered.unwrap().len(), few);
        let observation = meets(asks(names(65_500 / length))).await;
        let words = "a handshake message is larger than 64 KiB, for example because it lists thousands of CAs; clients may be unable to read it";
        is_aborted(&observation, words);
    });
}
