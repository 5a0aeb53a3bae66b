//! Inventory entries as JSON files; the hash of a file serves as the resourceVersion.

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

/// The object with the hash of its file as its resourceVersion.
pub(super) fn versioned(object: Object, content: &[u8]) -> Object {
    object.with_resource_version(Some(&version(content)))
}

fn version(content: &[u8]) -> String {
    BASE64.encode(digest(&SHA256, content))
}

/// Reads an entry, if it exists.
pub(super) fn entry(path: &Path) -> Result<Option<Object>, Failure> {
    let Some(content) = read_if_there(path)? else {
        return Ok(None);
    };
    let damaged = |reason: &dyn std::fmt::Display| {
        Failure::refused(format!(
            "the inventory entry `{}` cannot be read: {reason}",
            path.display()
        ))
        .hint("restore the entry; it may belong to a live certificate")
    };
    let body = serde_json::from_slice(&content).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        damaged(&format!("line {line}, column {column}: not JSON"))
    })?;
    let object = Object::from_server(Kind::ConfigMap, body)
        .filter(|object| path.file_stem().is_some_and(|stem| stem == object.name()))
        .ok_or_else(|| damaged(&"the entry does not match its file name"))?;
    Ok(Some(versioned(object, &content)))
}

/// Reads all entries; none if the folder does not exist.
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

/// Writes a new entry, and returns what must be flushed before its certificate is delivered; `None` if its number is taken.
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

/// As [`create_entry`], without a flush.
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

/// Replaces the entry that was read, and flushes it if wanted; `None` if the entry changed meanwhile.
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

/// Deletes the entry that was read; an entry that is gone is fine; `None` if it changed meanwhile.
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

/// Replaces a locked file by a new one, and keeps the lock if the operating system can do that.
fn replace(locked: File, new: &NewFile<'_>, flushes: bool) -> Result<(), NotWritten> {
    let _lock = platform::REPLACES_OPEN_FILES.then_some(locked);
    if flushes {
        write_after(std::slice::from_ref(new), true, &[])
    } else {
        write_later(std::slice::from_ref(new), true)
    }
}

/// Reads an entry under a lock, so that nobody else changes it until the file is closed; opens it for writing if wanted.
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

/// A change of one line that can be written in place.
struct InPlace {
    /// Number of bytes before the line.
    offset: u64,
    /// The new line, as long as the old one.
    line: String,
    /// The whole file with the new line.
    content: String,
}

/// The bytes to overwrite in a file where only one line changes and gets no longer: blanks pad it, which JSON allows between its tokens. So
/// a thousand entries become `issued` without a thousand new files.
///
/// `None` if the line crosses a page boundary: a write within one page cannot be interrupted halfway.
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

/// The smallest page size of any system, in bytes.
const PAGE: usize = 4096;

/// The file of the revocation lists, if a certificate was revoked.
pub(super) const LISTS: &str = "ca.crl";

/// The directory's revocation lists as PEM, if there are any.
pub(super) fn lists(folder: &Path) -> Result<Option<String>, Failure> {
    let path = folder.join(LISTS);
    let content = read_if_there(&path)?;
    let text = content.map(String::from_utf8).transpose();
    text.map_err(|_| {
        Failure::refused(format!("`{}` is not PEM text", path.display()))
            .hint("restore the file: it records which certificates are revoked")
    })
}

/// Writes the revocation lists if nothing changed since they were read; returns false otherwise.
pub(super) fn replace_lists(
    folder: &Path,
    content: &str,
    is_unchanged: impl FnOnce() -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let lock = platform::lock_folder(folder);
    if !is_unchanged()? {
        return Ok(false);
    }
    let file = public(&folder.join(LISTS), content);
    let written = write_all(&[file], true);
    drop(lock);
    written.map_err(hinted)?;
    Ok(true)
}

/// Creates a folder of the directory.
pub(super) fn create_folder(folder: &Path) -> Result<(), Failure> {
    crate::io::files::create_folder(folder)
        .map_err(|failure| failure.hint("name a folder that you may write to with `--ca-dir`"))
}

/// An error about a file of the directory, with hints.
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

/// The object without its version, and its text: the version of a file is its hash, so the file does not contain it.
fn unversioned(object: Object) -> (Object, String) {
    let object = object.with_resource_version(None);
    let text = format!("{:#}\n", object.body());
    (object, text)
}
