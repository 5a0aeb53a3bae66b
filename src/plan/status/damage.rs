//! Trust bundles that istiod or Envoy cannot use.

use super::{Finding, check};
use crate::pki::bundle::Error;
use crate::plan::command_line;
use crate::resources::client_ca::Material;
use crate::resources::names::{AUTHORITY_LABEL, AUTHORITY_NAMESPACE};
use crate::resources::{Kind, Object};

/// The finding on an unusable trust bundle in an object, if it is unusable.
pub(super) fn damage(object: &Object, expose: &str) -> Option<Finding> {
    let reference = object.reference();
    let (check, reason) = match Material::read(object) {
        Err(error) => (&check::CLIENT_CA_WRONG_KEYS, error.to_string()),
        Ok(material) => {
            let error = material.trust_bundle().err()?;
            let check = match &error {
                Error::PrivateKey { .. } => &check::CLIENT_CA_PRIVATE_KEY_IN_BUNDLE,
                Error::Leaf { .. } => &check::CLIENT_CA_LEAF_IN_BUNDLE,
                _ => &check::CLIENT_CA_UNREADABLE,
            };
            (check, format!("{reference}: `{}`: {error}", material.key))
        }
    };
    let is_authority =
        reference.kind == Kind::ConfigMap && reference.namespace == AUTHORITY_NAMESPACE;
    let remedy = if is_authority {
        command_line::restore(&reference.name)
    } else if let Some(authority) = object.label(AUTHORITY_LABEL) {
        // Not by deleting the Secret: istiod may read the CA of the server certificate instead, and everybody whom it certified gets in.
        format!(
            "put the `ca.crt` of the ConfigMap {AUTHORITY_NAMESPACE}/{authority}, and nothing else, under the key `cacert` of {reference}, then run: {expose} --fail-closed"
        )
    } else {
        format!("put PEM certificates of the client CA, and nothing else, into {reference}")
    };
    Some(Finding::new(check, reason, remedy))
}
