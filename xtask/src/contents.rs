//! What an archive holds beside the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::archive::Entry;
use crate::build::{cargo, output_of, workspace};
use crate::error::{Error, Result};
use crate::metadata::Package;
use crate::notices;

/// Shells, and where their completion systems look for the script.
const SHELLS: [(&str, &str); 4] = [
    ("bash", "completions/kubectl-mtls.bash"),
    ("zsh", "completions/_kubectl-mtls"),
    ("fish", "completions/kubectl-mtls.fish"),
    ("powershell", "completions/_kubectl-mtls.ps1"),
];

/// The script by which kubectl completes plugins: it has to be on `PATH` under this name.
const SHIM: &str = "kubectl_complete-mtls";

/// The files that are the same in every archive. `program` runs on this machine; without one, cargo builds it.
pub fn shared(packages: &[Package], program: Option<&Path>) -> Result<Vec<Entry>> {
    let license = workspace().join("LICENSE");
    let license = fs::read(&license).map_err(Error::at(&license))?;
    let notices = notices::text(packages)?;
    let mut entries = vec![
        Entry::file("LICENSE", license),
        Entry::file("THIRD-PARTY-LICENSES", notices),
    ];
    for (shell, path) in SHELLS {
        entries.push(Entry::file(path, printed(program, &["completion", shell])?));
    }
    entries.push(Entry::program(SHIM, shim(program)?));
    Ok(entries)
}

/// The script, as the program itself installs it.
fn shim(program: Option<&Path>) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().map_err(Error::at(Path::new("a temporary folder")))?;
    let place = folder.path().display().to_string();
    printed(program, &["completion", "--install", "--dir", &place])?;
    let path = folder.path().join(SHIM);
    fs::read(&path).map_err(Error::at(&path))
}

fn printed(program: Option<&Path>, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = match program {
        Some(program) => Command::new(program),
        None => {
            let mut command = cargo();
            command.args(["run", "--quiet", "--locked", "--package", "kubectl-mtls"]);
            command.args(["--bin", "kubectl-mtls", "--"]);
            command
        }
    };
    output_of(command.args(arguments))
}
