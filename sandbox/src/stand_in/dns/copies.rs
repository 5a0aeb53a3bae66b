//! What a shoot's DNS objects become in the seed, where the controllers work: a copy of each, with a name and a generation of
//! its own (gardener/external-dns-management `pkg/dnsman2/controller/source`).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::DynamicObject;
use serde_json::Value;

use crate::stand_in::resources::{CONTROL_PLANE, ObjectKey};

/// The copies of all DNSProviders; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct ProviderCopies(Arc<Mutex<HashMap<String, ProviderCopy>>>);

#[derive(Debug)]
struct ProviderCopy {
    key: ObjectKey,
    kind: Value,
    contents: Value,
    generation: i64,
}

impl ProviderCopies {
    /// Brings the copy of a DNSProvider up to date and returns its generation.
    ///
    /// The copy names a Secret in the seed: another `spec.secretRef` changes the content of that Secret and not the copy. Another
    /// `spec.type` makes a new copy.
    pub(super) fn update(&self, source: &DynamicObject, has_secret: bool) -> i64 {
        let mut contents = source.data.get("spec").cloned().unwrap_or_default();
        contents["secretRef"] = has_secret.into();
        let kind = contents["type"].clone();
        let mut copies = self.lock();
        let uid = source.metadata.uid.clone().unwrap_or_default();
        match copies.get_mut(&uid).filter(|copy| copy.kind == kind) {
            Some(copy) => {
                if copy.contents != contents {
                    copy.contents = contents;
                    copy.generation += 1;
                }
                copy.generation
            }
            None => {
                let copy = ProviderCopy {
                    key: key(source, &kind.to_string(), ""),
                    kind,
                    contents,
                    generation: 1,
                };
                copies.insert(uid, copy);
                1
            }
        }
    }

    /// The copy's name; `None` before the DNSProvider was copied.
    pub(super) fn key_of(&self, source: &DynamicObject) -> Option<ObjectKey> {
        let uid = source.metadata.uid.as_deref().unwrap_or_default();
        self.lock().get(uid).map(|copy| copy.key.clone())
    }

    /// Deletes the copy.
    pub(super) fn forget(&self, source: &DynamicObject) {
        let uid = source.metadata.uid.as_deref().unwrap_or_default();
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ProviderCopy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name of the copy of a DNSEntry for a DNS name: each name has a copy of its own.
pub(super) fn entry_key(source: &DynamicObject, dns_name: &str) -> ObjectKey {
    key(source, dns_name, "-dnsentry")
}

/// The name ends in five characters that are unlike those of any other copy.
fn key(source: &DynamicObject, what: &str, suffix: &str) -> ObjectKey {
    let mut hasher = DefaultHasher::new();
    (&source.metadata.uid, what).hash(&mut hasher);
    let unique = hasher.finish() & 0xf_ffff;
    let name = ObjectKey::of(&source.metadata).name;
    ObjectKey::new(CONTROL_PLANE, format!("{name}{suffix}-{unique:05x}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stand_in::resources::Kind;

    fn provider(kind: &str, secret: &str, domain: &str) -> DynamicObject {
        let spec = json!({ "type": kind, "secretRef": { "name": secret }, "domains": { "include": [domain] } });
        let mut object = DynamicObject::new("dns", &Kind::DnsProvider.resource())
            .within("shop")
            .data(json!({ "spec": spec }));
        object.metadata.uid = Some("1".into());
        object
    }

    #[test]
    fn another_secret_leaves_the_copy_as_it_is_and_another_domain_does_not() {
        let copies = ProviderCopies::default();
        let first = provider("rfc2136", "one", "example.com");
        assert_eq!(copies.update(&first, true), 1);
        let other_secret = provider("rfc2136", "two", "example.com");
        assert_eq!(copies.update(&other_secret, true), 1);
        let other_domain = provider("rfc2136", "two", "example.org");
        assert_eq!(copies.update(&other_domain, true), 2);
        assert_eq!(copies.update(&other_domain, false), 3);
    }

    #[test]
    fn another_type_makes_a_new_copy() {
        let copies = ProviderCopies::default();
        copies.update(&provider("rfc2136", "one", "example.com"), true);
        copies.update(&provider("rfc2136", "one", "example.org"), true);
        let old = copies.key_of(&provider("", "", ""));
        let changed = provider("powerdns", "one", "example.org");
        assert_eq!(copies.update(&changed, true), 1);
        assert_ne!(copies.key_of(&changed), old);
    }
}
