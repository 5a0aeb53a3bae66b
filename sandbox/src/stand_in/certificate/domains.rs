//! Which domains a certificate may be asked for, in the words of gardener/cert-management `validateDomainsAndCsr`.

use super::model::{Certificate, DEFAULT_ISSUER};

/// Why no issuer is even asked.
pub(super) fn refusal(certificate: &Certificate, allowed: &[String]) -> Option<String> {
    let domains = certificate.domains();
    if certificate.spec.csr.is_some() {
        return Some("the sandbox signs no requests: set commonName or dnsNames".into());
    }
    if domains.is_empty() {
        return Some("either domains or csr must be specified".into());
    }
    if let Some(name) = certificate
        .spec
        .common_name
        .as_ref()
        .filter(|name| name.chars().count() > 64)
    {
        let length = name.chars().count();
        return Some(format!(
            "the Common Name is limited to 64 characters (X.509 ASN.1 specification), but first given domain {name} has \
             {length} characters"
        ));
    }
    if let Some((_, name)) = domains
        .iter()
        .enumerate()
        .find(|(index, name)| domains.iter().take(*index).any(|earlier| earlier == *name))
    {
        return Some(format!("duplicate domain: {name}"));
    }
    if allowed.is_empty() || certificate.issuer() != (DEFAULT_ISSUER.to_owned(), None) {
        return None;
    }
    let outside = domains
        .iter()
        .find(|domain| !allowed.iter().any(|range| is_below(domain, range)))?;
    Some(format!(
        "domain {outside} is not in domain ranges of default issuer ({})",
        allowed.join(",")
    ))
}

fn is_below(domain: &str, range: &str) -> bool {
    let domain = domain.trim_end_matches('.').to_lowercase();
    domain == range
        || domain
            .strip_suffix(range)
            .is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use serde_json::{Value, json};

    use super::*;
    use crate::stand_in::resources::Kind;

    fn refused(spec: &Value, allowed: &[&str]) -> Option<String> {
        let object =
            DynamicObject::new("c", &Kind::Certificate.resource()).data(json!({ "spec": spec }));
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        refusal(&Certificate::read(&object).unwrap(), &allowed)
    }

    #[test]
    fn a_domain_outside_the_default_issuers_range_is_refused() {
        let spec = json!({ "commonName": "*.mtls.example.com" });
        let message = "domain *.mtls.example.com is not in domain ranges of default issuer (shoot.example.org)";
        assert_eq!(
            refused(&spec, &["shoot.example.org"]).as_deref(),
            Some(message)
        );
        assert_eq!(refused(&spec, &["example.com"]), None);
        let own = json!({ "commonName": "*.mtls.example.com", "issuerRef": { "name": "own", "namespace": "shop" } });
        assert_eq!(refused(&own, &["shoot.example.org"]), None);
    }

    #[test]
    fn names_are_needed_once_each_and_a_common_name_is_short() {
        assert!(refused(&json!({}), &[]).is_some());
        assert_eq!(
            refused(
                &json!({ "dnsNames": ["a.example.com", "a.example.com"] }),
                &[]
            )
            .as_deref(),
            Some("duplicate domain: a.example.com")
        );
        let long = format!("*.{}.example.com", "a".repeat(60));
        assert!(refused(&json!({ "commonName": long }), &[]).is_some());
        assert_eq!(refused(&json!({ "dnsNames": [long] }), &[]), None);
    }
}
