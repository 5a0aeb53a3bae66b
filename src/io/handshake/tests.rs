//! Against a server that takes, or wants, a header of the PROXY protocol as an Envoy does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::io::runtime::OneThread;
use crate::pki::server::ServerIdentity;
use crate::pki::tests::{NOW, authority};

const HOST: &str = "alice.example.com";
const HEADER: &[u8] = b"PROXY UNKNOWN\r\n";

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
    let identity = ServerIdentity::generate(&authority(), HOST, NOW, [7; 20]).unwrap();
    let key = PrivateKeyDer::Pkcs8(identity.key().pkcs8_der().to_vec().into());
    let chain = vec![CertificateDer::from(identity.certificate().der().to_vec())];
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
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
