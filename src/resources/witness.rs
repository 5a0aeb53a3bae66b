//! The witness of an authority: an object in the inventory's namespace that records the authority's revision, and the id of its inventory.
//!
//! It is written after each change of the authority, so it may lag behind, and never leads. An authority below its witness was rolled back,
//! by a backup or by a file that was applied again; an inventory without the witness's id was lost or replaced. It also records the dropped
//! CAs, which a backup of the authority and its keys would restore, and its own uid: the API server gives an object that is created again
//! another one, so a witness with a uid of another object came out of a backup, and the inventory with it.

use std::collections::BTreeSet;

use serde_json::json;

use super::authority::AuthorityState;
use super::names::{CLIENTS_NAMESPACE, FIELD_MANAGER, MANAGED_BY};
use super::{Kind, Object, ObjectRef, Unreadable};

/// The label of a witness, with the authority's name; no entry of the inventory has it.
pub const LABEL: &str = "kubectl-mtls.dev/witness";
const INVENTORY: &str = "kubectl-mtls.dev/inventory";
/// The authority's revision; also on Secrets in gateways' namespaces that earlier versions wrote.
pub const REVISION: &str = "kubectl-mtls.dev/revision";
const DROPPED: &str = "kubectl-mtls.dev/dropped-cas";
const RETIRED: &str = "kubectl-mtls.dev/retired-keys";
const UID: &str = "kubectl-mtls.dev/witness-uid";

/// The facts in a witness; they are annotations, so that a list of metadata contains them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The authority's name.
    pub authority: String,
    /// The id of the inventory: random, hexadecimal.
    pub inventory: String,
    /// The highest revision of the authority that is known to have been committed; 0 before the first.
    pub revision: u64,
    /// The CAs that were dropped up to then; `None` if an earlier version wrote the witness.
    pub dropped: Option<Dropped>,
    /// The recorded `metadata.uid` of the witness; `None` until the first change after it was created, and if an earlier version wrote it.
    pub uid: Option<String>,
    /// Whether the witness was read from an object with another uid than the recorded one: it was restored from a backup.
    pub is_copy: bool,
}

/// CAs that must never be trusted again. The set only grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The CAs' SHA-256 fingerprints, lower-case hex.
    pub fingerprints: BTreeSet<String>,
    /// The keys of these CAs, and keys that never had a CA, by hex SKI.
    pub keys: BTreeSet<String>,
}

impl Dropped {
    /// Adds the dropped CAs of a state.
    #[must_use]
    pub fn with(mut self, state: &AuthorityState) -> Self {
        self.fingerprints.extend(state.dropped.iter().cloned());
        self.keys.extend(state.retired.iter().cloned());
        self
    }
}

fn listed(text: &str) -> BTreeSet<String> {
    let items = text.split(',').filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

fn list(items: &BTreeSet<String>) -> String {
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    items.join(",")
}

/// The reference to the witness of an authority.
pub fn reference(authority: &str) -> ObjectRef {
    let name = format!("authority-{authority}");
    ObjectRef::new(Kind::ConfigMap, CLIENTS_NAMESPACE, name)
}

impl Witness {
    /// The witness of an authority with this state, if it exists already.
    pub fn new(authority: &str, inventory: String, state: Option<&AuthorityState>) -> Self {
        let dropped = Dropped::default();
        Self {
            authority: authority.to_owned(),
            inventory,
            revision: state.map_or(0, |state| state.revision),
            dropped: Some(match state {
                Some(state) => dropped.with(state),
                None => dropped,
            }),
            uid: None,
            is_copy: false,
        }
    }

    /// The witness of the same authority with this later state.
    #[must_use]
    pub fn raised_to(self, state: &AuthorityState) -> Self {
        Self {
            revision: state.revision,
            dropped: Some(self.dropped.unwrap_or_default().with(state)),
            ..self
        }
    }

    /// Reads a witness, or only its metadata.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let annotation = |key: &str| {
            let value = object.annotation(key);
            value.ok_or_else(|| {
                object.unreadable(format!(
                    "`{key}` is missing: the witness was edited by hand"
                ))
            })
        };
        let revision = annotation(REVISION)?.parse();
        let dropped = object.annotation(DROPPED).map(|fingerprints| Dropped {
            fingerprints: listed(fingerprints),
            keys: listed(object.annotation(RETIRED).unwrap_or_default()),
        });
        let uid = object.annotation(UID).map(str::to_owned);
        let own = object.uid();
        Ok(Self {
            is_copy: uid.as_deref().zip(own).is_some_and(|(uid, own)| uid != own),
            uid,
            authority: object.label(LABEL).unwrap_or_default().to_owned(),
            inventory: annotation(INVENTORY)?.to_owned(),
            revision: revision
                .map_err(|_| object.unreadable(format!("`{REVISION}` is not a number")))?,
            dropped,
        })
    }

    /// The witness as it replaces this object, which is known by its uid from now on, also where it was restored from a backup.
    #[must_use]
    pub fn of_object(self, live: &Object) -> Self {
        Self {
            uid: live.uid().map(str::to_owned),
            is_copy: false,
            ..self
        }
    }

    /// The manifest.
    pub fn object(&self) -> Object {
        let object = Object::new(reference(&self.authority))
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_label(LABEL, &self.authority)
            .with_annotation(INVENTORY, &self.inventory)
            .with_annotation(REVISION, &self.revision.to_string())
            .with("data", json!({}));
        let object = match &self.uid {
            Some(uid) => object.with_annotation(UID, uid),
            None => object,
        };
        match &self.dropped {
            Some(dropped) => object
                .with_annotation(DROPPED, &list(&dropped.fingerprints))
                .with_annotation(RETIRED, &list(&dropped.keys)),
            None => object,
        }
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
            dropped: None,
            uid: None,
            is_copy: false,
        };
        assert_eq!(Witness::read(&witness.object()).unwrap(), witness);
        let some = Dropped {
            fingerprints: ["00".to_owned(), "ff".to_owned()].into(),
            keys: BTreeSet::new(),
        };
        for dropped in [Dropped::default(), some] {
            let witness = Witness {
                dropped: Some(dropped),
                ..witness.clone()
            };
            assert_eq!(Witness::read(&witness.object()).unwrap(), witness);
        }
        for (key, value) in [(REVISION, "many"), (REVISION, "-1")] {
            let edited = witness.object().with_annotation(key, value);
            let read = Witness::read(&edited).unwrap_err();
            assert_eq!(read.reason, format!("`{key}` is not a number"));
        }
        let stored = |object: Object, uid: &str| {
            let mut body = object.body().clone();
            body["metadata"]["uid"] = uid.into();
            Object::from_server(Kind::ConfigMap, body).unwrap()
        };
        let unknown = stored(witness.object(), "a");
        assert!(!Witness::read(&unknown).unwrap().is_copy);
        let known = witness.clone().of_object(&unknown).object();
        for (uid, is_copy) in [("a", false), ("b", true)] {
            let read = Witness::read(&stored(known.clone(), uid)).unwrap();
            assert_eq!((read.uid.as_deref(), read.is_copy), (Some("a"), is_copy));
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
