//! Builds the same sources in another folder, and compares.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::build::{self, cargo, output_of};
use crate::dist;
use crate::error::{Error, Result};
use crate::platform::Platform;

/// Fails where a file of a release comes out differently when the committed sources are built elsewhere.
pub fn run(platforms: &[Platform], out: &Path) -> Result<()> {
    let names = dist::files(out)?;
    let has_archive = |platform: &Platform| {
        let ending = format!("_{}_{}.tar.gz", platform.os, platform.arch);
        names.iter().any(|name| name.ends_with(&ending))
    };
    let chosen = (!platforms.is_empty()).then(|| platforms.to_vec());
    let platforms = chosen
        .clone()
        .unwrap_or_else(|| Platform::ALL.into_iter().filter(has_archive).collect());
    let time = build::time()?;
    let folder = tempfile::tempdir().map_err(Error::at(Path::new("temporary folder")))?;
    let sources = folder.path().join("elsewhere");
    fs::create_dir(&sources).map_err(Error::at(&sources))?;
    let archive = folder.path().join("sources.tar");
    output_of(
        Command::new("git")
            .args(["archive", "--format=tar", "--output"])
            .arg(&archive)
            .arg("HEAD"),
    )?;
    output_of(
        Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&sources),
    )?;
    let again = folder.path().join("dist");
    let mut command = cargo();
    command.arg("run").arg("--manifest-path");
    command.arg(sources.join("Cargo.toml"));
    command.args(["--quiet", "--package", "xtask", "--", "dist", "--out"]);
    command.arg(&again);
    for platform in &platforms {
        command.arg("--platform").arg(platform.to_string());
    }
    command
        .env("SOURCE_DATE_EPOCH", time.to_string())
        .env("CARGO_TARGET_DIR", sources.join("target"));
    output_of(&mut command)?;
    let mut made = dist::files(&again)?;
    if chosen.is_some() {
        // The image and krew's manifest are of all platforms.
        made.retain(|name| !name.ends_with("_image.tar") && name != "mtls.yaml");
    }
    compare(&made, &again, out)
}

fn compare(names: &[String], again: &Path, out: &Path) -> Result<()> {
    let mut differing = Vec::new();
    for name in names {
        let read = |folder: &Path| {
            let path = folder.join(name);
            fs::read(&path).map_err(Error::at(&path))
        };
        if read(again)? == read(out)? {
            println!("{name}: the same bytes");
        } else {
            differing.push(name.as_str());
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    Err(Error::Other(format!(
        "these came out differently: {}",
        differing.join(", ")
    )))
}
