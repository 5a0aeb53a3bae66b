//! Counts of what these tests make, see and run, for `tests/fault_counts.sh`.

use std::fs::OpenOptions;
use std::io::Write;

/// Adds a line to the file that the environment variable `FAULT_COUNTS` names, where there is one.
#[expect(clippy::disallowed_methods, reason = "a test that counts has no flags")]
pub fn count(what: &str, of: &str) {
    let Some(path) = std::env::var_os("FAULT_COUNTS") else {
        return;
    };
    let file = OpenOptions::new().create(true).append(true).open(path);
    // One write of a short line: tests count side by side.
    file.unwrap()
        .write_all(format!("{what} {of}\n").as_bytes())
        .unwrap();
}
