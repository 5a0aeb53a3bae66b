//! What the stand-ins have to say, a line at a time, in a file of its own: they run inside a test or a command whose output
//! is not theirs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A log file, or nothing; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Option<Arc<Mutex<File>>>);

impl Journal {
    /// Appends to the file, which is made when it does not exist.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Some(Arc::new(Mutex::new(file)))))
    }

    /// Writes one line. A full disk must not stop a controller, so failures are ignored.
    pub(super) fn note(&self, line: &str) {
        if let Some(file) = &self.0 {
            let now = OffsetDateTime::now_utc()
                .format(&Rfc3339)
                .unwrap_or_default();
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(file, "{now} {line}");
        }
    }
}
