//! Which hosts a server certificate covers.

use std::net::IpAddr;

pub(super) fn covers(dns: &[String], ips: &[IpAddr], host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse::<IpAddr>() {
        return ips.contains(&address);
    }
    dns.iter().any(|pattern| matches(pattern, host))
}

fn matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    match pattern.strip_prefix("*.") {
        // The asterisk stands for one whole label, and never for a top-level domain.
        Some(parent) => host.split_once('.').is_some_and(|(first, rest)| {
            !first.is_empty() && parent.contains('.') && rest.eq_ignore_ascii_case(parent)
        }),
        None => !pattern.contains('*') && pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(pattern: &str, host: &str) -> bool {
        covers(&[pattern.to_owned()], &["192.0.2.1".parse().unwrap()], host)
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        assert!(covered("*.mtls.example.com", "httpbin.mtls.example.com"));
        assert!(covered("*.mtls.example.com", "HTTPBIN.MTLS.example.com."));
        for host in [
            "a.b.mtls.example.com",
            "mtls.example.com",
            ".mtls.example.com",
            "httpbin.example.com",
        ] {
            assert!(!covered("*.mtls.example.com", host), "{host}");
        }
        assert!(!covered("*.com", "example.com"));
        assert!(!covered("h*.example.com", "httpbin.example.com"));
    }

    #[test]
    fn addresses_are_covered_by_address_names_only() {
        assert!(covered("x", "192.0.2.1"));
        assert!(!covered("192.0.2.2", "192.0.2.2"));
    }
}
