//! Questions to whoever sits at the terminal. A signal ends the command meanwhile, and leaves the terminal as it was.

use std::io::{BufRead, ErrorKind, stdin};

use zeroize::Zeroizing;

use super::interrupt::{self, while_blocked, while_prompting};
use crate::error::Failure;

/// Asks for a secret, which is not shown.
pub fn hidden(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let answer = while_prompting(|| rpassword::prompt_password(prompt));
    answer
        .map(Zeroizing::new)
        .map_err(|error| match error.kind() {
            ErrorKind::Interrupted => interrupt::failure(),
            _ => Failure::failed("could not ask for a password").caused_by(error),
        })
}

/// Reads one line.
pub fn line() -> Result<String, Failure> {
    let mut answer = String::new();
    let read = while_blocked(|| stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::failed("could not read the answer").caused_by(error))?;
    Ok(answer)
}
