//! A reference to an object: its kind, its namespace and its name.

use std::fmt;

use super::Kind;
use super::object_name::{BadName, segment};

/// A reference to one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The object's kind.
    pub kind: Kind,
    /// The object's namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl ObjectRef {
    /// A reference to a namespaced object.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// A reference to a Namespace.
    pub fn namespace(name: impl Into<String>) -> Self {
        Self::new(Kind::Namespace, "", name)
    }

    /// The URL path of the object. All paths of requests are made here, so that names are always
    /// checked.
    pub fn path(&self) -> Result<String, BadName> {
        let name = segment(&self.name)?;
        Ok(format!("{}/{name}", self.collection_path()?))
    }

    /// Refuses a reference with an invalid name.
    pub fn check(&self) -> Result<(), BadName> {
        self.path().map(drop)
    }

    /// The URL path of the object's collection.
    pub fn collection_path(&self) -> Result<String, BadName> {
        let namespace = Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        self.kind.collection_path(namespace)
    }
}

/// Writes `Kind namespace/name`, the form in messages.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_a_request_to_another_place() {
        for name in ["..", ".", "", "../configmaps/x", "a/b", "a%2fb", "a\\b"] {
            let refused = Err(BadName {
                name: name.to_owned(),
            });
            let secret = ObjectRef::new(Kind::Secret, "shop", name);
            assert_eq!(secret.path(), refused);
            if !name.is_empty() {
                let secret = ObjectRef::new(Kind::Secret, name, "x");
                assert_eq!(secret.path(), refused);
            }
        }
        let odd = ObjectRef::new(Kind::ConfigMap, "shop", "a?watch=true#b c");
        assert!(
            odd.path()
                .unwrap()
                .ends_with("/configmaps/a%3Fwatch%3Dtrue%23b%20c")
        );
    }

    #[test]
    fn paths_follow_the_api_conventions() {
        assert_eq!(
            ObjectRef::new(Kind::Gateway, "shop", "gw").path().unwrap(),
            "/apis/networking.istio.io/v1/namespaces/shop/gateways/gw"
        );
        assert_eq!(
            ObjectRef::namespace("shop").path().unwrap(),
            "/api/v1/namespaces/shop"
        );
    }
}
