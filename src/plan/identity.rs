//! The names in client certificates: those of users' clients, and those of canaries.

use std::net::IpAddr;
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::{ClientKey, NewLeaf};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::key::KeyType;
use crate::pki::leaf::{self, LeafRequest, check_public_key, check_request};
use crate::pki::names::{ClientName, Error, Subject, check_uri_san, default_uri, percent_encode};
use crate::pki::when;

/// Default lifetime of a client certificate.
pub const CLIENT_TTL: Duration = Duration::days(90);
/// Lifetime of a canary, a certificate made only to probe.
const CANARY_TTL: Duration = Duration::minutes(10);
/// A CA with less remaining lifetime signs no canary.
const TOO_SHORT: Duration = Duration::seconds(15);
const CANARY: &str = "kubectl-mtls canary";

/// The names in a certificate, beside the client's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The whole subject; by default `CN=<name>`.
    pub subject: Option<Subject>,
    /// URI SANs; by default one that the name determines.
    pub uris: Vec<String>,
    /// The SPIFFE trust domain of the default URI; by default `<authority>-clients`.
    pub trust_domain: Option<String>,
    /// DNS SANs.
    pub dns: Vec<String>,
    /// E-mail SANs.
    pub emails: Vec<String>,
    /// IP address SANs.
    pub ips: Vec<IpAddr>,
}

/// The names of a client: a subject and at least one URI SAN, which also keeps Envoy from passing a forged SAN header on.
///
/// Refuses a URI in one of the mesh's `trust_domains`, which would stand for a workload.
pub fn client(
    authority: &str,
    name: &ClientName,
    names: &Names,
    ttl: Duration,
    trust_domains: &[String],
) -> Result<LeafRequest, Error> {
    let uris = uris(authority, name, names);
    for uri in &uris {
        check_uri_san(uri, authority, name, trust_domains)?;
    }
    let subject = match &names.subject {
        Some(subject) => subject.clone(),
        None => Subject::common_name(name.as_str())?,
    };
    Ok(LeafRequest {
        subject,
        uris,
        dns: names.dns.clone(),
        emails: names.emails.clone(),
        ips: names.ips.clone(),
        ttl,
    })
}

/// The URI SANs of a client.
pub(super) fn uris(authority: &str, name: &ClientName, names: &Names) -> Vec<String> {
    if !names.uris.is_empty() {
        return names.uris.clone();
    }
    vec![match &names.trust_domain {
        Some(domain) => format!("spiffe://{domain}/{}", percent_encode(name.as_str())),
        None => default_uri(authority, name),
    }]
}

/// The note on a certificate that ends with its CA, before the requested time.
pub fn cut_short(
    certificate: &Certificate,
    signer: &Authority,
    wanted: Duration,
) -> Option<String> {
    let (end, lifetime) = (certificate.not_after(), leaf::lifetime(certificate));
    (end >= signer.not_after() && lifetime < wanted).then(|| {
        format!(
            "the certificate ends with its CA, on {}: valid for {} instead of {}",
            when::end(end, certificate.not_before()),
            when::span(lifetime),
            when::span(wanted)
        )
    })
}

/// A canary of a CA: a short-lived client certificate; `None` if the CA ends before there is time for a probe.
pub fn canary(
    authority: &str,
    signer: &Arc<Authority>,
    now: OffsetDateTime,
) -> Result<Option<NewLeaf>, Failure> {
    let left = signer.certificate().not_after() - now;
    if left < TOO_SHORT {
        return Ok(None);
    }
    let ttl = CANARY_TTL.min(left - Duration::SECOND);
    let name: Result<ClientName, Error> = CANARY.parse();
    let request = name.and_then(|name| client(authority, &name, &Names::default(), ttl, &[]));
    let request =
        request.map_err(|error| Failure::internal(format!("no canary certificate: {error}")))?;
    Ok(Some(NewLeaf {
        authority: signer.clone(),
        request,
        key: ClientKey::New(KeyType::P256),
    }))
}

/// A client certificate for a key; refused if no gateway would accept it.
pub fn certificate(
    authority: &str,
    name: &ClientName,
    names: &Names,
    ttl: Duration,
    key: &ClientKey,
    trust_domains: &[String],
) -> Result<LeafRequest, Failure> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::usage(format!("no certificate for `{name}`")).caused_by(error)
    };
    let leaf = client(authority, name, names, ttl, trust_domains)
        .map_err(|error| refused(error.into()))?;
    check_request(&leaf).map_err(|error| refused(error.into()))?;
    let public = match key {
        ClientKey::New(_) => return Ok(leaf),
        ClientKey::Given(key) => key.public_key_der(),
        ClientKey::Elsewhere(public) => public,
    };
    check_public_key(public).map_err(|error| refused(error.into()))?;
    Ok(leaf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(names: &Names) -> Result<LeafRequest, Error> {
        let name = "alice".parse().unwrap();
        let mesh = ["mesh.example".to_owned()];
        client("kyma-mtls", &name, names, Duration::days(1), &mesh)
    }

    #[test]
    fn without_wishes_a_client_is_its_name() {
        let request = request(&Names::default()).unwrap();
        assert_eq!(request.subject.to_string(), "CN=alice");
        assert_eq!(request.uris, ["spiffe://kyma-mtls-clients/alice"]);
    }

    #[test]
    fn given_names_take_the_place_of_the_default_ones() {
        let names = Names {
            subject: Some("CN=a,OU=x,OU=y".parse().unwrap()),
            uris: vec!["urn:a".to_owned(), "urn:b".to_owned()],
            ..Names::default()
        };
        let given = request(&names).unwrap();
        assert_eq!(given.subject.to_string(), "CN=a,OU=x,OU=y");
        assert_eq!(given.uris, names.uris);
        let domain = Names {
            trust_domain: Some("example.org".to_owned()),
            ..Names::default()
        };
        assert_eq!(
            request(&domain).unwrap().uris,
            ["spiffe://example.org/alice"]
        );
    }

    #[test]
    fn no_wish_makes_a_client_a_workload_of_the_mesh_or_another_client() {
        for (domain, reason) in [
            ("mesh.example", "is the mesh's trust domain"),
            ("cluster.local", "is the mesh's trust domain"),
            ("UPPER", "its trust domain may only contain lower-case"),
        ] {
            let names = Names {
                trust_domain: Some(domain.to_owned()),
                ..Names::default()
            };
            let said = request(&names).unwrap_err().to_string();
            assert!(said.contains(reason), "{said}");
        }
        for (uri, reason) in [
            (
                "spiffe://kyma-mtls-clients/bob",
                "is reserved for the names of this authority's clients",
            ),
            ("spiffe://mesh.example/ns/a", "is the mesh's trust domain"),
        ] {
            let names = Names {
                uris: vec!["urn:a".to_owned(), uri.to_owned()],
                ..Names::default()
            };
            let said = request(&names).unwrap_err().to_string();
            assert!(said.contains(reason), "{said}");
        }
    }
}
