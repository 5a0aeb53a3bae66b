//! Tells a person what is going on; the only place of the library that prints.

use std::io::Write;

/// Writes one line to stderr; a closed stderr is no reason to stop.
pub fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "sandbox: {line}");
}
