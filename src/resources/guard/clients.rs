//! The clients that a host guard admits, in the policy and in the annotation that repeats it: of the route, or of the header guard where
//! the route is somebody else's.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::pki::names::hash6;
use crate::resources::names::CLIENTS_ANNOTATION;
use crate::resources::{Object, ObjectRef};

const SPIFFE: &str = "spiffe://";
/// Any identity: a URI SAN, else a DNS SAN, else a subject (Istio, `source.principals`).
const ANY: &str = "*";

/// The clients that may call a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    /// Every client whose certificate the gateway trusts.
    Any,
    /// Clients with one of these identities: URI SANs that begin with `spiffe://`.
    Listed(BTreeSet<String>),
}

impl Clients {
    /// The principals of a policy: URI SANs without `spiffe://` (Istio, `security/v1beta1/authorization_policy.proto`).
    pub(super) fn principals(&self) -> Vec<&str> {
        match self {
            Self::Any => vec![ANY],
            Self::Listed(uris) => uris
                .iter()
                .map(|uri| uri.strip_prefix(SPIFFE).unwrap_or(uri))
                .collect(),
        }
    }

    /// The listed identities; `None` if every client may call.
    pub fn listed(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Any => None,
            Self::Listed(uris) => Some(uris),
        }
    }

    /// The value of the annotation: `*`, or the identities separated by commas, which no URI SAN of a client contains.
    pub fn annotation(&self) -> String {
        match self {
            Self::Any => ANY.to_owned(),
            Self::Listed(uris) => uris
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(","),
        }
    }

    /// Reads the annotation; `None` if it names nobody.
    pub fn of_annotation(text: &str) -> Option<Self> {
        if text == ANY {
            return Some(Self::Any);
        }
        let uris = text.split(',').map(str::trim);
        let uris: BTreeSet<String> = uris
            .filter(|uri| !uri.is_empty())
            .map(str::to_owned)
            .collect();
        (!uris.is_empty()).then_some(Self::Listed(uris))
    }

    /// The clients that a policy admits by its first rule with `notPrincipals`; `None` if no rule has them.
    ///
    /// A pattern among them (`*`, `team/*`) admits clients that nobody listed: then the result is [`Clients::Any`].
    pub fn of_policy(object: &Object) -> Option<Self> {
        let rules = object.at(&["spec", "rules"])?.as_array()?;
        let principals = rules.iter().find_map(|rule| {
            let sources = rule.get("from")?.as_array()?;
            sources
                .iter()
                .find_map(|from| from.pointer("/source/notPrincipals")?.as_array())
        })?;
        let mut uris = BTreeSet::new();
        for principal in principals.iter().filter_map(Value::as_str) {
            if principal.contains('*') {
                return Some(Self::Any);
            }
            uris.insert(format!("{SPIFFE}{principal}"));
        }
        (!uris.is_empty()).then_some(Self::Listed(uris))
    }
}

/// The annotation by which a header guard notes who may call a host whose route belongs to somebody else: it begins with the Service and
/// the host, since its key has a hash only.
fn note(service: &ObjectRef, host: &str) -> (String, String) {
    let name = format!("{}/{}", service.namespace, service.name);
    (
        format!("{CLIENTS_ANNOTATION}-{}", hash6(&name)),
        format!("{name} {host} "),
    )
}

/// Who may call a Service by a host, as the header guard of its Gateway notes it.
pub fn noted_on(header_guard: &Object, service: &ObjectRef, host: &str) -> Option<Clients> {
    let (key, begin) = note(service, host);
    let value = header_guard.annotation(&key)?.strip_prefix(&begin)?;
    Clients::of_annotation(value)
}

/// Whether a header guard notes something of a host, if only that it has no list any more.
pub fn has_note_on(header_guard: &Object, service: &ObjectRef, host: &str) -> bool {
    let (key, begin) = note(service, host);
    let noted = header_guard.annotation(&key);
    noted.is_some_and(|noted| noted.starts_with(&begin))
}

/// A header guard that notes who may call a Service by a host; nobody is noted where the host has no host guard any more.
pub fn noting(
    header_guard: Object,
    (service, host): (&ObjectRef, &str),
    clients: Option<&Clients>,
) -> Object {
    let (key, begin) = note(service, host);
    let clients = clients.map(Clients::annotation).unwrap_or_default();
    header_guard.with_annotation(&key, &format!("{begin}{clients}"))
}

/// The existing list of admitted clients: that of the policy; that of the annotation if the policy is lost or admits clients that nobody
/// listed.
pub fn effective(policy: Option<Clients>, annotation: Option<Clients>) -> Option<Clients> {
    match (policy, annotation) {
        (Some(Clients::Any) | None, Some(annotation)) => Some(annotation),
        (policy, _) => policy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Kind;
    use serde_json::json;

    fn listed(names: &[&str]) -> Clients {
        let uri = |name: &&str| format!("spiffe://kyma-mtls-clients/{name}");
        Clients::Listed(names.iter().map(uri).collect())
    }

    fn policy(principals: &Value) -> Object {
        let rule = json!({"from": [{"source": {"notPrincipals": principals}}]});
        Object::new(ObjectRef::new(
            Kind::AuthorizationPolicy,
            "istio-system",
            "x",
        ))
        .with("spec", json!({"rules": [rule]}))
    }

    #[test]
    fn the_annotation_reads_back_as_it_was_written() {
        for clients in [Clients::Any, listed(&["ada"]), listed(&["ada", "ben"])] {
            let read = Clients::of_annotation(&clients.annotation());
            assert_eq!(read, Some(clients));
        }
        assert_eq!(Clients::of_annotation(""), None);
    }

    #[test]
    fn a_policy_with_a_pattern_admits_anybody() {
        let read = |principals: Value| Clients::of_policy(&policy(&principals));
        assert_eq!(
            read(json!(["kyma-mtls-clients/ada"])),
            Some(listed(&["ada"]))
        );
        assert_eq!(
            read(json!(["kyma-mtls-clients/ada", "*"])),
            Some(Clients::Any)
        );
        assert_eq!(read(json!(["kyma-mtls-clients/*"])), Some(Clients::Any));
        assert_eq!(read(json!([])), None);
    }

    #[test]
    fn the_policy_counts_unless_it_is_lost_or_opened() {
        let [ada, ben] = [listed(&["ada"]), listed(&["ben"])];
        assert_eq!(
            effective(Some(ada.clone()), Some(ben.clone())),
            Some(ada.clone())
        );
        assert_eq!(effective(None, Some(ben.clone())), Some(ben.clone()));
        assert_eq!(effective(Some(Clients::Any), Some(ben.clone())), Some(ben));
        assert_eq!(effective(Some(ada.clone()), None), Some(ada));
        assert_eq!(effective(None, None), None);
    }
}
