//! The witness of an authority: an object beside the inventory that knows how far the authority once was, and which inventory is
//! its own.
//!
//! It is written after each change of the authority, so it may lag behind, and never leads. An authority below its witness was
//! rolled back, by a backup or by a file that was applied again; an inventory without the witness's id was lost or replaced.

use serde_json::json;

use super::names::{CLIENTS_NAMESPACE, FIELD_MANAGER, MANAGED_BY};
use super::{Kind, Object, ObjectRef, Unreadable};

/// Marks it, with the authority's name; no entry of the inventory bears it.
pub const LABEL: &str = "kubectl-mtls.dev/witness";
const INVENTORY: &str = "kubectl-mtls.dev/inventory";
/// How far the authority was; also on the Secrets beside gateways that earlier versions wrote.
pub const REVISION: &str = "kubectl-mtls.dev/revision";

/// What it says; facts stand in annotations, so that a list of metadata tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The authority's name.
    pub authority: String,
    /// The inventory that it lies in: random, hexadecimal.
    pub inventory: String,
    /// The highest revision of the authority that is known to have been committed; 0 before the first.
    pub revision: u64,
}

/// The witness of an authority.
pub fn reference(authority: &str) -> ObjectRef {
    let name = format!("authority-{authority}");
    ObjectRef::new(Kind::ConfigMap, CLIENTS_NAMESPACE, name)
}

impl Witness {
    /// Reads it, or its metadata alone.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let annotation = |key: &str| {
            let value = object.annotation(key);
            value.ok_or_else(|| {
                object.unreadable(format!("it lacks `{key}`: it was edited by hand"))
            })
        };
        let revision = annotation(REVISION)?.parse();
        Ok(Self {
            authority: object.label(LABEL).unwrap_or_default().to_owned(),
            inventory: annotation(INVENTORY)?.to_owned(),
            revision: revision
                .map_err(|_| object.unreadable(format!("`{REVISION}` is not a number")))?,
        })
    }

    /// The manifest.
    pub fn object(&self) -> Object {
        Object::new(reference(&self.authority))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_label(LABEL, &self.authority)
            .with_annotation(INVENTORY, &self.inventory)
            .with_annotation(REVISION, &self.revision.to_string())
            .with("data", json!({}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_what_was_edited_does_not() {
        let witness = Witness {
            authority: "kyma-mtls".to_owned(),
            inventory: "00ff".to_owned(),
            revision: 7,
        };
        assert_eq!(Witness::read(&witness.object()).unwrap(), witness);
        for (key, value) in [(REVISION, "many"), (REVISION, "-1")] {
            let edited = witness.object().with_annotation(key, value);
            assert!(Witness::read(&edited).is_err());
        }
        let edited = witness.object().without_annotation(INVENTORY);
        assert!(
            Witness::read(&edited)
                .unwrap_err()
                .to_string()
                .contains(INVENTORY)
        );
    }
}
