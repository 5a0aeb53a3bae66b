//! The record of what a purge is about to delete, written before its first deletion: after an interruption the route is gone, and with it
//! the name of its Gateway and the proof of who owns the Secrets.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::names::{FIELD_MANAGER, GATEWAY_ANNOTATION, GatewayName, MANAGED_BY, route};
use super::object_name::{is_label, is_subdomain};
use super::{Kind, Object, ObjectRef, Unreadable};

/// The objects to delete with a Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexposure {
    /// The Gateway.
    pub gateway: GatewayName,
    /// The Gateway's authority.
    pub authority: String,
    /// The host of the route, as far as it was known.
    pub host: Option<String>,
    /// The objects to delete, in order.
    pub doomed: Vec<Doomed>,
    /// The objects of others, which are kept.
    pub kept: Vec<Kept>,
}

/// One object to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doomed {
    kind: String,
    namespace: String,
    name: String,
    /// The uid when the record was written: another object with the name does not belong to it.
    pub uid: String,
}

impl Doomed {
    /// The record of an object as it was read.
    pub fn of(object: &Object) -> Self {
        let ObjectRef {
            kind,
            namespace,
            name,
        } = object.reference();
        Self {
            kind: known_as(*kind),
            namespace: namespace.clone(),
            name: name.clone(),
            uid: object.text(&["metadata", "uid"]).to_owned(),
        }
    }

    /// The reference to the object; `None` for a kind that this version does not know.
    pub fn reference(&self) -> Option<ObjectRef> {
        let mut kinds = Kind::ALL.into_iter();
        let kind = kinds.find(|kind| known_as(*kind) == self.kind)?;
        Some(ObjectRef::new(kind, &self.namespace, &self.name))
    }
}

/// The name of a kind, or its resource if another kind has the same name.
fn known_as(kind: Kind) -> String {
    let mut kinds = Kind::ALL.into_iter();
    match kinds.find(|other| other.name() == kind.name()) {
        Some(first) if first != kind => kind.resource(),
        _ => kind.name().to_owned(),
    }
}

/// An object that is kept, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// `kind/name`, as kubectl prints it.
    pub object: String,
    /// The object's namespace.
    pub namespace: String,
    /// Why the object is kept.
    pub reason: String,
}

impl Kept {
    /// An object that is kept for a reason.
    pub fn new(object: &ObjectRef, reason: impl Into<String>) -> Self {
        Self {
            object: format!("{}/{}", object.kind.singular_resource(), object.name),
            namespace: object.namespace.clone(),
            reason: reason.into(),
        }
    }
}

/// The reference to the record of a Service.
pub fn reference(namespace: &str, service: &str) -> ObjectRef {
    ObjectRef::new(Kind::ConfigMap, namespace, route(service))
}

const AUTHORITY: &str = "authority";
const HOST: &str = "host";
const DOOMED: &str = "objects";
const KEPT: &str = "kept";

impl Unexposure {
    /// The manifest.
    pub fn object(&self, namespace: &str, service: &str) -> Object {
        Object::new(reference(namespace, service))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_annotation(GATEWAY_ANNOTATION, &self.gateway.to_string())
            .with(
                "data",
                json!({
                    AUTHORITY: self.authority,
                    HOST: self.host.as_deref().unwrap_or_default(),
                    DOOMED: json!(self.doomed).to_string(),
                    KEPT: json!(self.kept).to_string(),
                }),
            )
    }

    /// Reads a record.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let gateway = object.annotation(GATEWAY_ANNOTATION).ok_or_else(|| {
            object.unreadable(format!("the annotation `{GATEWAY_ANNOTATION}` is missing"))
        })?;
        let text = |key: &str| object.text(&["data", key]);
        let unreadable = |key: &str, error: &dyn std::fmt::Display| {
            object.unreadable(format!("`{key}`: {error}"))
        };
        let gateway: GatewayName = gateway
            .parse()
            .map_err(|error: String| unreadable(GATEWAY_ANNOTATION, &error))?;
        let doomed: Vec<Doomed> =
            serde_json::from_str(text(DOOMED)).map_err(|error| unreadable(DOOMED, &error))?;
        // The names become parts of requests, and of commands that users paste.
        let host = text(HOST);
        let pairs = doomed
            .iter()
            .map(|doomed| (&doomed.namespace, &doomed.name));
        let are_names = pairs
            .chain([(&gateway.namespace, &gateway.name)])
            .all(|(namespace, name)| is_label(namespace) && is_subdomain(name));
        let is_host = host.is_empty() || is_subdomain(host.strip_prefix("*.").unwrap_or(host));
        if !are_names || !is_host || !is_subdomain(text(AUTHORITY)) {
            return Err(object.unreadable("it names something that cannot exist"));
        }
        Ok(Self {
            gateway,
            authority: text(AUTHORITY).to_owned(),
            host: Some(host.to_owned()).filter(|host| !host.is_empty()),
            doomed,
            kept: serde_json::from_str(text(KEPT)).map_err(|error| unreadable(KEPT, &error))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back() {
        let secret = ObjectRef::new(Kind::Secret, "istio-system", "kyma-mtls");
        let mut body = Object::new(secret.clone()).body().clone();
        body["metadata"]["uid"] = "1".into();
        let object = Object::from_server(Kind::Secret, body).unwrap();
        let record = Unexposure {
            gateway: GatewayName::new("edge", "shared"),
            authority: "kyma-mtls".to_owned(),
            host: Some("httpbin.example.com".to_owned()),
            doomed: vec![Doomed::of(&object)],
            kept: vec![Kept::new(&secret, "somebody keeps it")],
        };
        let written = record.object("shop", "httpbin");
        assert_eq!(Unexposure::read(&written).unwrap(), record);
        assert_eq!(record.doomed[0].reference(), Some(secret));
        let empty = Object::new(reference("shop", "x"));
        let missing = Unexposure::read(&empty).unwrap_err();
        assert_eq!(
            missing.reason,
            format!("the annotation `{GATEWAY_ANNOTATION}` is missing")
        );
        let edited = Unexposure::read(&written.with_annotation(GATEWAY_ANNOTATION, "shared"));
        assert_eq!(
            edited.unwrap_err().reason,
            format!("`{GATEWAY_ANNOTATION}`: `shared` is not `NAMESPACE/NAME`")
        );
    }
}
