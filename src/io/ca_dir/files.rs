//! Inventory entries as JSON files; a file's hash takes the place of the resourceVersion.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::error::Failure;
use crate::io::files::{
    Access, NewFile, NotWritten, UNFINISHED, Unflushed, create_later, overwrite, read_if_there,
    write_after, write_all, write_later, write_unflushed,
};
use crate::io::platform;
use crate::resources::{Kind, Object};

/// The object with the hash of what is on disk as its resourceVersion.
pub(super) fn versioned(object: Object, content: &[u8]) -> Object {
    object.with_resource_version(Some(&version(content)))
}

fn version(content: &[u8]) -> String {
    BASE64.encode(digest(&SHA256, content))
}

/// Reads an entry, where there is one.
pub(super) fn entry(path: &Path) -> Result<Option<Object>, Failure> {
    let Some(content) = read_if_there(path)? else {
        return Ok(None);
    };
    let damaged = |reason: &dyn std::fmt::Display| {
        Failure::refused(format!(
            "the inventory entry `{}` cannot be read: {reason}",
            path.display()
        ))
        .hint("restore it; it may stand for a live certificate")
    };
    let body = serde_json::from_slice(&content).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        damaged(&format!("line {line}, column {column}: it is no JSON"))
    })?;
    let object = Object::from_server(Kind::ConfigMap, body)
        .filter(|object| path.file_stem().is_some_and(|stem| stem == object.name()))
        .ok_or_else(|| damaged(&"it is not the one that its file name says"))?;
    Ok(Some(versioned(object, &content)))
}

/// Reads all entries; none where there is no such folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<Object>, Failure> {
    let failed = |error: io::Error| {
        Failure::failed(format!("could not read `{}`", folder.display())).caused_by(error)
    };
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut objects = Vec::new();
    for file in files {
        let path = file.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_entry = path.extension().is_some_and(|ending| ending == "json");
        if is_entry && !name.starts_with(UNFINISHED) {
            // What vanished since was being replaced, or pruned.
            objects.extend(entry(&path)?);
        }
    }
    Ok(objects)
}

/// Writes a new entry, and tells what must be flushed before its certificate reaches anybody; `None` where its number is
/// taken.
pub(super) fn create_entry(
    path: &Path,
    object: Object,
) -> Result<Option<(Object, Vec<Unflushed>)>, Failure> {
    let folder = path.parent().unwrap_or(path);
    create_folder(folder)?;
    let (object, content) = unversioned(object);
    match write_unflushed(&public(path, &content)) {
        Ok(unflushed) => Ok(Some((versioned(object, content.as_bytes()), unflushed))),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(hinted(error)),
    }
}

/// The same, on disk only when all is flushed.
pub(super) fn create_entry_unflushed(
    path: &Path,
    object: Object,
) -> Result<Option<Object>, Failure> {
    let (object, content) = unversioned(object);
    let file = public(path, &content);
    let mut written = create_later(&file);
    if matches!(&written, Err(error) if error.kind() == ErrorKind::NotFound) {
        create_folder(path.parent().unwrap_or(path))?;
        written = create_later(&file);
    }
    match written {
        Ok(()) => Ok(Some(versioned(object, content.as_bytes()))),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(hinted(error)),
    }
}

/// Writes an entry in the place of the one that was read, and flushes it where that is wanted; `None` where that one
/// changed meanwhile.
pub(super) fn replace_entry(
    path: &Path,
    object: Object,
    flushes: bool,
) -> Result<Option<Object>, Failure> {
    let Some((file, live)) = read_alone(path, !flushes)? else {
        return Ok(None);
    };
    if version(&live) != object.resource_version() {
        return Ok(None);
    }
    let (object, mut content) = unversioned(object);
    let written = match in_place(&live, &content).filter(|_| !flushes) {
        Some(change) => {
            content = change.content;
            overwrite(path, &file, change.offset, change.line.as_bytes())
        }
        None => replace(file, &public(path, &content), flushes),
    };
    written.map_err(hinted)?;
    Ok(Some(versioned(object, content.as_bytes())))
}

/// Deletes the entry that was read, or finds it gone; `None` where it changed meanwhile.
pub(super) fn delete_entry(path: &Path, object: Object) -> Result<Option<Object>, Failure> {
    let Some((file, live)) = read_alone(path, false)? else {
        return Ok(Some(object));
    };
    if version(&live) != object.resource_version() {
        return Ok(None);
    }
    let removed = fs::remove_file(path);
    drop(file);
    removed.map_err(|error| {
        Failure::failed(format!("could not delete `{}`", path.display())).caused_by(error)
    })?;
    Ok(Some(object))
}

/// Puts a new file in the place of the locked one, which stays locked as long as the operating system can do that.
fn replace(locked: File, new: &NewFile<'_>, flushes: bool) -> Result<(), NotWritten> {
    let _lock = platform::REPLACES_OPEN_FILES.then_some(locked);
    if flushes {
        write_after(std::slice::from_ref(new), true, &[])
    } else {
        write_later(std::slice::from_ref(new), true)
    }
}

/// Reads an entry that nobody else changes until the file is closed, and opens it for writing where that is wanted.
fn read_alone(path: &Path, writes: bool) -> Result<Option<(File, Vec<u8>)>, Failure> {
    let read = || -> io::Result<(File, Vec<u8>)> {
        loop {
            let mut file = File::options().read(true).write(writes).open(path)?;
            // Where a file system knows no locks, the hash alone must do.
            let _ = file.lock();
            // Who had to wait may hold a file whose place another one has taken.
            if platform::is_same_file(&file.metadata()?, &fs::metadata(path)?) {
                let mut content = Vec::new();
                file.read_to_end(&mut content)?;
                return Ok((file, content));
            }
        }
    };
    match read() {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::failed(format!("could not read `{}`", path.display())).caused_by(error))
        }
    }
}

/// A change of one line that can be made where it stands.
struct InPlace {
    /// Bytes before the line.
    offset: u64,
    /// The new line, as long as the old one.
    line: String,
    /// The whole file with it.
    content: String,
}

/// What to overwrite in a file, where all that changes is one line that gets no longer: blanks fill it up, which JSON allows
/// between its signs. So a thousand entries become `issued` without a thousand new files that take the place of old ones.
///
/// Nothing where the line lies across pages: within one, nobody can stop the system halfway.
fn in_place(live: &[u8], new: &str) -> Option<InPlace> {
    let live = str::from_utf8(live).ok()?;
    let same = live
        .lines()
        .zip(new.lines())
        .take_while(|(old, new)| old == new);
    let offset: usize = same.map(|(line, _)| line.len() + 1).sum();
    let old = live.get(offset..)?.lines().next()?;
    let new_line = new.get(offset..)?.lines().next()?;
    let blanks = old.len().saturating_sub(new_line.len());
    let line = format!("{new_line}{}", " ".repeat(blanks));
    let rest = live.get(offset + old.len()..)?;
    let fits = line.len() == old.len() && new.get(offset + new_line.len()..) == Some(rest);
    let is_in_a_page = offset / PAGE == (offset + line.len()) / PAGE;
    (fits && is_in_a_page).then(|| InPlace {
        offset: offset as u64,
        content: [&live[..offset], &line, rest].concat(),
        line,
    })
}

/// The smallest page that systems have, in bytes.
const PAGE: usize = 4096;

/// The revocation lists, where something was revoked.
const LISTS: &str = "ca.crl";

/// The directory's revocation lists as PEM, where it has any.
pub(super) fn lists(folder: &Path) -> Result<Option<String>, Failure> {
    let path = folder.join(LISTS);
    let content = read_if_there(&path)?;
    let text = content.map(String::from_utf8).transpose();
    text.map_err(|_| {
        Failure::refused(format!("`{}` is no PEM text", path.display()))
            .hint("restore it: it records which certificates are revoked")
    })
}

/// Writes the revocation lists, if nothing changed since they were read; false where something did.
pub(super) fn replace_lists(
    folder: &Path,
    content: &str,
    is_unchanged: impl FnOnce() -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let lock = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    if !is_unchanged()? {
        return Ok(false);
    }
    let file = public(&folder.join(LISTS), content);
    let written = write_all(&[file], true);
    drop(lock);
    written.map_err(hinted)?;
    Ok(true)
}

/// Makes a folder of the directory.
pub(super) fn create_folder(folder: &Path) -> Result<(), Failure> {
    crate::io::files::create_folder(folder)
        .map_err(|failure| failure.hint("name a folder that you may write to with `--ca-dir`"))
}

/// An error of a file of the directory, with what helps.
pub(super) fn hinted(error: NotWritten) -> Failure {
    Failure::from(error).hint("name a folder that you may write to with `--ca-dir`")
}

fn public<'a>(path: &Path, content: &'a str) -> NewFile<'a> {
    NewFile {
        path: path.to_path_buf(),
        content: content.as_bytes(),
        access: Access::Public,
    }
}

/// What is on disk names no version, because the file's hash is it: the object without one, and its text.
fn unversioned(object: Object) -> (Object, String) {
    let object = object.with_resource_version(None);
    let text = format!("{:#}\n", object.body());
    (object, text)
}
