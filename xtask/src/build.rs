//! Runs cargo for each platform, such that neither the folder nor the time nor the user shows in a program.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::platform::Platform;

/// Where the sources lie.
pub fn workspace() -> &'static Path {
    // The folder of this crate is one below, always.
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace().join("target"),
        |folder| workspace().join(folder),
    )
}

/// Where the program of a platform is built: in a folder of its own, so that no other build waits for it.
pub fn program_path(platform: Platform) -> PathBuf {
    let folder = dist_folder().join(platform.target);
    folder.join("release").join(platform.program())
}

fn dist_folder() -> PathBuf {
    target_folder().join("dist")
}

/// Runs a program in the workspace, and returns what it prints.
pub fn output_of(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .current_dir(workspace())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|source| Error::Program {
            program: name.clone(),
            source,
        })?;
    if !output.status.success() {
        return Err(Error::Failed(format!("{command:?}")));
    }
    Ok(output.stdout)
}

/// The cargo that runs this tool.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The time of the release, in seconds since 1970: `SOURCE_DATE_EPOCH`, or that of the last commit.
/// <https://reproducible-builds.org/specs/source-date-epoch/>
pub fn time() -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => {
            let git = output_of(Command::new("git").args(["log", "-1", "--format=%ct"]))?;
            String::from_utf8_lossy(&git).into_owned()
        }
    };
    let text = text.trim();
    text.parse().map_err(|_| {
        Error::Other(format!(
            "`{text}` is not a time in seconds; set SOURCE_DATE_EPOCH"
        ))
    })
}

/// Builds the programs of these platforms, and returns their contents.
pub fn programs(platforms: &[Platform], time: u64) -> Result<Vec<Vec<u8>>> {
    add_targets(platforms)?;
    let mut command = cargo();
    if cfg!(target_os = "macos") {
        command.arg("build");
    } else {
        command
            .arg("zigbuild")
            .env("PATH", path_with(&cross_compiler()?)?);
    }
    command.args(["--release", "--locked", "--package", "kubectl-mtls"]);
    command.args(["--bin", "kubectl-mtls", "--target-dir"]);
    command.arg(dist_folder());
    for platform in platforms {
        command.args(["--target", platform.target]);
    }
    let places = hidden_places()?;
    let [rust, c] = ["--remap-path-prefix=", "-ffile-prefix-map="].map(|flag| {
        let flags = places
            .iter()
            .map(|(place, name)| format!("{flag}{}={name}", place.display()));
        flags.collect::<Vec<_>>()
    });
    // mimalloc has the date in it, which the compiler takes from SOURCE_DATE_EPOCH, and warns of.
    let c = format!("{} -Wno-date-time", c.join(" "));
    command
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .env("CFLAGS", &c)
        .env("CXXFLAGS", &c)
        .env("SOURCE_DATE_EPOCH", time.to_string())
        .env("CARGO_INCREMENTAL", "0")
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    output_of(&mut command)?;
    let program = |platform: &Platform| {
        let path = program_path(*platform);
        fs::read(&path).map_err(Error::at(&path))
    };
    platforms.iter().map(program).collect()
}

/// Has rustup bring the standard libraries that are missing.
fn add_targets(platforms: &[Platform]) -> Result<()> {
    let root = output_of(Command::new("rustc").args(["--print", "sysroot"]))?;
    let root = PathBuf::from(String::from_utf8_lossy(&root).trim());
    let is_missing = |target: &&str| !root.join("lib/rustlib").join(target).exists();
    let targets = platforms.iter().map(|platform| platform.target);
    let missing: Vec<&str> = targets.filter(is_missing).collect();
    if !missing.is_empty() {
        output_of(Command::new("rustup").args(["target", "add"]).args(missing))?;
    }
    Ok(())
}

/// What the compiler calls itself, such as `1.95.0`.
pub fn compiler() -> Result<String> {
    let says = output_of(Command::new("rustc").arg("--version"))?;
    let says = String::from_utf8_lossy(&says);
    let version = says.split_whitespace().nth(1).unwrap_or_default();
    Ok(version.to_owned())
}

/// Folders that differ from machine to machine, and what programs call them instead.
fn hidden_places() -> Result<Vec<(PathBuf, &'static str)>> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir()
            .ok_or_else(|| Error::Other("set CARGO_HOME or HOME".to_owned()))?
            .join(".cargo"),
    };
    let mut places = vec![
        (home.clone(), "/cargo"),
        (workspace().to_path_buf(), "/kubectl-mtls"),
        (target_folder(), "/kubectl-mtls/target"),
    ];
    // Each registry has a folder whose name tells where it is. The last match counts.
    let sources = home.join("registry/src");
    let mut registries = Vec::new();
    for entry in fs::read_dir(&sources).into_iter().flatten() {
        registries.push(entry.map_err(Error::at(&sources))?.path());
    }
    registries.sort();
    places.extend(registries.into_iter().map(|folder| (folder, "/crates")));
    Ok(places)
}

/// The folder with `cargo-zigbuild` and its compiler, pinned by hash; installed when missing.
fn cross_compiler() -> Result<PathBuf> {
    let pins = workspace().join("xtask/requirements.txt");
    let folder = target_folder().join("cross");
    let bin = folder.join("bin");
    let stamp = folder.join("requirements.txt");
    let wanted = fs::read(&pins).map_err(Error::at(&pins))?;
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(bin);
    }
    println!("installing the cross compiler into {}", folder.display());
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    output_of(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
    output_of(
        Command::new(bin.join("pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
            .arg("--requirement")
            .arg(&pins),
    )?;
    fs::write(&stamp, wanted).map_err(Error::at(&stamp))?;
    Ok(bin)
}

/// `PATH` with a folder before all others.
fn path_with(folder: &Path) -> Result<OsString> {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&inherited));
    std::env::join_paths(folders).map_err(|error| Error::Other(error.to_string()))
}
