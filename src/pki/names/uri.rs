//! URI identities in certificates: the default one, and refused ones.
//!
//! Two readers determine the rules. The gateway copies URI SANs into a header, comma-separated. Istio authorizes a certificate by the text
//! after `spiffe://`, whoever signed it, and `*` is a wildcard in its policies.

use super::{ClientName, Error};
use std::fmt::Write;

/// The default URI of a client: `spiffe://<authority>-clients/<name, percent-encoded>`.
pub fn default_uri(authority: &str, name: &ClientName) -> String {
    format!(
        "spiffe://{authority}-clients/{}",
        percent_encode(name.as_str())
    )
}

/// Percent-encodes every UTF-8 byte that is not unreserved in RFC 3986 (letters, digits, `-._~`), upper-case digits.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Refuses URI SANs that would let a client pass for somebody else.
///
/// - not a URI (RFC 3986: a scheme, no blanks, ASCII), or with `,` or `*`;
/// - `spiffe://` with a query or a fragment (SPIFFE-ID, 2), or with a trust domain that is not lower-case letters, digits, `-._`
///   (SPIFFE-ID, 2.1), or that is `cluster.local` or one of `mesh_trust_domains`: those are the identities of workloads in the mesh;
/// - under `spiffe://<authority>-clients/`, unless it is exactly the default URI of this `name`.
pub fn check_uri_san(
    uri: &str,
    authority: &str,
    name: &ClientName,
    mesh_trust_domains: &[String],
) -> Result<(), Error> {
    check_syntax(uri)?;
    let Some(id) = spiffe_id(uri) else {
        return Ok(());
    };
    let domain = id.split('/').next().unwrap_or_default();
    let foreign = |reason: String| {
        Err(Error::ForeignIdentity {
            uri: uri.to_owned(),
            reason,
        })
    };
    let mesh = mesh_trust_domains
        .iter()
        .any(|known| known.eq_ignore_ascii_case(domain));
    if mesh {
        return foreign(format!(
            "`{domain}` is the mesh's trust domain, where the client would pass for a workload; choose another trust domain"
        ));
    }
    if domain == format!("{authority}-clients") && uri != default_uri(authority, name) {
        return foreign(format!(
            "`spiffe://{domain}/` is reserved for the names of this authority's clients, and this client is `{name}`; leave the flag out"
        ));
    }
    Ok(())
}

/// The part of [`check_uri_san`] that needs no context: syntax, and never `cluster.local`.
pub(in crate::pki) fn check_syntax(uri: &str) -> Result<(), Error> {
    let refuse = |reason: &str| {
        Err(Error::Uri {
            uri: uri.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if uri.contains([',', '*']) {
        return refuse(
            "`,` and `*` have a special meaning in the proxy's headers and policies; percent-encode them",
        );
    }
    if !uri.bytes().all(is_uri_character) || !valid_escapes(uri) {
        return refuse(
            "contains characters that a URI may not have; percent-encode them (RFC 3986)",
        );
    }
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let valid_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !valid_scheme || uri.len() == scheme.len() + 1 {
        return refuse("is not an absolute URI; it must look like `spiffe://example.org/alice`");
    }
    let Some(id) = spiffe_id(uri) else {
        if scheme.eq_ignore_ascii_case("spiffe") {
            return refuse("must start with `spiffe://` in lower case");
        }
        return Ok(());
    };
    if id.contains(['?', '#']) {
        return refuse("is not a SPIFFE ID: it may not contain `?` or `#`");
    }
    let domain = id.split('/').next().unwrap_or_default();
    let valid =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    if domain.is_empty() {
        return refuse(
            "is not a SPIFFE ID: it has no trust domain; it must look like `spiffe://example.org/alice`",
        );
    }
    if !domain.bytes().all(valid) {
        return refuse(
            "is not a SPIFFE ID: its trust domain may only contain lower-case letters, digits and `-._`",
        );
    }
    if domain == "cluster.local" {
        return Err(Error::ForeignIdentity {
            uri: uri.to_owned(),
            reason: "`cluster.local` is the mesh's trust domain, where the client would pass for a workload; choose another trust domain"
                .to_owned(),
        });
    }
    Ok(())
}

fn spiffe_id(uri: &str) -> Option<&str> {
    uri.strip_prefix("spiffe://")
}

/// Whether a byte is allowed in a URI (RFC 3986, 2.2 and 2.3, and `%`).
fn is_uri_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn valid_escapes(uri: &str) -> bool {
    uri.split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str) -> Result<(), Error> {
        check_uri_san(
            uri,
            "kyma-mtls",
            &"alice".parse().unwrap(),
            &["mesh.example".to_owned()],
        )
    }

    #[test]
    fn the_default_uri_percent_encodes_what_a_uri_cannot_hold() {
        let uri = default_uri("kyma-mtls", &"Jürgen, x*".parse().unwrap());
        assert_eq!(uri, "spiffe://kyma-mtls-clients/J%C3%BCrgen%2C%20x%2A");
        assert_eq!(check("spiffe://kyma-mtls-clients/alice"), Ok(()));
    }

    #[test]
    fn other_uris_of_a_clients_own_are_accepted() {
        for uri in [
            "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "https://example.com/a?b=c",
            "spiffe://example.org/a",
        ] {
            assert_eq!(check(uri), Ok(()), "{uri}");
        }
    }

    #[test]
    fn no_client_passes_for_a_workload_of_the_mesh() {
        const OF_THE_MESH: &str = "is the mesh's trust domain";
        const BAD_DOMAIN: &str = "its trust domain may only contain";
        for (uri, reason) in [
            ("spiffe://cluster.local/ns/default/sa/default", OF_THE_MESH),
            ("spiffe://cluster.local", OF_THE_MESH),
            ("spiffe://mesh.example/ns/a/sa/b", OF_THE_MESH),
            ("spiffe://Cluster.Local/ns/a/sa/b", BAD_DOMAIN),
            ("spiffe://cluster%2elocal/ns/a", BAD_DOMAIN),
            ("spiffe://x@cluster.local/ns/a", BAD_DOMAIN),
            ("spiffe://cluster.local:443/ns/a", BAD_DOMAIN),
            ("SPIFFE://cluster.local/ns/a/sa/b", "in lower case"),
            ("spiffe://cluster.local?x", "may not contain `?` or `#`"),
            ("spiffe://example.org/a#b", "may not contain `?` or `#`"),
            ("spiffe:///ns/a/sa/b", "it has no trust domain"),
        ] {
            let said = check(uri).unwrap_err().to_string();
            assert!(said.contains(reason), "{said}");
        }
    }

    #[test]
    fn no_client_passes_for_another_client_of_the_authority() {
        for uri in [
            "spiffe://kyma-mtls-clients/bob",
            "spiffe://kyma-mtls-clients",
            "spiffe://kyma-mtls-clients/",
            "spiffe://kyma-mtls-clients/alice/x",
        ] {
            assert!(
                matches!(check(uri), Err(Error::ForeignIdentity { .. })),
                "{uri}"
            );
        }
    }

    #[test]
    fn uris_that_blur_the_proxys_header_are_refused() {
        for uri in [
            "",
            "alice",
            "urn:",
            "urn:a,URI=b",
            "urn:*",
            "urn:a b",
            "urn:ü",
            "urn:%zz",
            "urn:%4",
            "urn:\"x\"",
            "1a:x",
        ] {
            assert!(matches!(check(uri), Err(Error::Uri { .. })), "{uri}");
        }
    }
}
