//! Sets of files that appear one after the other: a run that is killed in between is completed by the next one.
//!
//! All files are prepared in a temporary folder, which then gets its name in one rename: that decides what the set is. From then on each
//! file is moved to its place, by the run that prepared it or by a later one, and the folder is removed last.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use super::reading::read_regular;
use super::{
    Access, NewFile, NotWritten, UNFINISHED, Unflushed, create, flush, folder_of, has_content,
    write_all,
};
use crate::error::Failure;
use crate::io::platform::{self, FolderLock};

/// The prefix of the names of prepared sets.
pub const PREPARED: &str = ".kubectl-mtls-client-";

/// The temporary folder of the set with this name.
fn prepared(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{PREPARED}{name}"))
}

/// A hidden folder for unfinished files, locked while its run lives: a run that begins removes only those that nobody has locked.
pub struct UnfinishedFolder {
    /// Where nobody can lock it, nobody clears it away either. Before the folder, since Windows removes none that is locked.
    lock: Option<FolderLock>,
    folder: TempDir,
}

impl UnfinishedFolder {
    /// Makes one in this folder.
    pub fn within(folder: &Path) -> io::Result<Self> {
        let _beginning = platform::lock_folder(folder).ok();
        let folder = Builder::new().prefix(UNFINISHED).tempdir_in(folder)?;
        let lock = platform::try_lock_folder(folder.path()).ok().flatten();
        Ok(Self { lock, folder })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Renames the folder, atomically.
    pub fn rename(self, name: &Path) -> io::Result<()> {
        // Without its own lock, that of the folder above keeps others from clearing it away.
        let above = self
            .folder
            .path()
            .parent()
            .filter(|_| !platform::REPLACES_OPEN_FILES);
        let _above = above.and_then(|above| platform::lock_folder(above).ok());
        let _lock = platform::REPLACES_OPEN_FILES.then_some(self.lock);
        fs::rename(self.folder.path(), name)?;
        drop(self.folder.keep());
        Ok(())
    }
}

/// Writes files so that all appear or none, whenever the run is killed: [`complete`] then moves the rest to their places. The files are in
/// one folder, in which `name` is unique. They and `others` are flushed first; without `others`, nothing is flushed.
///
/// Without `force`, an existing file is an error, unless it has exactly this content.
pub fn write_set(
    name: &str,
    files: &[NewFile<'_>],
    force: bool,
    others: Option<&[Unflushed]>,
) -> Result<(), NotWritten> {
    let wanted: Vec<&NewFile<'_>> = files.iter().filter(|file| !file.stands(force)).collect();
    let Some(first) = wanted.first() else {
        return flush(&opened(others.unwrap_or_default()));
    };
    let folder = folder_of(&first.path);
    let failed = |error| NotWritten::new(&first.path, error);
    let staged = UnfinishedFolder::within(folder).map_err(failed)?;
    let mut handles: Vec<(PathBuf, File)> = Vec::new();
    for (number, file) in wanted.iter().enumerate() {
        // Numbered, so that they get their places in this order: the last one stands where all do.
        let place = staged.path().join(numbered(number, &file.path));
        let handle = create(&place, file).map_err(|error| NotWritten::new(&file.path, error))?;
        handles.push((file.path.clone(), handle));
    }
    if let Some(others) = others {
        let own = handles.iter().map(|(path, file)| (path.as_path(), file));
        flush(&own.chain(opened(others)).collect::<Vec<_>>())?;
    }
    let set = prepared(folder, name);
    drop(handles);
    staged.rename(&set).map_err(failed)?;
    place(&set, folder, force)
}

/// Completes the set with this name that an interrupted run prepared; returns whether there was one.
pub fn complete(folder: &Path, name: &str, force: bool) -> Result<bool, Failure> {
    let set = prepared(folder, name);
    if !fs::symlink_metadata(&set).is_ok_and(|found| found.is_dir()) {
        return Ok(false);
    }
    let prepared = content(&set).map_err(|error| NotWritten::new(&set, error))?;
    match check_own(
        folder,
        &set,
        prepared.iter().map(|(from, _)| from.as_path()),
    ) {
        // Another run has just completed it.
        Err(_) if !super::is_taken(&set) => return Ok(true),
        checked => checked?,
    }
    let taken = prepared.into_iter().find(|(from, to)| {
        let place = folder.join(to);
        let is_other = || read_regular(from).is_ok_and(|content| !has_content(&place, &content));
        super::is_taken(&place) && is_other()
    });
    let hinted = |error: NotWritten| {
        Failure::from(error).hint("move the file away, or overwrite it with `--force`")
    };
    if let (Some((_, to)), false) = (taken, force) {
        let reason = format!(
            "the file differs from the one in `{}`, which an interrupted run left",
            set.display()
        );
        let error = io::Error::new(ErrorKind::AlreadyExists, reason);
        return Err(hinted(NotWritten::new(&folder.join(to), error)));
    }
    place(&set, folder, force).map_err(hinted)?;
    Ok(true)
}

/// Refuses prepared files that another user may have put there: they would be delivered as the client's, or as the CA's. The folder and its
/// files must belong to this user, nobody else may write them, and nobody else may read those with a key.
pub fn check_own<'a>(
    folder: &Path,
    set: &Path,
    files: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    let failed = |error| NotWritten::new(set, error);
    let mut builder = Builder::new();
    let probe = platform::staged(builder.prefix(UNFINISHED), Access::Private.mode());
    let probe = probe.tempfile_in(folder).map_err(failed)?;
    let own = probe.as_file().metadata().map_err(failed)?;
    let directory = fs::symlink_metadata(set).map_err(failed)?;
    if !directory.is_dir() || !platform::is_protected(&directory, &own, WRITING) {
        return Err(not_own(set));
    }
    for path in files {
        let found = match fs::symlink_metadata(path) {
            // Another run of this user's moved the file to its place.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            found => found.map_err(|error| NotWritten::new(path, error))?,
        };
        let forbidden = if is_public(path) { WRITING } else { ALL };
        if !found.is_file() || !platform::is_protected(&found, &own, forbidden) {
            return Err(not_own(path));
        }
    }
    Ok(())
}

/// What others may not do with any prepared file.
const WRITING: u32 = 0o022;
/// What others may not do with a prepared file that holds a key or a password.
const ALL: u32 = 0o077;

/// Whether a prepared file holds only what everybody may read.
fn is_public(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    end.is_some_and(|end| matches!(end, "crt" | "csr"))
}

fn not_own(path: &Path) -> Failure {
    Failure::refused(format!(
        "`{}` was left by an interrupted run, and another user could have created or changed it",
        path.display()
    ))
    .hint("it must belong to you, others must not be able to write it, and a key must be readable for you alone")
    .hint("look at it, and remove it if it is not yours")
}

fn opened(others: &[Unflushed]) -> Vec<(&Path, &File)> {
    others
        .iter()
        .map(|other| (other.path.as_path(), &other.file))
        .collect()
}

fn numbered(number: usize, path: &Path) -> OsString {
    let mut name = OsString::from(format!("{number:02}-"));
    name.push(path.file_name().unwrap_or_default());
    name
}

/// The prepared files, in their order, with the names that they will have.
fn content(set: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(set)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let numbered = name.split_once('-');
        let is_number = |digits: &str| digits.len() == 2 && digits.parse::<u8>().is_ok();
        if let Some((_, name)) = numbered.filter(|(number, _)| is_number(number)) {
            let name = name.to_owned();
            files.push((path, name));
        }
    }
    files.sort();
    Ok(files)
}

fn place(set: &Path, folder: &Path, force: bool) -> Result<(), NotWritten> {
    let files = content(set).map_err(|error| NotWritten::new(set, error))?;
    let mut done: Vec<PathBuf> = Vec::new();
    for (from, to) in files {
        let to = folder.join(to);
        match put(&from, &to, force) {
            Ok(true) => {
                super::note(&to);
                done.push(to);
            }
            Ok(false) => {}
            Err(error) => {
                let mut error = NotWritten::new(&to, error);
                if force {
                    error.overwritten = done;
                } else {
                    // All of these were made a moment ago, under names that were free.
                    for path in &done {
                        drop(fs::remove_file(path));
                    }
                    drop(fs::remove_dir_all(set));
                }
                return Err(error);
            }
        }
    }
    // Several runs may complete the same set.
    drop(fs::remove_dir_all(set));
    Ok(())
}

/// Moves a prepared file to its place; false if the file is there already, also by another run.
fn put(from: &Path, to: &Path, force: bool) -> io::Result<bool> {
    let content = match read_regular(from) {
        Ok(content) => zeroize::Zeroizing::new(content),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_there = match fs::symlink_metadata(from) {
        Ok(prepared) if force => {
            let found = fs::symlink_metadata(to);
            found.is_ok_and(|found| found.permissions() == prepared.permissions())
        }
        _ => true,
    };
    if is_there && has_content(to, &content) {
        return Ok(false);
    }
    if force {
        return fs::rename(from, to).map(|()| true);
    }
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        // Another client's run wrote the same a moment ago.
        Err(_) if has_content(to, &content) => Ok(false),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(_) => copy(from, to, &content),
    }
}

/// Copies a prepared file, for file systems without hard links.
fn copy(from: &Path, to: &Path, content: &[u8]) -> io::Result<bool> {
    let access = match super::exposed(from) {
        None => Access::Private,
        Some(_) => Access::Public,
    };
    let file = NewFile {
        path: to.to_path_buf(),
        content,
        access,
    };
    write_all(&[file], false).map_err(|error| error.source)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
