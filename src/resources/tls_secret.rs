//! A Secret with a client's key and certificate, for a client inside a cluster.
//!
//! Exactly `tls.crt` and `tls.key`, as `kubectl create secret tls` makes it. No `ca.crt`: Istio uses that as the CA of the *server* that
//! such a client calls (`DestinationRule`, `credentialName`). No label of this plugin, because the Secret belongs to the user.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::{Kind, Object, ObjectRef};
use crate::pki::key::PrivateKey;
use crate::pki::names::{ClientName, hash6};

/// The Secret's manifest, without a namespace unless one is given.
pub fn manifest(
    name: &ClientName,
    namespace: Option<&str>,
    chain_pem: &str,
    key: &PrivateKey,
) -> Object {
    let data = json!({
        "tls.crt": BASE64.encode(chain_pem),
        "tls.key": BASE64.encode(key.to_pem().as_bytes()),
    });
    let reference = ObjectRef::new(
        Kind::Secret,
        namespace.unwrap_or_default(),
        object_name(name),
    );
    Object::new(reference)
        .with("type", "kubernetes.io/tls".into())
        .with("data", data)
}

/// The client's name if it is a valid object name, else a part of it with a hash.
fn object_name(name: &ClientName) -> String {
    let slug = name.slug();
    if slug == name.as_str() {
        return slug;
    }
    format!("{slug}-{}", hash6(name.as_str()))
}
