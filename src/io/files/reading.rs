//! Reading small files that a user names. A pipe, a device without an end or a huge file leads to an error, not to a hang.

use std::fs::{File, Metadata, metadata};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::error::Failure;
use crate::io::interrupt::while_blocked;
use crate::io::platform;

/// Limit of a small file, in bytes: more than any certificate, key, request or password.
const LARGEST_SMALL: u64 = 16 << 20;

/// Opens a file for reading. A pipe without a writer is empty at once, where a plain open would wait for a writer.
pub fn open(path: &Path) -> io::Result<File> {
    platform::open(path)
}

/// Reads a small file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    small_file(path).map_err(|error| unread(path, error))
}

/// Reads a small file, or stdin with `-`; errors call stdin's content `what`.
pub fn read_or_stdin(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    if path != Path::new("-") {
        return read(path);
    }
    while_blocked(|| small(io::stdin())).map_err(|error| {
        Failure::failed(format!("could not read {what} from stdin")).caused_by(error)
    })
}

/// Opens stdin for reading as it arrives.
pub fn open_stdin() -> impl Read + Send {
    io::stdin()
}

/// Reads one line of stdin.
pub fn read_line_of_stdin() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// Reads a small file that may be missing.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match small_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Ok(content) => Ok(Some(content)),
        Err(error) => Err(unread(path, error)),
    }
}

/// Reads a small regular file; anything else is an error.
pub(super) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    small(file)
}

/// Refuses a file that a library would read whole, unless it is a small regular file. A missing file is left to the library.
pub fn check_small(path: &Path) -> Result<(), Failure> {
    let fault = match metadata(path) {
        Ok(found) if !found.is_file() => "not a regular file".to_owned(),
        Ok(found) if found.len() > LARGEST_SMALL => too_large(),
        _ => return Ok(()),
    };
    Err(Failure::failed(format!(
        "could not read `{}`: {fault}",
        path.display()
    )))
}

/// The names in a folder with this ending, sorted; none if the folder cannot be read.
pub fn ending_with(folder: &Path, end: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    names.sort_unstable();
    names
}

/// Whether a file that is written at one path takes the place of another one, which need not exist yet: case does not count, as on many
/// file systems.
pub fn replaces(written: &Path, other: &Path) -> bool {
    let name = |path: &Path| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_lowercase());
        name.unwrap_or_default()
    };
    let folder = |path: &Path| {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or(Path::new("."));
        std::fs::canonicalize(above).unwrap_or_else(|_| above.to_path_buf())
    };
    // Names are compared first, since that costs nothing.
    let is_place_of =
        |other: &Path| name(written) == name(other) && folder(written) == folder(other);
    is_place_of(other)
        || (super::is_link(other)
            && std::fs::canonicalize(other).is_ok_and(|target| is_place_of(&target)))
}

/// Whether a file exists and has exactly this content.
pub fn has_content(path: &Path, content: &[u8]) -> bool {
    let is_alike = |found: Metadata| found.is_file() && found.len() == content.len() as u64;
    metadata(path).is_ok_and(is_alike) && std::fs::read(path).is_ok_and(|found| found == content)
}

/// The mode of a regular file, if other users may read it.
pub fn exposed(path: &Path) -> Option<u32> {
    let found = metadata(path).ok()?;
    let mode = platform::mode_for_others(&found)?;
    found.is_file().then_some(mode)
}

fn unread(path: &Path, error: io::Error) -> Failure {
    Failure::failed(format!("could not read `{}`", path.display())).caused_by(error)
}

fn small_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let found = file.metadata()?;
    if found.is_file() {
        if found.len() > LARGEST_SMALL {
            return Err(io::Error::new(ErrorKind::FileTooLarge, too_large()));
        }
        return small(file);
    }
    let bytes = while_blocked(|| small(file))?;
    if bytes.is_empty() && platform::is_pipe(found.file_type()) {
        let reason = "a pipe that nobody writes into";
        return Err(io::Error::new(ErrorKind::UnexpectedEof, reason));
    }
    Ok(bytes)
}

/// Reads to the end, up to the limit of a small file: some devices have no end.
fn small(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = source.take(LARGEST_SMALL + 1).read_to_end(&mut bytes)?;
    if read as u64 > LARGEST_SMALL {
        return Err(io::Error::new(ErrorKind::FileTooLarge, too_large()));
    }
    Ok(bytes)
}

fn too_large() -> String {
    format!("larger than {} MiB", LARGEST_SMALL >> 20)
}
