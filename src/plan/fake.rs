//! An API server in memory, for tests of plans.

use std::collections::BTreeMap;

use super::{Action, Query, Seen, Write};
use crate::resources::{Object, ObjectRef};

/// A cluster that stores, tells who was denied what, and lets others act in between.
#[derive(Default, Clone)]
pub struct Fake {
    /// What is stored.
    pub objects: BTreeMap<ObjectRef, Object>,
    /// What may not be read.
    pub denied: Vec<ObjectRef>,
    version: u64,
    /// Told apart what is made.
    pub random: u8,
    /// Reads so far.
    pub reads: usize,
    /// Writes so far: verb and object.
    pub writes: Vec<String>,
}

impl Fake {
    /// Stores an object.
    pub fn put(&mut self, object: &Object) -> Object {
        self.version += 1;
        let mut body = object.body().clone();
        let before = self.objects.get(object.reference());
        let uid = before.map(|before| before.at(&["metadata", "uid"]).cloned());
        let uid = uid.flatten();
        body["metadata"]["uid"] = uid.unwrap_or_else(|| self.version.to_string().into());
        body["metadata"]["resourceVersion"] = self.version.to_string().into();
        let stored = Object::from_server(object.reference().kind, body).unwrap();
        self.objects
            .insert(stored.reference().clone(), stored.clone());
        stored
    }

    /// Answers a read.
    pub fn read(&mut self, query: &Query) -> Seen<Vec<Object>> {
        self.reads += 1;
        match query {
            Query::GetMetadata(name) => self.read(&Query::Get(name.clone())),
            Query::Get(name) if self.denied.contains(name) => Seen::Denied(format!("`get` {name}")),
            Query::Get(name) => self
                .objects
                .get(name)
                .map_or(Seen::Missing, |object| Seen::Found(vec![object.clone()])),
            Query::List {
                kind,
                namespace,
                selector,
                ..
            } => Seen::Found(
                self.objects
                    .values()
                    .filter(|object| object.reference().kind == *kind)
                    .filter(|object| {
                        namespace.is_none() || namespace.as_deref() == Some(object.namespace())
                    })
                    .filter(|object| {
                        selector
                            .as_deref()
                            .is_none_or(|selector| object.is_selected_by(selector))
                    })
                    .cloned()
                    .collect(),
            ),
            _ => Seen::NotServed,
        }
    }

    /// `None` for a lost race.
    pub fn write(&mut self, write: &Write) -> Option<(Object, Action)> {
        let object = write.object();
        let live = self.objects.get(object.reference());
        let (action, verb) = match (write, live) {
            (Write::Create(_), None) => (Action::Created, "create"),
            (Write::Replace(_), Some(live))
                if live.resource_version() == object.resource_version() =>
            {
                (Action::Configured, "replace")
            }
            (Write::Apply(_), None) => (Action::Created, "apply"),
            (Write::Apply(_), Some(_)) => (Action::Configured, "apply"),
            (Write::Delete(_), Some(live))
                if live.resource_version() == object.resource_version() =>
            {
                self.writes.push(format!("delete {}", object.reference()));
                self.objects.remove(object.reference());
                return Some((object.clone(), Action::Deleted));
            }
            _ => return None,
        };
        self.writes.push(format!("{verb} {}", object.reference()));
        Some((self.put(&object.clone()), action))
    }
}
