//! Files that appear whole or not at all, and never overwrite another file unasked.

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
    read_line_of_stdin, read_or_stdin, replaces,
};

pub use set::{PREPARED, UnfinishedFolder, check_own, complete, write_set};

use super::platform;
use crate::error::Failure;

/// The prefix of the names of unfinished files and folders.
pub const UNFINISHED: &str = ".kubectl-mtls-";

/// The name of the folder of a new CA that is decided on, but not yet moved to its place.
pub const NEW_CA: &str = ".kubectl-mtls-new-ca";

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only the file's owner: mode 0600. On Windows, the users who may read its folder.
    Private,
    /// Everybody, as far as the umask allows: mode 0644.
    Public,
    /// Everybody may run the file: mode 0755.
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

/// A file to write.
#[derive(Debug, Clone)]
pub struct NewFile<'a> {
    /// The file's path.
    pub path: PathBuf,
    /// The file's content.
    pub content: &'a [u8],
    /// The users who may read the file.
    pub access: Access,
}

impl NewFile<'_> {
    /// Whether the file exists with exactly this content. One that may be overwritten counts only if it is a regular file with the access
    /// that is wanted.
    fn stands(&self, force: bool) -> bool {
        let is_as_wanted =
            |found: fs::Metadata| found.is_file() && platform::has_mode(&found, self.access.mode());
        has_content(&self.path, self.content)
            && (!force || fs::symlink_metadata(&self.path).is_ok_and(is_as_wanted))
    }
}

/// Why files were not written. The hints depend on the kind of files, so the caller adds them.
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

    /// The kind of I/O error.
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

/// The error without the name of an unfinished file, which tempfile adds and users do not know.
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

/// A file or folder that may be lost in a power failure, because it is not flushed yet.
#[derive(Debug)]
pub struct Unflushed {
    path: PathBuf,
    file: File,
}

/// Writes all files or none; they get their names, in this order, only when all are on disk.
///
/// Without `force`, an existing file is an error, unless it has exactly this content. With `force`, an error between two files leaves the
/// first ones overwritten, and the error says so.
pub fn write_all(files: &[NewFile<'_>], force: bool) -> Result<(), NotWritten> {
    write_after(files, force, &[])?;
    sync_folders(files);
    Ok(())
}

/// As [`write_all`], after `others` are on disk: all files are flushed at once, which takes as long as one. The names themselves reach the
/// disk when the file system writes them.
pub fn write_after(
    files: &[NewFile<'_>],
    force: bool,
    others: &[Unflushed],
) -> Result<(), NotWritten> {
    let (wanted, staged) = stage_all(files, force)?;
    let of_wanted = wanted.iter().zip(&staged);
    let of_wanted = of_wanted.map(|(wanted, staged)| (wanted.path.as_path(), staged.as_file()));
    let of_others = others
        .iter()
        .map(|other| (other.path.as_path(), &other.file));
    flush(&of_wanted.chain(of_others).collect::<Vec<_>>())?;
    name(&wanted, staged, force)
}

/// As [`write_all`], but on disk only at the next [`flush_file_systems`].
pub fn write_later(files: &[NewFile<'_>], force: bool) -> Result<(), NotWritten> {
    let (wanted, staged) = stage_all(files, force)?;
    name(&wanted, staged, force)
}

/// Writes a new file, and fails if it exists; on disk only at the next [`flush_file_systems`].
pub fn create_later(file: &NewFile<'_>) -> Result<(), NotWritten> {
    let staged = stage(file).map_err(|error| NotWritten::new(&file.path, error))?;
    name(&[file], vec![staged], false)
}

/// Overwrites bytes within an existing file; on disk only at the next [`flush_file_systems`]. The file's length stays, and bytes within one
/// page of memory change as a whole or not at all.
pub fn overwrite(path: &Path, file: &File, offset: u64, bytes: &[u8]) -> Result<(), NotWritten> {
    platform::write_all_at(file, bytes, offset).map_err(|error| NotWritten::new(path, error))?;
    note(path);
    Ok(())
}

/// Writes the files under temporary names, except those that exist as they are wanted.
fn stage_all<'a, 'b>(
    files: &'a [NewFile<'b>],
    force: bool,
) -> Result<(Vec<&'a NewFile<'b>>, Vec<NamedTempFile>), NotWritten> {
    let wanted: Vec<&NewFile<'_>> = files.iter().filter(|file| !file.stands(force)).collect();
    let staged = wanted
        .iter()
        .map(|file| stage(file).map_err(|error| NotWritten::new(&file.path, error)))
        .collect::<Result<_, _>>()?;
    Ok((wanted, staged))
}

/// Writes a new file at this path, with the content and access of another one.
pub(super) fn create(path: &Path, file: &NewFile<'_>) -> io::Result<File> {
    let mut new = platform::create_new(path, file.access.mode())?;
    new.write_all(file.content)?;
    Ok(new)
}

/// Flushes the file systems of these folders, each of them at once, which takes less time than one file after the other.
pub fn flush_file_systems(folders: &[&Path]) -> Result<(), Failure> {
    platform::flush_file_systems(folders).map_err(|(folder, error)| {
        Failure::failed(format!(
            "could not flush `{}` to the disk",
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

/// Whether the path is a symbolic link.
pub fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// Whether anything exists at the path, including a symbolic link without a target.
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

/// Flushes all of these at once: a file system that is asked at the same time writes one journal entry for all.
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
                    io::Error::other("the flush was interrupted"),
                ))
            });
            result = result.and(flushed);
        }
        result
    })
}

/// Flushes the folders, so that new names are on disk; a file system that cannot do that has the files nevertheless.
fn sync_folders(files: &[NewFile<'_>]) {
    let mut folders: Vec<&Path> = files.iter().map(|file| folder_of(&file.path)).collect();
    folders.dedup();
    for folder in folders {
        let _ = platform::sync_folder(folder);
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Checks early whether a folder can be written to, or created.
pub fn check_writable(folder: &Path) -> Result<(), NotWritten> {
    let mut above = folder.ancestors();
    let there = above.find(|path| path.exists()).unwrap_or(Path::new("."));
    let probe = Builder::new().prefix(UNFINISHED).tempfile_in(there);
    probe
        .map(drop)
        .map_err(|error| NotWritten::new(folder, error))
}

/// The target of a symbolic link that does not lead to a folder.
pub fn misled(path: &Path) -> Option<PathBuf> {
    let target = fs::read_link(path).ok()?;
    (!path.is_dir()).then_some(target)
}

/// New folders; those that are empty when this value is dropped are removed.
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

/// Creates a folder and its parents on disk; they are removed if nothing is written into them. An existing folder is fine.
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
        platform::sync_folder(folder_of(path)).map_err(failed)?;
    }
    Ok(made)
}

/// Creates a folder and its parents; an existing folder is fine.
pub fn create_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| {
        Failure::failed(format!("could not create `{}`", folder.display())).caused_by(error)
    })
}
