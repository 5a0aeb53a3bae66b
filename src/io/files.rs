//! Files that appear whole or not at all, and never over another one unasked.

mod reading;
mod set;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

pub use reading::{
    check_small, ending_with, exposed, has_content, open, open_stdin, read, read_if_there,
    read_line_of_stdin, read_or_stdin,
};

pub use set::{PREPARED, complete, write_set};

use super::platform;
use crate::error::Failure;

/// What the names of unfinished files and folders start with.
pub const UNFINISHED: &str = ".kubectl-mtls-";

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner only: mode 0600. On Windows, whoever may read its folder.
    Private,
    /// Everybody, as far as the umask allows: mode 0644.
    Public,
    /// Everybody may run it: mode 0755.
    Executable,
}

impl Access {
    fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
            Self::Executable => 0o755,
        }
    }
}

/// A file that is to be written.
#[derive(Debug, Clone)]
pub struct NewFile<'a> {
    /// Where.
    pub path: PathBuf,
    /// Its content.
    pub content: &'a [u8],
    /// Who may read it.
    pub access: Access,
}

/// Why files were not written. What helps depends on whose files they are, so the caller adds the hints.
#[derive(Debug)]
pub struct NotWritten {
    path: PathBuf,
    source: io::Error,
    overwritten: Vec<PathBuf>,
}

impl NotWritten {
    pub(super) fn new(path: &Path, source: io::Error) -> Self {
        Self {
            path: path.to_path_buf(),
            source: without_path(source),
            overwritten: Vec::new(),
        }
    }

    /// What kind of error it was.
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

/// The error without the name of an unfinished file, which tempfile adds and nobody knows.
fn without_path(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path ") {
        Some((reason, _)) => io::Error::new(error.kind(), reason.to_owned()),
        None => error,
    }
}

impl From<NotWritten> for Failure {
    fn from(error: NotWritten) -> Self {
        let failure = Self::failed(format!("could not write `{}`", error.path.display()));
        let failure = failure.caused_by(error.source);
        if error.overwritten.is_empty() {
            return failure;
        }
        let names: Vec<String> = error
            .overwritten
            .iter()
            .map(|path| format!("`{}`", path.display()))
            .collect();
        failure.hint(format!("overwritten before that: {}", names.join(", ")))
    }
}

/// A file or folder that has its name, and may be lost when the power fails.
#[derive(Debug)]
pub struct Unflushed {
    path: PathBuf,
    file: File,
}

/// Writes files so that all are there or none; they get their names, in this order, only when all are on disk.
///
/// Without `force`, a file that exists is an error, unless it has this very content. With `force`, an error between two
/// files leaves the first ones overwritten, and says so.
pub fn write_all(files: &[NewFile<'_>], force: bool) -> Result<(), NotWritten> {
    write_after(files, force, &[])?;
    sync_folders(files);
    Ok(())
}

/// The same, and these others are on disk before the first file gets its name: all are flushed at once, which takes as long
/// as one. The names themselves reach the disk when the file system writes them.
pub fn write_after(
    files: &[NewFile<'_>],
    force: bool,
    others: &[Unflushed],
) -> Result<(), NotWritten> {
    let (wanted, staged) = stage_all(files)?;
    let of_wanted = wanted.iter().zip(&staged);
    let of_wanted = of_wanted.map(|(wanted, staged)| (wanted.path.as_path(), staged.as_file()));
    let of_others = others
        .iter()
        .map(|other| (other.path.as_path(), &other.file));
    flush(&of_wanted.chain(of_others).collect::<Vec<_>>())?;
    name(&wanted, staged, force)
}

/// The same, on disk only at the next [`flush_file_systems`].
pub fn write_later(files: &[NewFile<'_>], force: bool) -> Result<(), NotWritten> {
    let (wanted, staged) = stage_all(files)?;
    name(&wanted, staged, force)
}

/// Writes one new file, where none is; on disk only at the next [`flush_file_systems`].
pub fn create_later(file: &NewFile<'_>) -> Result<(), NotWritten> {
    let staged = stage(file).map_err(|error| NotWritten::new(&file.path, error))?;
    name(&[file], vec![staged], false)
}

/// Overwrites bytes within a file that is there; on disk only at the next [`flush_file_systems`]. Its length stays, and what
/// lies in one page of memory changes as a whole or not at all.
pub fn overwrite(path: &Path, file: &File, offset: u64, bytes: &[u8]) -> Result<(), NotWritten> {
    platform::write_all_at(file, bytes, offset).map_err(|error| NotWritten::new(path, error))?;
    note(path);
    Ok(())
}

/// Those that do not stand there with this very content, under names of no meaning yet.
fn stage_all<'a, 'b>(
    files: &'a [NewFile<'b>],
) -> Result<(Vec<&'a NewFile<'b>>, Vec<NamedTempFile>), NotWritten> {
    let wanted: Vec<&NewFile<'_>> = files
        .iter()
        .filter(|file| !has_content(&file.path, file.content))
        .collect();
    let staged = wanted
        .iter()
        .map(|file| stage(file).map_err(|error| NotWritten::new(&file.path, error)))
        .collect::<Result<_, _>>()?;
    Ok((wanted, staged))
}

/// Writes a file in this place, where none is, with content and access of another one.
pub(super) fn create(path: &Path, file: &NewFile<'_>) -> io::Result<()> {
    platform::create_new(path, file.access.mode())?.write_all(file.content)
}

/// Brings everything on the file systems of these folders to the disk, each of them at once, which takes less than one file
/// after the other.
pub fn flush_file_systems(folders: &[&Path]) -> Result<(), Failure> {
    platform::flush_file_systems(folders).map_err(|(folder, error)| {
        Failure::failed(format!(
            "could not bring `{}` to the disk",
            folder.display()
        ))
        .caused_by(error)
    })
}

/// Writes one new file that [`write_after`] will flush; without `force`, as in [`write_all`].
pub fn write_unflushed(file: &NewFile<'_>) -> Result<Vec<Unflushed>, NotWritten> {
    let failed = |error| NotWritten::new(&file.path, error);
    let staged = stage(file).map_err(failed)?;
    let handle = staged.as_file().try_clone().map_err(failed)?;
    name(&[file], vec![staged], false)?;
    let folder = folder_of(&file.path);
    let mut unflushed = vec![Unflushed {
        path: file.path.clone(),
        file: handle,
    }];
    // Where a file system cannot open folders, it cannot flush them either.
    unflushed.extend(File::open(folder).ok().map(|handle| Unflushed {
        path: folder.to_path_buf(),
        file: handle,
    }));
    Ok(unflushed)
}

fn name(
    wanted: &[&NewFile<'_>],
    staged: Vec<NamedTempFile>,
    force: bool,
) -> Result<(), NotWritten> {
    let mut done: Vec<PathBuf> = Vec::new();
    for (file, staged) in wanted.iter().zip(staged) {
        let result = if force {
            staged.persist(&file.path)
        } else {
            staged.persist_noclobber(&file.path)
        };
        if let Err(error) = result {
            if has_content(&file.path, file.content) {
                // Another run wrote the same a moment ago.
                continue;
            }
            let mut error = NotWritten::new(&file.path, error.error);
            if force {
                error.overwritten = done;
            } else {
                // All of these were made a moment ago, under names that were free.
                for path in &done {
                    drop(fs::remove_file(path));
                }
            }
            return Err(error);
        }
        note(&file.path);
        done.push(file.path.clone());
    }
    Ok(())
}

fn note(path: &Path) {
    super::written::record(format!("writing `{}`", path.display()));
}

/// Whether a symbolic link stands there.
pub fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// Whether anything stands there, a symbolic link that leads nowhere too.
pub fn is_taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn stage(file: &NewFile<'_>) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    let builder = platform::staged(builder.prefix(UNFINISHED), file.access.mode());
    let mut staged = builder.tempfile_in(folder_of(&file.path))?;
    staged.write_all(file.content)?;
    Ok(staged)
}

/// Brings all of these to the disk at once: a file system that is asked at the same time writes one journal entry for all.
fn flush(files: &[(&Path, &File)]) -> Result<(), NotWritten> {
    let Some((first, rest)) = files.split_first() else {
        return Ok(());
    };
    let sync = |(path, file): &(&Path, &File)| {
        file.sync_data()
            .map_err(|error| NotWritten::new(path, error))
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = rest
            .iter()
            .map(|file| scope.spawn(move || sync(file)))
            .collect();
        let mut result = sync(first);
        for other in others {
            let flushed = other.join().unwrap_or_else(|_| {
                Err(NotWritten::new(
                    first.0,
                    io::Error::other("the flush broke off"),
                ))
            });
            result = result.and(flushed);
        }
        result
    })
}

/// A new name is on disk when its folder is; where a file system cannot do that, the files are there all the same.
fn sync_folders(files: &[NewFile<'_>]) {
    let mut folders: Vec<&Path> = files.iter().map(|file| folder_of(&file.path)).collect();
    folders.dedup();
    for folder in folders {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Tells early whether a folder can be written to, or made where it does not exist.
pub fn check_writable(folder: &Path) -> Result<(), NotWritten> {
    let mut above = folder.ancestors();
    let there = above.find(|path| path.exists()).unwrap_or(Path::new("."));
    let probe = Builder::new().prefix(UNFINISHED).tempfile_in(there);
    probe
        .map(drop)
        .map_err(|error| NotWritten::new(folder, error))
}

/// Where a symbolic link leads, if not to a folder.
pub fn misled(path: &Path) -> Option<PathBuf> {
    let target = fs::read_link(path).ok()?;
    (!path.is_dir()).then_some(target)
}

/// Folders that were made; those that are empty in the end are removed.
#[derive(Debug)]
pub struct MadeFolders(Vec<PathBuf>);

impl Drop for MadeFolders {
    fn drop(&mut self) {
        for folder in &self.0 {
            // One that holds something stays.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// Makes a folder and those above it, on disk, as long as something comes into it; one that is there is fine.
pub fn make_folder(folder: &Path) -> Result<MadeFolders, NotWritten> {
    let missing: Vec<PathBuf> = folder
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .map(Path::to_path_buf)
        .collect();
    let failed = |error| NotWritten::new(folder, error);
    fs::create_dir_all(folder).map_err(failed)?;
    let made = MadeFolders(missing);
    for path in &made.0 {
        File::open(folder_of(path))
            .and_then(|above| above.sync_all())
            .map_err(failed)?;
    }
    Ok(made)
}

/// Makes a folder and those above it; one that is there is fine.
pub fn create_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| {
        Failure::failed(format!("could not create `{}`", folder.display())).caused_by(error)
    })
}
