//! The source of the password of a client's files; never an argument.

use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Failure;
use crate::io::prompt::hidden;
use crate::io::terminal::Terminal;
use crate::io::{clock, files};
use crate::pki::keystore::{check_password, generate_password};

/// A password, and whether it must be written into a file for the user.
#[derive(Clone)]
pub struct Password {
    /// The password.
    pub(super) text: Zeroizing<String>,
    /// Whether this run generated the password.
    pub(super) generated: bool,
}

impl Password {
    /// The password for new files: from a file or (`-`) stdin, else from the terminal, else generated.
    pub(super) fn obtain(
        source: Option<&Path>,
        file: &str,
        terminal: &Terminal,
    ) -> Result<Self, Failure> {
        if let Some(path) = source {
            return Self::from_file(path);
        }
        let is_interactive = terminal.is_interactive();
        let answer = is_interactive.then(|| ask(file)).transpose()?.flatten();
        answer.map_or_else(Self::generate, Self::given)
    }

    /// A password that the user gave. Refuses one that a keystore cannot have.
    pub fn given(text: Zeroizing<String>) -> Result<Self, Failure> {
        check_password(&text)
            .map_err(|error| Failure::usage("the password cannot be used").caused_by(error))?;
        Ok(Self {
            text,
            generated: false,
        })
    }

    /// Generates a password.
    pub(super) fn generate() -> Result<Self, Failure> {
        Ok(Self {
            text: generate_password(clock::random)?,
            generated: true,
        })
    }

    /// Takes the password from a file or (`-`) stdin.
    pub fn from_file(path: &Path) -> Result<Self, Failure> {
        Self::given(read_password(path)?)
    }
}

/// Reads a password: the first line of a file, or of stdin with `-`.
pub fn read_password(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = Zeroizing::new(files::read_or_stdin(path, "the password")?);
    first_line(&bytes)
}

fn first_line(bytes: &[u8]) -> Result<Zeroizing<String>, Failure> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Failure::usage("the password is not text"))?;
    let line = text.split('\n').next().unwrap_or_default();
    Ok(Zeroizing::new(
        line.strip_suffix('\r').unwrap_or(line).to_owned(),
    ))
}

/// Asks twice; an empty answer asks for a generated password.
fn ask(file: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    let prompt = format!("Password for {file} (empty: generate one): ");
    let first = hidden(&prompt)?;
    if first.is_empty() {
        return Ok(None);
    }
    let second = hidden("Again: ")?;
    if first != second {
        return Err(Failure::usage("the two passwords differ"));
    }
    Ok(Some(first))
}
