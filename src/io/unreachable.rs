//! Why a request got no answer from the API server, in words.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use time::OffsetDateTime;

use super::kubeconfig::of_credentials;
use crate::error::plain;

/// hyper's error for a name without addresses, and the standard library's words for the answer of the resolver.
const UNRESOLVED: [&str; 2] = ["dns error", "failed to lookup address information: "];

/// Why a request got no answer.
#[derive(Debug)]
pub(super) struct Unreachable {
    /// What happened, as the end of a sentence.
    pub reason: String,
    /// What to do about it, where that depends on the reason.
    pub hint: Option<String>,
}

impl Unreachable {
    /// Reads the innermost cause of an error of kube's client; values of the kubeconfig are never part of it.
    pub fn because(error: &kube::Error) -> Self {
        if let Some(words) = of_credentials(error) {
            return Self::of(words);
        }
        let mut chain: Vec<&(dyn Error + 'static)> = vec![error];
        while let Some(inner) = chain.last().and_then(|last| within(*last)) {
            chain.push(inner);
        }
        let tls = chain.iter().find_map(|error| error.downcast_ref());
        tls.map(of_tls)
            .or_else(|| of_network(&chain))
            .unwrap_or_else(|| Self::of(chain.last().map_or_else(String::new, plain)))
    }

    fn of(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The cause of an error. The `source` of an `io::Error` skips the error that it was made from.
fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let made_from = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match made_from {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn of_network(chain: &[&(dyn Error + 'static)]) -> Option<Unreachable> {
    let [unresolved, words] = UNRESOLVED;
    if chain.iter().any(|error| error.to_string() == unresolved) {
        let answer = chain.last().map_or_else(String::new, plain);
        let answer = answer.strip_prefix(words).unwrap_or(&answer);
        return Some(Unreachable::of(format!("host not found ({answer})")));
    }
    let broken = chain.iter().find_map(|error| {
        let kind = error.downcast_ref::<io::Error>()?.kind();
        Some(match kind {
            ErrorKind::ConnectionRefused => "connection refused",
            ErrorKind::TimedOut => "the server did not accept a connection in time",
            ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
                "the server closed the connection"
            }
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                "there is no route to the server"
            }
            _ => return None,
        })
    });
    let broken = broken.or_else(|| {
        let error: &hyper::Error = chain.iter().find_map(|error| error.downcast_ref())?;
        if error.is_incomplete_message() || error.is_closed() {
            return Some("the server closed the connection");
        }
        error.is_parse().then_some("the server does not speak HTTP")
    });
    broken.map(Unreachable::of)
}

fn of_tls(error: &TlsError) -> Unreachable {
    match error {
        TlsError::InvalidCertificate(error) => of_certificate(error),
        TlsError::InvalidMessage(_) => Unreachable::of("the server does not speak TLS")
            .hint("a server without TLS has a URL that begins with http://"),
        TlsError::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired,
        ) => Unreachable::of("the server does not accept the client certificate of the user")
            .hint("`kubectl config view --minify` shows the user of the context"),
        other => Unreachable::of(format!("the TLS handshake failed: {}", plain(other))),
    }
}

fn of_certificate(error: &CertificateError) -> Unreachable {
    let day = |time: &rustls::pki_types::UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or_default();
        let time = OffsetDateTime::from_unix_timestamp(seconds);
        time.map_or_else(|_| String::new(), |time| format!(" {}", time.date()))
    };
    match error {
        CertificateError::Expired => Unreachable::of("the server's certificate has expired"),
        CertificateError::ExpiredContext { not_after, .. } => {
            let day = day(not_after);
            Unreachable::of(format!("the server's certificate expired on{day}"))
        }
        CertificateError::NotValidYet => {
            Unreachable::of("the server's certificate is not valid yet")
                .hint("check the clock of this machine")
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let day = day(not_before);
            Unreachable::of(format!("the server's certificate is not valid before{day}"))
                .hint("check the clock of this machine")
        }
        CertificateError::NotValidForName => {
            Unreachable::of("the server's certificate is not for this name").hint(ANOTHER_NAME)
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            Unreachable::of(format!(
                "the server's certificate is not for `{}`, but for {}",
                expected.to_str(),
                if names.is_empty() {
                    "no name".to_owned()
                } else {
                    names.join(", ")
                },
            ))
            .hint(ANOTHER_NAME)
        }
        CertificateError::Revoked => Unreachable::of("the server's certificate is revoked"),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Unreachable::of("the server's certificate is not trusted: another CA issued it")
                .hint(ANOTHER_CA)
        }
        CertificateError::Other(error) if error.to_string().contains(OF_A_CA) => Unreachable::of(
            "the server's certificate is not trusted: it is the certificate of a CA",
        )
        .hint(ANOTHER_CA),
        CertificateError::Other(error) => Unreachable::of(format!(
            "the server's certificate is not trusted: {}",
            plain(&*error.0)
        ))
        .hint(ANOTHER_CA),
        _ => Unreachable::of("the server's certificate is not valid for a server").hint(ANOTHER_CA),
    }
}

/// webpki's error for a certificate of a server that may issue certificates.
const OF_A_CA: &str = "CaUsedAsEndEntity";
const ANOTHER_NAME: &str = "`--tls-server-name` sets the name that the certificate must have";
const ANOTHER_CA: &str = "`certificate-authority-data` of the kubeconfig, or `--certificate-authority FILE`, holds the CA of the server";

/// A name as rustls shows it, `DnsName("a")` or `IpAddress(10.0.0.1)`, without its kind.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    inner.trim_end_matches(')').trim_matches('"')
}
