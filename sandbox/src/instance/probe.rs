//! Looks whether something answers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{Error, Result};

/// Waits for a result, but not longer than `patience`.
pub(crate) async fn within<T>(
    patience: Duration,
    what: &str,
    logs: &Path,
    result: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(patience, result).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout {
            what: what.to_owned(),
            seconds: patience.as_secs(),
            logs: logs.to_owned(),
        }),
    }
}

/// Whether a plain HTTP GET answers 200.
pub(crate) async fn answers(server: SocketAddr, path: &str) -> bool {
    get(server, path)
        .await
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Number of listeners that an Envoy's administration page names; `None` when it does not answer.
pub(crate) async fn listeners(admin: SocketAddr) -> Option<usize> {
    let answer = get(admin, "/listeners").await.ok()?;
    Some(answer.lines().filter(|line| line.contains("::")).count())
}

async fn get(server: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether a TLS handshake for `host`, after the bytes of `prefix`, succeeds with a certificate of the given CA (PEM).
pub(crate) async fn presents_certificate(
    server: SocketAddr,
    prefix: &[u8],
    host: &str,
    authority: &str,
) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authority.as_bytes()).flatten());
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return false;
    };
    let Ok(mut stream) = TcpStream::connect(server).await else {
        return false;
    };
    if stream.write_all(prefix).await.is_err() {
        return false;
    }
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .is_ok()
}
