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
    } else if object.label(AUTHORITY_LABEL).is_some() {
        // `expose` reads the Secret for CAs that the authority does not know.
        let delete = command_line::kubectl("delete", reference);
        format!("{delete} && {expose} --fail-closed")
    } else {
        format!("put PEM certificates of the client CA, and nothing else, into {reference}")
    };
    Some(Finding::new(check, reason, remedy))
}
