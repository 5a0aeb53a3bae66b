//! What it is all for: the gateway lets in who has a certificate of the client CA.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::shared;

/// A client's certificate and key, DER.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

struct ClientAuthority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl ClientAuthority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self, name: &str) -> Identity {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (
            certificate.der().clone(),
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
    }
}

/// Sends a request through the load balancer and returns the first line of the answer, or why there is none.
async fn ask(host: &str, identity: Option<&Identity>) -> Result<String, String> {
    let sandbox = shared();
    let root = sandbox.stand_ins().root_certificate();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(root.as_bytes()).flatten());
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => config
            .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    let attempt = async {
        let stream = TcpStream::connect(sandbox.connect_to()).await?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        stream
            .write_all(
                format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.lines().next().unwrap_or_default().to_owned())
    };
    attempt.await.map_err(|error| error.to_string())
}

/// Makes a mutual-TLS Gateway for one host under the default domain; returns the host.
fn create_gateway(name: &str, clients: &ClientAuthority) -> String {
    let host = format!("{name}.mtls.{}", shared().domain());
    let client_ca = format!("{name}-clients-cacert");
    let objects = vec![
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": client_ca, "namespace": "istio-system"},
            "stringData": {"cacert": clients.certificate},
        }),
        json!({
            "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
            "metadata": {"name": name, "namespace": "istio-system"},
            "spec": {"commonName": host, "secretName": name},
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "selector": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
                "servers": [{
                    "port": {"number": 443, "name": "mtls", "protocol": "HTTPS"},
                    "tls": {"mode": "MUTUAL", "credentialName": name, "caCertCredentialName": client_ca},
                    "hosts": [host],
                }],
            },
        }),
    ];
    shared().create(objects).unwrap();
    host
}

/// Asks until the answer is the wanted one, as a change needs a moment to reach the proxies; twice, so that both replicas
/// are seen.
async fn await_answer(
    host: &str,
    identity: Option<&Identity>,
    wanted: impl Fn(&Result<String, String>) -> bool,
) {
    let started = Instant::now();
    let mut in_a_row = 0;
    while in_a_row < shared().replicas().len() {
        let answer = ask(host, identity).await;
        in_a_row = if wanted(&answer) { in_a_row + 1 } else { 0 };
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the gateway still answers {answer:?}"
        );
        if in_a_row == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn only_a_certificate_of_the_client_ca_is_let_in() {
    let (clients, strangers) = (
        ClientAuthority::new("clients"),
        ClientAuthority::new("strangers"),
    );
    let host = create_gateway("admission", &clients);
    // No route: past the handshake there is a 404.
    await_answer(&host, Some(&clients.issue("alice")), |answer| {
        answer == &Ok("HTTP/1.1 404 Not Found".into())
    })
    .await;
    await_answer(&host, None, |answer| {
        answer
            .as_ref()
            .is_err_and(|why| why.contains("CertificateRequired"))
    })
    .await;
    let stranger = strangers.issue("mallory");
    await_answer(&host, Some(&stranger), |answer| {
        answer.as_ref().is_err_and(|why| why.contains("UnknownC"))
    })
    .await;
}

#[tokio::test]
async fn a_route_leads_to_an_echo_behind_the_gateway() {
    let clients = ClientAuthority::new("routed clients");
    let host = create_gateway("routed", &clients);
    let echo = shared().deploy_echo("routed", "httpbin").unwrap();
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "routed", "namespace": "routed"},
        "spec": {
            "hosts": [host],
            "gateways": ["default/routed"],
            "http": [{"route": [{"destination": {
                "host": format!("{}.{}.svc.cluster.local", echo.service, echo.namespace),
                "port": {"number": echo.port},
            }}]}],
        },
    });
    shared().create(vec![route]).unwrap();
    await_answer(&host, Some(&clients.issue("alice")), |answer| {
        answer == &Ok("HTTP/1.1 200 OK".into())
    })
    .await;
}
