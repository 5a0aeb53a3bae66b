//! Where the password of a PKCS#12 file comes from; never from an argument.

use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Failure;
use crate::io::prompt::hidden;
use crate::io::terminal::Terminal;
use crate::io::{clock, files};
use crate::pki::keystore::{check_password, generate_password};
use crate::resources::printable::printable_line;

/// A password, and whether the user has to be given it in a file.
#[derive(Clone)]
pub(super) struct Password {
    pub text: Zeroizing<String>,
    pub generated: bool,
}

/// Takes the password of a file that will be written from a file or (`-`) stdin; else asks on a terminal; else makes one.
pub(super) fn obtain(
    source: Option<&Path>,
    file: &str,
    terminal: &Terminal,
) -> Result<Password, Failure> {
    let text = match source {
        Some(path) => read(path)?,
        None if terminal.is_interactive() => match ask(file)? {
            Some(text) => text,
            None => return generated(),
        },
        None => return generated(),
    };
    check_password(&text)
        .map_err(|error| Failure::usage("the password cannot be used").caused_by(error))?;
    Ok(Password {
        text,
        generated: false,
    })
}

/// Makes a password.
pub(super) fn generated() -> Result<Password, Failure> {
    let mut pool: Vec<u8> = Vec::new();
    let mut failure = None;
    let text = generate_password(&mut |bytes| {
        for byte in bytes {
            if pool.is_empty() {
                match clock::random::<64>() {
                    Ok(random) => pool.extend(random),
                    Err(error) => failure = Some(error),
                }
            }
            *byte = pool.pop().unwrap_or_default();
        }
    });
    match failure {
        Some(failure) => Err(failure),
        None => Ok(Password {
            text,
            generated: true,
        }),
    }
}

/// Takes the password from a file or (`-`) stdin.
pub(super) fn from_file(path: &Path) -> Result<Password, Failure> {
    Ok(Password {
        text: read(path)?,
        generated: false,
    })
}

/// Takes the password of an encrypted key from a file or (`-`) stdin, which `flag` names; else asks on a terminal.
pub(super) fn of_key(
    (source, flag): (Option<&Path>, &str),
    key: &Path,
    terminal: &Terminal,
) -> Result<Zeroizing<String>, Failure> {
    match source {
        Some(path) => read(path),
        None if terminal.is_interactive() => {
            let prompt = format!(
                "Password of `{}`: ",
                printable_line(&key.display().to_string())
            );
            hidden(&prompt)
        }
        None => Err(Failure::usage(format!(
            "the key in `{}` is encrypted, and there is nobody to ask for its password",
            key.display()
        ))
        .hint(format!("give it with `{flag}`"))),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
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
