//! Which certificates are renewed, and the folder of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::Failure;
use crate::pki::names::ClientName;
use crate::plan::renew_client::due::Due;

/// A certificate to renew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The client.
    pub name: ClientName,
    /// The number of the certificate to renew; `None` for the last one that was delivered.
    pub number: Option<u32>,
    /// The number of the client's last certificate, if the inventory was listed.
    pub last: Option<u32>,
    /// The folder for the new files.
    pub folder: PathBuf,
}

/// The named clients, each once, all with the same folder. Refuses names that would be written to the same files.
pub(super) fn distinct(
    names: &[ClientName],
    number: Option<u32>,
    out: &Path,
) -> Result<Vec<Target>, Failure> {
    let mut stems: BTreeMap<String, &ClientName> = BTreeMap::new();
    let mut targets = Vec::new();
    for name in names {
        match stems.insert(name.file_stem(), name) {
            Some(known) if known == name => {}
            Some(known) => {
                return Err(Failure::usage(format!(
                    "the files of `{known}` and `{name}` would have the same names"
                ))
                .hint("renew these clients one by one, with another `--out`"));
            }
            None => targets.push(Target {
                name: name.clone(),
                number,
                last: None,
                folder: out.to_path_buf(),
            }),
        }
    }
    Ok(targets)
}

/// A folder per certificate, named after its client; if a client has several, further folders get the number too.
pub(super) fn due_folders(due: Vec<Due>, out: &Path) -> Vec<Target> {
    let mut folders: BTreeSet<String> = BTreeSet::new();
    let targets = due.into_iter().map(|Due { name, number, last }| {
        let stem = name.file_stem();
        let mut folder = stem.clone();
        let mut suffix = number;
        while !folders.insert(folder.clone()) {
            folder = format!("{stem}-{suffix}");
            suffix += 1;
        }
        let folder = out.join(folder);
        Target {
            name,
            number: Some(number),
            last: Some(last),
            folder,
        }
    });
    targets.collect()
}
