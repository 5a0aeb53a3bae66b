//! Whether a DNSProvider can be used: its type and the keys of its Secret, in the words of gardener/external-dns-management
//! `pkg/dnsman2/dns/provider/dnshandleradapterchecks.go`.

/// The keys of a Secret: required or not, each with the other name that it may have.
type Keys = &'static [(&'static str, &'static str)];

struct Account {
    kind: &'static str,
    required: Keys,
    optional: Keys,
}

const ACCOUNTS: [Account; 10] = [
    Account {
        kind: "aws-route53",
        required: &[
            ("AWS_ACCESS_KEY_ID", "accessKeyID"),
            ("AWS_SECRET_ACCESS_KEY", "secretAccessKey"),
        ],
        optional: &[
            ("AWS_REGION", "region"),
            ("AWS_SESSION_TOKEN", "sessionToken"),
        ],
    },
    Account {
        kind: "google-clouddns",
        required: &[("serviceaccount.json", "")],
        optional: &[],
    },
    Account {
        kind: "azure-dns",
        required: AZURE,
        optional: &[("AZURE_CLOUD", "")],
    },
    Account {
        kind: "azure-private-dns",
        required: AZURE,
        optional: &[("AZURE_CLOUD", "")],
    },
    Account {
        kind: "alicloud-dns",
        required: &[
            ("ACCESS_KEY_ID", "accessKeyID"),
            ("ACCESS_KEY_SECRET", "accessKeySecret"),
        ],
        optional: &[],
    },
    Account {
        kind: "cloudflare-dns",
        required: &[("CLOUDFLARE_API_TOKEN", "apiToken")],
        optional: &[],
    },
    Account {
        kind: "openstack-designate",
        required: &[("OS_AUTH_URL", "authURL")],
        optional: &[
            ("OS_USERNAME", "username"),
            ("OS_PASSWORD", "password"),
            ("OS_DOMAIN_NAME", "domainName"),
            ("OS_DOMAIN_ID", "domainID"),
            ("OS_USER_DOMAIN_NAME", "userDomainName"),
            ("OS_USER_DOMAIN_ID", "userDomainID"),
            ("OS_PROJECT_NAME", "tenantName"),
            ("OS_PROJECT_ID", "tenantID"),
            ("OS_REGION_NAME", ""),
            ("OS_APPLICATION_CREDENTIAL_ID", "applicationCredentialID"),
            (
                "OS_APPLICATION_CREDENTIAL_NAME",
                "applicationCredentialName",
            ),
            (
                "OS_APPLICATION_CREDENTIAL_SECRET",
                "applicationCredentialSecret",
            ),
            ("CACERT", "caCert"),
            ("CLIENTCERT", "clientCert"),
            ("CLIENTKEY", "clientKey"),
            ("INSECURE", "insecure"),
            ("OS_IDENTITY_API_VERSION", ""),
        ],
    },
    Account {
        kind: "netlify-dns",
        required: &[("NETLIFY_AUTH_TOKEN", "NETLIFY_API_TOKEN")],
        optional: &[],
    },
    Account {
        kind: "powerdns",
        required: &[("Server", "server"), ("ApiKey", "apiKey")],
        optional: &[
            ("VirtualHost", "virtualHost"),
            ("InsecureSkipVerify", "insecureSkipVerify"),
            ("TrustedCaCert", "trustedCaCert"),
        ],
    },
    Account {
        kind: "rfc2136",
        required: &[
            ("Server", ""),
            ("Zone", ""),
            ("TSIGKeyName", ""),
            ("TSIGSecret", ""),
        ],
        optional: &[("TSIGSecretAlgorithm", "")],
    },
];

const AZURE: Keys = &[
    ("AZURE_SUBSCRIPTION_ID", "subscriptionID"),
    ("AZURE_TENANT_ID", "tenantID"),
    ("AZURE_CLIENT_ID", "clientID"),
    ("AZURE_CLIENT_SECRET", "clientSecret"),
];

/// Whether the type exists at all.
pub(super) fn is_supported(kind: &str) -> bool {
    ACCOUNTS.iter().any(|account| account.kind == kind)
}

/// What is wrong with the keys and values of the Secret.
pub(super) fn credentials_fault<'a>(
    kind: &str,
    secret: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Option<String> {
    let account = ACCOUNTS.iter().find(|account| account.kind == kind)?;
    let given: Vec<(&str, &[u8])> = secret.collect();
    let value = |(name, alias): &(&str, &str)| {
        given.iter().find(|(key, _)| key == name).or_else(|| {
            given
                .iter()
                .find(|(key, _)| !alias.is_empty() && key == alias)
        })
    };
    let mut faults: Vec<String> = Vec::new();
    for key in account.required {
        match value(key) {
            None => faults.push(format!(
                "property \"{}\" is required but not provided",
                key.0
            )),
            Some((_, [])) => faults.push(format!("property \"{}\" is required but empty", key.0)),
            Some(_) => {}
        }
    }
    for key in account.optional {
        if let Some((_, [])) = value(key) {
            let name = key.0;
            faults.push(format!(
                "property \"{name}\" is empty (please set non-empty value or drop the property)"
            ));
        }
    }
    let known = || account.required.iter().chain(account.optional);
    let stray = given
        .iter()
        .filter(|(key, _)| !known().any(|(name, alias)| name == key || alias == key));
    faults.extend(stray.map(|(key, _)| format!("property \"{key}\" is not allowed")));
    (!faults.is_empty()).then(|| {
        format!(
            "validation failed for provider type {kind}: {}",
            faults.join("\n")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: &str, keys: &[(&'static str, &'static str)]) -> Option<String> {
        credentials_fault(
            kind,
            keys.iter().map(|(name, value)| (*name, value.as_bytes())),
        )
    }

    #[test]
    fn missing_empty_and_foreign_keys_are_named() {
        assert_eq!(
            fault("cloudflare-dns", &[("CLOUDFLARE_API_TOKEN", "x")]),
            None
        );
        assert_eq!(fault("cloudflare-dns", &[("apiToken", "x")]), None);
        let text = fault("aws-route53", &[("AWS_ACCESS_KEY_ID", ""), ("zone", "x")]).unwrap();
        assert!(text.contains("property \"AWS_ACCESS_KEY_ID\" is required but empty"));
        assert!(text.contains("property \"AWS_SECRET_ACCESS_KEY\" is required but not provided"));
        assert!(text.contains("property \"zone\" is not allowed"));
    }
}
