//! An authority in a directory, for use without any cluster: `ca.crt`, `ca.key` and one inventory entry per certificate.
//!
//! The entries have the cluster's format: `kubectl apply -f DIR/clients` would put them into the inventory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;

use super::drive::make_authority;
use super::files::{self, Access, NewFile};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::names::ClientName;
use crate::plan::authority::NewAuthority;
use crate::resources::inventory::{Entry, EntryState, reference};
use crate::resources::{Kind, Object};

const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const CLIENTS: &str = "clients";

/// An authority in a directory.
pub struct CaDir {
    folder: PathBuf,
    /// The CA.
    pub authority: Arc<Authority>,
}

impl CaDir {
    /// Opens the directory; `None` where it has neither certificate nor key.
    pub fn open(folder: &Path, now: OffsetDateTime) -> Result<Option<Self>, Failure> {
        let [certificate, key] = paths(folder);
        match (certificate.exists(), key.exists()) {
            (false, false) => Ok(None),
            (true, true) => Ok(Some(Self {
                folder: folder.to_path_buf(),
                authority: Arc::new(load(&certificate, &key, now)?),
            })),
            (has_certificate, _) => {
                let (there, missing) = if has_certificate {
                    (CERTIFICATE, KEY)
                } else {
                    (KEY, CERTIFICATE)
                };
                Err(Failure::refused(format!(
                    "`{}` has `{there}` but no `{missing}`",
                    folder.display()
                ))
                .hint("put both there, or name an empty folder to make a new CA in it"))
            }
        }
    }

    /// Makes a CA in the directory.
    pub fn create(folder: &Path, new: &NewAuthority, now: OffsetDateTime) -> Result<Self, Failure> {
        let authority = make_authority(new, now)?;
        fs::create_dir_all(folder).map_err(|error| cannot_write(folder, error))?;
        let [certificate, key] = paths(folder);
        let key_pem = authority.key().to_pem();
        let certificate_pem = authority.certificate().pem();
        let private = NewFile {
            path: key,
            content: key_pem.as_bytes(),
            access: Access::Private,
        };
        let public = NewFile {
            path: certificate,
            content: certificate_pem.as_bytes(),
            access: Access::Public,
        };
        files::write_all(&[private, public], false)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            authority: Arc::new(authority),
        })
    }

    /// The entries of one name, in order.
    pub fn entries(&self, authority: &str, name: &ClientName) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::new();
        for number in 1.. {
            let path = self.path(authority, name, number);
            if !path.exists() {
                break;
            }
            entries.push(read_entry(&path)?);
        }
        Ok(entries)
    }

    /// Reserves a certificate under the next free number, before it reaches anybody.
    pub fn reserve(&self, name: &ClientName, mut entry: Entry) -> Result<Entry, Failure> {
        fs::create_dir_all(self.folder.join(CLIENTS))
            .map_err(|error| cannot_write(&self.folder, error))?;
        entry.state = EntryState::Reserved;
        while self.path(&entry.authority, name, entry.number).exists() {
            entry.number += 1;
        }
        self.write(name, &entry, false)?;
        Ok(entry)
    }

    /// Books a delivered certificate as issued.
    pub fn book(&self, name: &ClientName, mut entry: Entry) -> Result<Entry, Failure> {
        entry.state = EntryState::Issued;
        self.write(name, &entry, true)?;
        Ok(entry)
    }

    fn path(&self, authority: &str, name: &ClientName, number: u32) -> PathBuf {
        let file = format!("{}.json", reference(authority, name, number).name);
        self.folder.join(CLIENTS).join(file)
    }

    fn write(&self, name: &ClientName, entry: &Entry, force: bool) -> Result<(), Failure> {
        let content = format!("{:#}\n", entry.object(name).body());
        let file = NewFile {
            path: self.path(&entry.authority, name, entry.number),
            content: content.as_bytes(),
            access: Access::Public,
        };
        Ok(files::write_all(&[file], force)?)
    }
}

fn paths(folder: &Path) -> [PathBuf; 2] {
    [CERTIFICATE, KEY].map(|name| folder.join(name))
}

fn read_entry(path: &Path) -> Result<Entry, Failure> {
    let damaged = |reason: String| {
        Failure::refused(format!(
            "the inventory entry `{}` cannot be read: {reason}",
            path.display()
        ))
    };
    let body =
        serde_json::from_slice(&files::read(path)?).map_err(|error| damaged(error.to_string()))?;
    let object = Object::from_server(Kind::ConfigMap, body)
        .ok_or_else(|| damaged("it has no name".to_owned()))?;
    Entry::read(&object).map_err(|error| damaged(error.to_string()))
}

fn load(certificate: &Path, key: &Path, now: OffsetDateTime) -> Result<Authority, Failure> {
    let key_pem = zeroize::Zeroizing::new(files::read(key)?);
    Authority::load(files::read(certificate)?, &*key_pem, now).map_err(|error| {
        Failure::refused(format!("the CA in `{}` cannot sign", certificate.display()))
            .caused_by(error)
            .hint("nothing was written")
    })
}

fn cannot_write(folder: &Path, error: std::io::Error) -> Failure {
    Failure::failed(format!("could not create `{}`", folder.display()))
        .caused_by(error)
        .hint("name a folder that you may write to")
}
