//! The types of DNS accounts that Gardener's DNS management supports, and the keys that the Secret of each must have.
//!
//! After gardener/external-dns-management, `pkg/dnsman2/dns/provider/dnshandleradapterchecks.go` and `handler/*`: a DNSProvider whose
//! Secret has unknown, missing or empty keys never becomes ready.

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::dns_credentials::Credentials;

/// A key of the Secret, and its alternative name; empty if it has none.
pub type Key = (&'static str, &'static str);

/// A type of DNS account.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// The type's name, `spec.type` of a DNSProvider.
    pub name: &'static str,
    /// The keys that the Secret must have.
    pub required: &'static [Key],
    /// The keys that the Secret may have.
    pub optional: &'static [Key],
    rule: Rule,
}

/// Requirements of a type beyond its keys.
#[derive(Debug, PartialEq, Eq)]
enum Rule {
    None,
    GoogleServiceAccount,
    OpenStack,
    FullyQualified(&'static [&'static str]),
}

const fn account(
    name: &'static str,
    required: &'static [Key],
    optional: &'static [Key],
    rule: Rule,
) -> Account {
    Account {
        name,
        required,
        optional,
        rule,
    }
}

const AZURE: &[Key] = &[
    ("AZURE_SUBSCRIPTION_ID", "subscriptionID"),
    ("AZURE_TENANT_ID", "tenantID"),
    ("AZURE_CLIENT_ID", "clientID"),
    ("AZURE_CLIENT_SECRET", "clientSecret"),
];
const AZURE_CLOUD: &[Key] = &[("AZURE_CLOUD", "")];
const SERVICE_ACCOUNT: &str = "serviceaccount.json";

/// Every type.
pub const ACCOUNTS: [Account; 10] = [
    account(
        "aws-route53",
        &[
            ("AWS_ACCESS_KEY_ID", "accessKeyID"),
            ("AWS_SECRET_ACCESS_KEY", "secretAccessKey"),
        ],
        &[
            ("AWS_REGION", "region"),
            ("AWS_SESSION_TOKEN", "sessionToken"),
        ],
        Rule::None,
    ),
    account(
        "google-clouddns",
        &[(SERVICE_ACCOUNT, "")],
        &[],
        Rule::GoogleServiceAccount,
    ),
    account("azure-dns", AZURE, AZURE_CLOUD, Rule::None),
    account("azure-private-dns", AZURE, AZURE_CLOUD, Rule::None),
    account(
        "alicloud-dns",
        &[
            ("ACCESS_KEY_ID", "accessKeyID"),
            ("ACCESS_KEY_SECRET", "accessKeySecret"),
        ],
        &[],
        Rule::None,
    ),
    account(
        "cloudflare-dns",
        &[("CLOUDFLARE_API_TOKEN", "apiToken")],
        &[],
        Rule::None,
    ),
    account(
        "openstack-designate",
        &[("OS_AUTH_URL", "authURL")],
        OPENSTACK,
        Rule::OpenStack,
    ),
    account(
        "netlify-dns",
        &[("NETLIFY_AUTH_TOKEN", "NETLIFY_API_TOKEN")],
        &[],
        Rule::None,
    ),
    account(
        "powerdns",
        &[("Server", "server"), ("ApiKey", "apiKey")],
        &[
            ("VirtualHost", "virtualHost"),
            ("InsecureSkipVerify", "insecureSkipVerify"),
            ("TrustedCaCert", "trustedCaCert"),
        ],
        Rule::None,
    ),
    account(
        "rfc2136",
        &[
            ("Server", ""),
            ("Zone", ""),
            ("TSIGKeyName", ""),
            ("TSIGSecret", ""),
        ],
        &[("TSIGSecretAlgorithm", "")],
        Rule::FullyQualified(&["Zone", "TSIGKeyName"]),
    ),
];

const OPENSTACK: &[Key] = &[
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
];

impl Account {
    /// The type with this name.
    pub fn of(name: &str) -> Option<&'static Self> {
        ACCOUNTS.iter().find(|account| account.name == name)
    }

    /// All keys, the required ones first.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.required.iter().chain(self.optional)
    }

    /// Whether the type has a key, by either name.
    pub fn knows(&self, key: &str) -> bool {
        self.keys()
            .any(|(name, other)| *name == key || *other == key)
    }

    /// The only key of a type with one key.
    pub fn only_key(&self) -> Option<&'static str> {
        match (self.required, self.optional) {
            ([(name, _)], []) => Some(name),
            _ => None,
        }
    }

    /// The names of the required keys, as text.
    pub fn required_names(&self) -> String {
        let names = self.required.iter().map(|(name, _)| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    }

    /// All faults of credentials, without values.
    pub fn faults(&self, credentials: &Credentials) -> Vec<String> {
        let mut faults = Vec::new();
        for key in self.required {
            if value(credentials, key).is_none() {
                faults.push(format!("{} is missing", named(key)));
            }
        }
        for key in self.keys() {
            if value(credentials, key).is_some_and(<[u8]>::is_empty) {
                faults.push(format!("`{}` is empty", key.0));
            }
            if credentials.get(key.0).is_some() && credentials.get(key.1).is_some() {
                faults.push(format!("`{}` and `{}` are the same key", key.0, key.1));
            }
        }
        let unknown = credentials.keys().filter(|key| !self.knows(key));
        faults.extend(unknown.map(|key| self.unknown(key, credentials.line(key))));
        if faults.is_empty() {
            faults.extend(self.rule.fault(credentials));
        }
        faults
    }
}

impl Account {
    /// The fault of a key that the type does not have. In a file with a mistake, the text before `=` may be the secret: it is shown only
    /// where it is a misspelt key.
    fn unknown(&self, key: &str, line: Option<usize>) -> String {
        let mut known = self.keys().flat_map(|(name, other)| [*name, *other]);
        let meant = known.find(|known| {
            !known.is_empty()
                && strsim::osa_distance(&known.to_lowercase(), &key.to_lowercase()) < 2
        });
        match (meant, line) {
            (Some(meant), _) => {
                format!(
                    "`{key}` is not a key of `{}` (did you mean `{meant}`?)",
                    self.name
                )
            }
            (None, Some(line)) => {
                format!("line {line} names a key that `{}` does not have", self.name)
            }
            (None, None) => format!("`{key}` is not a key of `{}`", self.name),
        }
    }
}

fn named((name, other): &Key) -> String {
    if other.is_empty() {
        format!("`{name}`")
    } else {
        format!("`{name}` (or `{other}`)")
    }
}

fn value<'a>(credentials: &'a Credentials, (name, other): &Key) -> Option<&'a [u8]> {
    credentials.get(name).or_else(|| credentials.get(other))
}

impl Rule {
    fn fault(&self, credentials: &Credentials) -> Option<String> {
        match self {
            Self::None => None,
            Self::GoogleServiceAccount => {
                google_fault(credentials.get(SERVICE_ACCOUNT).unwrap_or_default())
            }
            Self::OpenStack => openstack_fault(credentials),
            Self::FullyQualified(keys) => keys.iter().find_map(|key| {
                let ends_with_dot = credentials
                    .get(key)
                    .is_some_and(|value| value.ends_with(b"."));
                (!ends_with_dot).then(|| format!("`{key}` does not end with a dot"))
            }),
        }
    }
}

/// The fault of a Google key file: it must be a JSON object that says that it is a service
/// account's.
fn google_fault(bytes: &[u8]) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else {
        return Some(format!("`{SERVICE_ACCOUNT}` is not a JSON object"));
    };
    let text = |field: &str| {
        fields
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if text("type") != "service_account" {
        return Some(format!(
            "`{SERVICE_ACCOUNT}` is not the key of a service account: its `type` is not `service_account`"
        ));
    }
    ["project_id", "private_key", "client_email"]
        .into_iter()
        .find(|field| text(field).is_empty())
        .map(|field| format!("`{SERVICE_ACCOUNT}` has no `{field}`"))
}

/// The fault of `OpenStack` credentials: they need either an application credential, or a user with
/// password, domain and project.
fn openstack_fault(credentials: &Credentials) -> Option<String> {
    let has = |name: &str| {
        let key = OPENSTACK.iter().find(|(known, _)| *known == name);
        key.is_some_and(|key| value(credentials, key).is_some())
    };
    let lacks = |names: &[&str], why: &str| {
        let there = names.iter().any(|name| has(name));
        (!there).then(|| format!("`{}` is missing{why}", names.join("` or `")))
    };
    let (id, name) = (
        "OS_APPLICATION_CREDENTIAL_ID",
        "OS_APPLICATION_CREDENTIAL_NAME",
    );
    if has(id) || has(name) {
        if has("OS_PASSWORD") {
            return Some(
                "`OS_PASSWORD` cannot be combined with an application credential".to_owned(),
            );
        }
        let why = ", which an application credential needs";
        let user =
            (!has(id)).then(|| lacks(&["OS_USERNAME"], ", which names the credential's owner"));
        return lacks(&["OS_APPLICATION_CREDENTIAL_SECRET"], why).or(user.flatten());
    }
    let why = ", and there is no application credential";
    let domain = [
        "OS_DOMAIN_NAME",
        "OS_DOMAIN_ID",
        "OS_USER_DOMAIN_NAME",
        "OS_USER_DOMAIN_ID",
    ];
    lacks(&["OS_USERNAME"], why)
        .or_else(|| lacks(&["OS_PASSWORD"], why))
        .or_else(|| lacks(&domain, why))
        .or_else(|| lacks(&["OS_PROJECT_NAME", "OS_PROJECT_ID"], why))
}
