//! Reading files that a user names: small ones, whatever stands there. A pipe, a device without an end or a huge file ends
//! in an error, not in a hang.

use std::fs::{File, Metadata, metadata};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::error::Failure;
use crate::io::interrupt::while_blocked;
use crate::io::platform;

/// More than any certificate, key, request or password takes.
const LARGEST_SMALL: u64 = 16 << 20;

/// Opens a file for reading. A pipe into which nobody writes is empty at once, where opening it would wait for a writer.
pub fn open(path: &Path) -> io::Result<File> {
    platform::open(path)
}

/// Reads a small file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    small_file(path).map_err(|error| unread(path, error))
}

/// Reads a small file, or stdin with `-`; `what` names that in an error.
pub fn read_or_stdin(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    if path != Path::new("-") {
        return read(path);
    }
    while_blocked(|| small(io::stdin())).map_err(|error| {
        Failure::failed(format!("could not read {what} from stdin")).caused_by(error)
    })
}

/// Stdin, to be read as it comes.
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

/// Refuses what a library would read whole: anything but a small regular file. A missing one is the library's to tell.
pub fn check_small(path: &Path) -> Result<(), Failure> {
    let fault = match metadata(path) {
        Ok(found) if !found.is_file() => "it is not a regular file".to_owned(),
        Ok(found) if found.len() > LARGEST_SMALL => too_large(),
        _ => return Ok(()),
    };
    Err(Failure::failed(format!(
        "could not read `{}`: {fault}",
        path.display()
    )))
}

/// The names in a folder that end so, sorted; none where it cannot be read.
pub fn ending_with(folder: &Path, end: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    names.sort_unstable();
    names
}

/// Whether a file exists and has exactly this content.
pub fn has_content(path: &Path, content: &[u8]) -> bool {
    let is_alike = |found: Metadata| found.is_file() && found.len() == content.len() as u64;
    metadata(path).is_ok_and(is_alike) && std::fs::read(path).is_ok_and(|found| found == content)
}

/// The mode of a regular file that others than its owner may read.
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
        let reason = "it is a pipe, and nobody writes into it";
        return Err(io::Error::new(ErrorKind::UnexpectedEof, reason));
    }
    Ok(bytes)
}

/// Reads to the end, as long as that is no more than what a small file holds: some devices have no end.
fn small(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = source.take(LARGEST_SMALL + 1).read_to_end(&mut bytes)?;
    if read as u64 > LARGEST_SMALL {
        return Err(io::Error::new(ErrorKind::FileTooLarge, too_large()));
    }
    Ok(bytes)
}

fn too_large() -> String {
    format!("it is larger than {} MiB", LARGEST_SMALL >> 20)
}
