//! Reading small files.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::error::Failure;

/// More than any certificate, key, request or password takes.
const LARGEST_SMALL: u64 = 16 << 20;

/// Reads a small file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).and_then(small);
    file.map_err(|error| {
        Failure::failed(format!("could not read `{}`", path.display())).caused_by(error)
    })
}

/// Reads to the end, as long as that is no more than what a small file holds: some devices have no end.
fn small(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = source.take(LARGEST_SMALL + 1).read_to_end(&mut bytes)?;
    if read as u64 > LARGEST_SMALL {
        let reason = format!("it is larger than {} MiB", LARGEST_SMALL >> 20);
        return Err(io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Reads a small file, or stdin with `-`; `what` names that in an error.
pub fn read_or_stdin(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    if path != Path::new("-") {
        return read(path);
    }
    small(io::stdin()).map_err(|error| {
        Failure::failed(format!("could not read {what} from stdin")).caused_by(error)
    })
}

/// Reads a small file that may be missing.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Ok(content) => Ok(Some(content)),
        Err(error) => {
            Err(Failure::failed(format!("could not read `{}`", path.display())).caused_by(error))
        }
    }
}
