//! An authority in a directory, for use without any cluster: `ca.crt`, `ca.key`, `ca.crl` once a certificate is revoked, and one inventory
//! entry per certificate.
//!
//! Answers reads like a cluster with this authority and no gateway, so that the same plan works on both. The entries have the cluster's
//! format: `kubectl apply -f DIR/clients` would put them into the inventory.

mod files;
mod made;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use zeroize::Zeroizing;

use super::cluster::Outcome;
use super::files::Unflushed;
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::plan::{Action, Query, Seen, Write};
use crate::resources::authority::{AuthorityState, Keys};
use crate::resources::names::{AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE};
use crate::resources::{Kind, Object, ObjectRef};

/// A directory that holds an authority, or will hold one.
pub struct CaDir {
    folder: PathBuf,
    /// The keys of a new CA: written together with its certificate, or not at all.
    new_keys: Mutex<Option<Object>>,
    /// Whether entries are written without a flush each, to be flushed together.
    flushes_together: bool,
    /// Entries that must be on disk before their certificates are delivered.
    unflushed: Mutex<Vec<Unflushed>>,
}

/// Locks a mutex, also after a thread panicked: each change is one assignment, so the value is
/// always complete.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file in the directory that holds an object.
enum Place {
    State,
    Keys,
    Entry(PathBuf),
    Namespace,
    Nowhere,
}

impl CaDir {
    /// The authority in a folder, which may not exist yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            new_keys: Mutex::new(None),
            flushes_together: false,
            unflushed: Mutex::new(Vec::new()),
        }
    }

    /// The directory with entries that are flushed many at once.
    #[must_use]
    pub fn flushing_together(self) -> Self {
        Self {
            flushes_together: true,
            ..self
        }
    }

    /// The path of the CA's private key.
    pub fn key_path(&self) -> PathBuf {
        self.folder.join(made::KEY)
    }

    /// The paths of the CA's certificate, key and revocation list in a directory, if one is given.
    pub fn files_in(folder: Option<&Path>) -> Vec<PathBuf> {
        let names = [made::CERTIFICATE, made::KEY, files::LISTS];
        let of_one = |folder: &Path| names.map(|name| folder.join(name));
        folder.map(of_one).into_iter().flatten().collect()
    }

    /// The folder to flush, once something was written into this directory.
    pub fn to_flush(&self) -> Option<&Path> {
        self.folder.exists().then_some(&self.folder)
    }

    fn place(&self, name: &ObjectRef) -> Place {
        match (name.kind, name.namespace.as_str()) {
            (Kind::Namespace, _) => Place::Namespace,
            (Kind::ConfigMap, AUTHORITY_NAMESPACE) => Place::State,
            (Kind::Secret, AUTHORITY_NAMESPACE) => Place::Keys,
            (Kind::ConfigMap, CLIENTS_NAMESPACE) => Place::Entry(
                self.folder
                    .join("clients")
                    .join(format!("{}.json", name.name)),
            ),
            _ => Place::Nowhere,
        }
    }

    /// Answers a read. A damaged file is an error at once: nothing can be done in such a directory.
    pub fn read(&self, query: &Query) -> Result<Seen<Vec<Object>>, Failure> {
        let name = match query {
            Query::Get(name) => name,
            Query::List {
                kind: Kind::ConfigMap,
                namespace: Some(namespace),
                selector,
                ..
            } if namespace == CLIENTS_NAMESPACE => {
                let all = files::entries(&self.folder.join("clients"))?;
                let selected = |object: &Object| {
                    selector
                        .as_ref()
                        .is_none_or(|selector| object.is_selected_by(selector))
                };
                return Ok(Seen::Found(all.into_iter().filter(selected).collect()));
            }
            _ => return Ok(Seen::NotServed),
        };
        let object = match self.place(name) {
            Place::Namespace => Some(Object::new(name.clone())),
            Place::State => self.state(name)?,
            Place::Keys => self.keys(name)?,
            Place::Entry(path) => files::entry(&path)?,
            Place::Nowhere => None,
        };
        Ok(object.map_or(Seen::Missing, |object| Seen::Found(vec![object])))
    }

    /// The written entries that must be flushed before a certificate is delivered.
    pub fn take_unflushed(&self) -> Vec<Unflushed> {
        std::mem::take(&mut *lock(&self.unflushed))
    }

    /// Changes one object.
    pub fn write(&self, write: Write) -> Result<Outcome, Failure> {
        let place = self.place(write.object().reference());
        let (written, action) = match (write, place) {
            (Write::Create(object), place) => (self.create(object, place)?, Action::Created),
            (Write::Replace(object), Place::State) => {
                (self.replace_state(&object)?, Action::Configured)
            }
            (Write::Replace(object), Place::Entry(path)) => {
                let flushes = !self.flushes_together;
                let written = files::replace_entry(&path, object, flushes)?;
                (written, Action::Configured)
            }
            (Write::Delete(object), Place::Entry(path)) => {
                (files::delete_entry(&path, object)?, Action::Deleted)
            }
            (write, _) => return Err(nowhere(write.object())),
        };
        Ok(
            written.map_or(Outcome::Conflict, |object| Outcome::Written {
                object: Box::new(object),
                action,
            }),
        )
    }

    /// Writes a new object; `None` where there is one already.
    fn create(&self, object: Object, place: Place) -> Result<Option<Object>, Failure> {
        match place {
            Place::Keys => Ok(Some(lock(&self.new_keys).insert(object).clone())),
            Place::State => self.create_state(&object),
            Place::Entry(path) if self.flushes_together => {
                files::create_entry_unflushed(&path, object)
            }
            Place::Entry(path) => {
                let created = files::create_entry(&path, object)?;
                Ok(created.map(|(object, unflushed)| {
                    lock(&self.unflushed).extend(unflushed);
                    object
                }))
            }
            Place::Namespace | Place::Nowhere => Err(nowhere(&object)),
        }
    }

    /// The state of an authority with the CAs of `ca.crt`, of which the first one signs.
    fn state(&self, name: &ObjectRef) -> Result<Option<Object>, Failure> {
        let Some(pem) = made::certificate(&self.folder)? else {
            return Ok(None);
        };
        let cas = self.certificates(&pem)?;
        let Some(issuing) = cas.first() else {
            return Ok(None);
        };
        let mut state = AuthorityState::new(&name.name, issuing.clone(), &name.name);
        // Nothing here tells which CA somebody made by hand, whose clients may share a serial number.
        state.given = cas.iter().map(Certificate::fingerprint).collect();
        state.trusted = cas;
        let lists = files::lists(&self.folder)?;
        state.crls.extend(lists.clone());
        let content = [pem, lists.unwrap_or_default().into_bytes()].concat();
        Ok(Some(files::versioned(state.object(), &content)))
    }

    /// Writes the revocation lists of a state, the only part of the state that changes in a directory; `None` if another run was faster.
    fn replace_state(&self, object: &Object) -> Result<Option<Object>, Failure> {
        let state = AuthorityState::read(object).map_err(Failure::internal)?;
        let is_unchanged = || {
            let live = self.state(object.reference())?;
            Ok(live.is_some_and(|live| live.resource_version() == object.resource_version()))
        };
        if !files::replace_lists(&self.folder, &state.crls.concat(), is_unchanged)? {
            return Ok(None);
        }
        self.state(object.reference())
    }

    fn certificates(&self, pem: &[u8]) -> Result<Vec<Certificate>, Failure> {
        Certificate::many_from_pem(pem).map_err(|error| {
            let path = self.folder.join(made::CERTIFICATE);
            Failure::refused(format!("the CA in `{}` cannot sign", path.display())).caused_by(error)
        })
    }

    /// The key of the signing CA, in the form of the cluster's Secret.
    fn keys(&self, name: &ObjectRef) -> Result<Option<Object>, Failure> {
        let Some(pem) = made::certificate(&self.folder)? else {
            return Ok(None);
        };
        let cas = self.certificates(&pem)?;
        let key = Zeroizing::new(super::files::read(&self.folder.join(made::KEY))?);
        let data = cas
            .first()
            .map(|ca| json!({ca.key_id_hex(): BASE64.encode(key.as_slice())}));
        Ok(data.map(|data| Object::new(name.clone()).with("data", data)))
    }

    /// Writes certificate and key of a new CA; `None` if another run was faster.
    fn create_state(&self, object: &Object) -> Result<Option<Object>, Failure> {
        let state = AuthorityState::read(object).map_err(Failure::internal)?;
        let keys = lock(&self.new_keys);
        let keys = keys
            .as_ref()
            .map(Keys::read)
            .transpose()
            .map_err(Failure::internal)?;
        let ca = state.issuing_ca();
        let key = keys.as_ref().zip(ca).and_then(|(keys, ca)| keys.of(ca));
        let (Some(ca), Some(key)) = (ca, key) else {
            return Err(Failure::internal("a new CA has no key"));
        };
        let pem = ca.pem();
        let is_ours = made::make(&self.folder, pem.as_bytes(), key)?;
        Ok(is_ours.then(|| files::versioned(object.clone(), pem.as_bytes())))
    }
}

fn nowhere(object: &Object) -> Failure {
    let reference = object.reference();
    Failure::internal(format!("{reference} cannot be written into a directory"))
}
