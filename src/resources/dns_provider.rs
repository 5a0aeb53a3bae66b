//! Gardener's DNSProvider: an account with the DNS records of some domains.

use serde::Deserialize;
use serde_json::json;

use super::domain::Domain;
use super::names::{DNS_CLASS, FIELD_MANAGER, MANAGED_BY};
use super::progress::Progress;
use super::{Kind, Object, ObjectRef, Unreadable};

/// The DNSProvider that this plugin writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderFor<'a> {
    /// The namespace of the DNSProvider and its Secret: Gardener looks for it there.
    pub namespace: &'a str,
    /// The DNSProvider's name.
    pub name: &'a str,
    /// The type of account.
    pub account: &'a str,
    /// The Secret with the credentials.
    pub secret: &'a str,
    /// The only domain of the DNSProvider.
    pub domain: &'a str,
    /// Whether the cluster is a Gardener shoot.
    pub in_shoot: bool,
}

impl ProviderFor<'_> {
    /// The manifest.
    pub fn object(&self) -> Object {
        let object = Object::new(reference(self.namespace, self.name))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with(
                "spec",
                json!({
                    "type": self.account,
                    "secretRef": {"name": self.secret},
                    "domains": {"include": [self.domain]},
                }),
            );
        in_class(object, self.in_shoot)
    }
}

/// The reference to a DNSProvider.
pub fn reference(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::DnsProvider, namespace, name)
}

/// Sets the class annotation in a shoot, where an object is ignored without it; elsewhere an object is ignored with it.
pub fn in_class(object: Object, in_shoot: bool) -> Object {
    let (key, value) = DNS_CLASS;
    if in_shoot {
        object.with_annotation(key, value)
    } else {
        object
    }
}

/// Whether the DNS management of this cluster watches an object at all.
pub fn is_looked_at(object: &Object, in_shoot: bool) -> bool {
    let (key, value) = DNS_CLASS;
    (object.annotation(key) == Some(value)) == in_shoot
}

/// A DNSProvider as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsProvider {
    /// The type of account.
    pub account: String,
    /// The Secret with the credentials.
    pub secret: String,
    /// The included domains; empty for all of the account.
    pub include: Vec<String>,
    /// The excluded domains.
    pub exclude: Vec<String>,
    /// The domains that its controller found in the account, if it has logged in.
    pub domains: Vec<String>,
    /// The progress of its controller.
    pub progress: Progress,
    /// The Secret to which the status refers, if it says so.
    used_secret: Option<String>,
    /// When the status was written, by its own field.
    updated: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "type", default)]
    account: String,
    #[serde(default)]
    secret_ref: SecretRef,
    #[serde(default)]
    domains: Domains,
}

#[derive(Deserialize, Default)]
struct SecretRef {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize, Default)]
struct Domains {
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    domains: FoundDomains,
    #[serde(default)]
    secret_ref: Option<SecretRef>,
    #[serde(default)]
    last_update_time: Option<String>,
}

#[derive(Deserialize, Default)]
struct FoundDomains {
    #[serde(default)]
    included: Vec<String>,
}

impl DnsProvider {
    /// Reads a DNSProvider.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let status: Status = object.read("status")?;
        Ok(Self {
            account: spec.account,
            secret: spec.secret_ref.name,
            include: spec.domains.include,
            exclude: spec.domains.exclude,
            domains: status.domains.included,
            progress: Progress::read(object)?,
            used_secret: status.secret_ref.map(|secret| secret.name),
            updated: status.last_update_time,
        })
    }

    /// Whether the controller has logged in to the account with the present credentials; `written` is the DNSProvider in the API server's
    /// answer to this run's write.
    ///
    /// In a Gardener shoot the status is that of a copy in the seed, and so is its `observedGeneration`, which need not reach this
    /// object's. `secretRef` and `lastUpdateTime` are this object's own (external-dns-management,
    /// `pkg/dnsman2/controller/source/dnsprovider/reconciler.go`, `updateStatus`). The time has whole seconds: a Secret that changed within
    /// one shows an update too.
    pub fn is_ready(&self, written: Option<&Self>) -> bool {
        let speaks_of_another = self
            .used_secret
            .as_ref()
            .is_some_and(|used| *used != self.secret);
        let was_updated = match written {
            Some(written) => {
                let differs = self.updated != written.updated;
                let another_secret = self.used_secret != written.used_secret;
                self.updated.is_some() && (differs || another_secret)
            }
            None => self.used_secret.is_some(),
        };
        self.progress.state == "Ready"
            && !speaks_of_another
            && (self.progress.is_current || was_updated)
    }

    /// Whether this account has the records of a host: the longest domain over the host is an included one.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.strip_prefix("*.").unwrap_or(host);
        let longest = |domains: &[String]| {
            let over = domains.iter().filter(|domain| is_within(host, domain));
            over.map(String::len).max()
        };
        let stated = if self.include.is_empty() {
            &self.domains
        } else {
            &self.include
        };
        longest(stated).is_some_and(|length| Some(length) > longest(&self.exclude))
    }
}

/// Whether a host is equal to a domain, or below it.
pub fn is_within(host: &str, domain: &str) -> bool {
    let rest = host.strip_suffix(domain);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The default name of a domain's DNSProvider.
pub fn provider_name(domain: &Domain) -> String {
    domain.as_str().replace('.', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(in_shoot: bool) -> Object {
        ProviderFor {
            namespace: "shop",
            name: "my-example-com",
            account: "cloudflare-dns",
            secret: "my-example-com-credentials",
            domain: "my.example.com",
            in_shoot,
        }
        .object()
    }

    #[test]
    fn the_class_stands_on_it_in_a_shoot_only() {
        assert_eq!(
            object(true).annotation("dns.gardener.cloud/class"),
            Some("garden")
        );
        assert_eq!(object(false).annotation("dns.gardener.cloud/class"), None);
        assert!(is_looked_at(&object(false), false) && !is_looked_at(&object(false), true));
    }

    #[test]
    fn it_covers_its_domain_and_what_lies_below_unless_excluded() {
        let mut provider = DnsProvider::read(&object(true)).unwrap();
        assert!(provider.covers("*.mtls.my.example.com") && provider.covers("my.example.com"));
        assert!(!provider.covers("tommy.example.com") && !provider.covers("example.com"));
        provider.exclude = vec!["mtls.my.example.com".to_owned()];
        assert!(!provider.covers("a.mtls.my.example.com"));
    }

    fn with_status(generation: u64, status: serde_json::Value) -> DnsProvider {
        let mut body = object(true).with("status", status).body().clone();
        body["metadata"]["generation"] = generation.into();
        let object = Object::from_server(Kind::DnsProvider, body).unwrap();
        DnsProvider::read(&object).unwrap()
    }

    #[test]
    fn it_is_ready_only_when_its_controller_speaks_of_what_stands_there() {
        let status =
            json!({"state": "Ready", "message": "provider operational", "observedGeneration": 1});
        assert!(with_status(1, status.clone()).is_ready(None));
        assert!(!with_status(2, status).is_ready(None));
    }

    #[test]
    fn in_a_shoot_the_secret_and_the_time_tell_of_what_its_status_speaks() {
        let status = |secret: &str, time: &str| {
            let secret = json!({"name": secret});
            json!({"state": "Ready", "observedGeneration": 1, "secretRef": secret, "lastUpdateTime": time})
        };
        let (own, earlier, later) = (
            "my-example-com-credentials",
            "2026-01-01T10:00:00Z",
            "2026-01-01T10:00:01Z",
        );
        let before = with_status(3, status("another", earlier));
        assert!(!before.is_ready(Some(&before)) && !before.is_ready(None));
        assert!(with_status(3, status(own, later)).is_ready(Some(&before)));
        assert!(with_status(3, status(own, earlier)).is_ready(Some(&before)));
        // A rerun after an interruption has nothing to write.
        assert!(with_status(3, status(own, later)).is_ready(None));
        let same_secret = with_status(3, status(own, earlier));
        assert!(!same_secret.is_ready(Some(&same_secret)));
    }
}
