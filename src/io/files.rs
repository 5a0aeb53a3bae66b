//! Files that appear whole or not at all, and never over another one unasked.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::error::Failure;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner only: mode 0600.
    Private,
    /// Everybody, as far as the umask allows: mode 0644.
    Public,
}

impl Access {
    fn permissions(self) -> Permissions {
        Permissions::from_mode(match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        })
    }
}

/// A file that is to be written.
pub struct NewFile<'a> {
    /// Where.
    pub path: PathBuf,
    /// Its content.
    pub content: &'a [u8],
    /// Who may read it.
    pub access: Access,
}

/// Writes files so that all are there or none; each gets its name only when all are on disk.
///
/// Without `force`, a file that exists is an error, unless it has this very content.
pub fn write_all(files: &[NewFile<'_>], force: bool) -> Result<(), Failure> {
    let wanted: Vec<&NewFile<'_>> = files
        .iter()
        .filter(|file| !has_content(&file.path, file.content))
        .collect();
    let staged = wanted
        .iter()
        .map(|file| stage(file))
        .collect::<Result<Vec<_>, _>>()?;
    let mut done: Vec<&Path> = Vec::new();
    for (file, staged) in wanted.iter().zip(staged) {
        let result = if force {
            staged.persist(&file.path)
        } else {
            staged.persist_noclobber(&file.path)
        };
        if let Err(error) = result {
            if !force {
                // All of these were made a moment ago, under names that were free.
                done.iter().for_each(|path| drop(fs::remove_file(path)));
            }
            return Err(could_not_write(&file.path, error.error));
        }
        done.push(&file.path);
    }
    sync_folder(files);
    Ok(())
}

/// Whether a file exists and has exactly this content.
pub fn has_content(path: &Path, content: &[u8]) -> bool {
    fs::read(path).is_ok_and(|existing| existing == content)
}

fn stage(file: &NewFile<'_>) -> Result<NamedTempFile, Failure> {
    let folder = file
        .path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let write = || {
        let mut staged = Builder::new()
            .prefix(".kubectl-mtls-")
            .permissions(file.access.permissions())
            .tempfile_in(folder)?;
        staged.write_all(file.content)?;
        staged.as_file().sync_data()?;
        Ok(staged)
    };
    write().map_err(|error| could_not_write(&file.path, error))
}

/// A new name is on disk when its folder is; where a file system cannot do that, the files are there all the same.
fn sync_folder(files: &[NewFile<'_>]) {
    if let Some(folder) = files.first().and_then(|file| file.path.parent()) {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
}

fn could_not_write(path: &Path, error: std::io::Error) -> Failure {
    let hint = match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            "`--force` overwrites it, `--out DIR` writes elsewhere"
        }
        std::io::ErrorKind::NotFound => "create the folder first, or name another one with `--out`",
        std::io::ErrorKind::PermissionDenied => "name a folder that you may write to with `--out`",
        _ => "nothing was written",
    };
    Failure::failed(format!("could not write `{}`", path.display()))
        .caused_by(error)
        .hint(hint)
}

/// Tells early whether a folder can be written to.
pub fn check_writable(folder: &Path) -> Result<(), Failure> {
    let probe = Builder::new().prefix(".kubectl-mtls-").tempfile_in(folder);
    probe
        .map(drop)
        .map_err(|error| could_not_write(folder, error))
}

/// Reads a small file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::failed(format!("could not read `{}`", path.display())).caused_by(error)
    })
}
