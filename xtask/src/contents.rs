//! What an archive holds beside the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::archive::Entry;
use crate::build::{cargo, output_of, workspace};
use crate::error::{Error, Result};
use crate::metadata::Package;
use crate::notices;
use crate::platform::Platform;

/// Shells, and where their completion systems look for the script.
const SHELLS: [(&str, &str); 4] = [
    ("bash", "completions/kubectl-mtls.bash"),
    ("zsh", "completions/_kubectl-mtls"),
    ("fish", "completions/kubectl-mtls.fish"),
    ("powershell", "completions/_kubectl-mtls.ps1"),
];

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
    Ok(entries)
}

/// The script by which kubectl completes plugins on a platform, as the program itself installs it there: it has to be on `PATH` under
/// its name.
pub fn shim(platform: Platform) -> Result<Entry> {
    let name = match platform.os {
        "windows" => "kubectl_complete-mtls.cmd",
        _ => "kubectl_complete-mtls",
    };
    let path = workspace().join("src/commands/completion/shim").join(name);
    let content = fs::read(&path).map_err(Error::at(&path))?;
    Ok(Entry::program(name, content))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_on_windows_gets_a_script_that_it_can_run() {
        let shim = |platform: &str| shim(platform.parse().unwrap()).unwrap();
        let (linux, windows) = (shim("linux/amd64"), shim("windows/arm64"));
        assert_eq!(linux.path, "kubectl_complete-mtls");
        assert!(linux.content.unwrap().starts_with(b"#!/bin/sh\n"));
        assert_eq!(windows.path, "kubectl_complete-mtls.cmd");
        assert!(windows.content.unwrap().starts_with(b"@rem "));
    }
}
