//! Questions to the user at the terminal. A signal ends the command meanwhile, and restores the terminal.

use std::io::ErrorKind;

use zeroize::Zeroizing;

use super::files::read_line_of_stdin;
use super::interrupt::{self, while_blocked, while_prompting};
use super::terminal::Terminal;
use crate::error::Failure;

/// Asks for a secret, without showing the input.
pub fn hidden(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let answer = while_prompting(|| rpassword::prompt_password(prompt));
    answer
        .map(Zeroizing::new)
        .map_err(|error| match error.kind() {
            ErrorKind::Interrupted => interrupt::failure(),
            _ => Failure::failed("could not ask for a password").caused_by(error),
        })
}

/// Asks for confirmation; each line names one consequence.
pub fn confirm(what: &str, lines: &[String], terminal: &Terminal) -> Result<(), Failure> {
    if !terminal.is_interactive() {
        return Err(Failure::usage(what)
            .hints(lines.to_vec())
            .hint("`--yes` confirms the revocation; `--dry-run` shows what would be revoked"));
    }
    terminal.warn(what);
    for line in lines {
        terminal.note(line);
    }
    terminal.note("Type `yes` to go on:");
    if says_yes()? {
        return Ok(());
    }
    Err(Failure::refused("not confirmed"))
}

/// Reads one line, and returns whether it is `yes`.
pub fn says_yes() -> Result<bool, Failure> {
    let answer = while_blocked(read_line_of_stdin);
    let answer =
        answer.map_err(|error| Failure::failed("could not read the answer").caused_by(error))?;
    Ok(answer.trim() == "yes")
}
