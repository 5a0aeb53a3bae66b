//! Makes the files of a release.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::archive::{Entry, gzip, tar};
use crate::build::{self, program_path, workspace};
use crate::contents;
use crate::error::{Error, Result};
use crate::image::{self, Content, Labels};
use crate::manifest;
use crate::metadata::{Package, packages};
use crate::platform::Platform;
use crate::sbom;
use crate::sums::sha256;

/// What a program may weigh, in bytes.
const LARGEST_PROGRAM: usize = 16_000_000;
/// What an archive may weigh, in bytes.
const LARGEST_ARCHIVE: usize = 7_000_000;
/// What the program may take to start and to print its version: the shell starts it for every completion.
const LONGEST_START: Duration = Duration::from_millis(10);
/// How often the program is started, of which the fastest counts: all others waited for something else.
const STARTS: usize = 20;
/// The name under which krew wants its manifest.
const KREW: &str = "mtls.yaml";
/// The sums of all files, as `sha256sum` reads them.
const SUMS: &str = "SHA256SUMS";

/// Builds for these platforms, or for all that this machine can build for.
pub fn run(platforms: &[Platform], out: &Path) -> Result<()> {
    let chosen: Vec<Platform> = match platforms {
        [] => Platform::ALL
            .into_iter()
            .filter(|platform| platform.is_buildable())
            .collect(),
        some => some.to_vec(),
    };
    if let Some(strange) = chosen.iter().find(|platform| !platform.is_buildable()) {
        return Err(Error::Other(format!(
            "{strange} cannot be built on this machine: programs for macOS need a Mac, all others Linux"
        )));
    }
    let packages = packages()?;
    let version = version(&packages)?;
    let time = build::time()?;
    let programs = build::programs(&chosen, time)?;
    let runs_here = chosen.iter().find(|platform| platform.is_native());
    let runs_here = runs_here.map(|platform| program_path(*platform));
    if let Some(program) = &runs_here {
        check_start(program)?;
    }
    let shared = contents::shared(&packages, runs_here.as_deref())?;
    fs::create_dir_all(out).map_err(Error::at(out))?;
    let mut images = Vec::new();
    for (platform, program) in chosen.iter().zip(programs) {
        let mut entries = shared.clone();
        entries.push(Entry::program(platform.program(), program.clone()));
        entries.push(contents::shim(*platform)?);
        let tar = tar(entries, time).map_err(Error::at(out))?;
        let archive = gzip(&tar).map_err(Error::at(out))?;
        let name = platform.archive(&version);
        check_size(platform.program(), program.len(), LARGEST_PROGRAM)?;
        check_size(&name, archive.len(), LARGEST_ARCHIVE)?;
        write(out, &name, &archive)?;
        if platform.os == "linux" {
            images.push(Content {
                arch: platform.arch,
                program,
                licenses: licenses(&shared),
            });
        }
    }
    let created = rfc3339(time)?;
    let bill = sbom::document(&packages, &build::compiler()?, &created);
    let bill = serde_json::to_string_pretty(&bill).unwrap_or_default() + "\n";
    write(
        out,
        &format!("kubectl-mtls_v{version}.cdx.json"),
        bill.as_bytes(),
    )?;
    if !images.is_empty() {
        let source = packages
            .first()
            .and_then(|program| program.repository.as_deref());
        let labels = Labels {
            version: &version,
            created: &created,
            source: source.unwrap_or_default(),
        };
        let layout = image::layout(images, &labels, time).map_err(Error::at(out))?;
        write(out, &format!("kubectl-mtls_v{version}_image.tar"), &layout)?;
    }
    index(out, false)
}

fn licenses(shared: &[Entry]) -> Vec<Entry> {
    let is_license = |entry: &&Entry| entry.path.contains("LICENSE");
    shared.iter().filter(is_license).cloned().collect()
}

/// Writes the sums, and krew's manifest for the archives that are there.
pub fn index(out: &Path, complete: bool) -> Result<()> {
    let version = version(&packages()?)?;
    let mut sums = Vec::new();
    for platform in Platform::ALL {
        let path = out.join(platform.archive(&version));
        if path.exists() {
            let content = fs::read(&path).map_err(Error::at(&path))?;
            sums.push((platform, sha256(&content)));
        } else if complete {
            return Err(Error::Other(format!("`{}` is missing", path.display())));
        }
    }
    let template = workspace().join("krew-manifest.yaml");
    let template = fs::read_to_string(&template).map_err(Error::at(&template))?;
    write(
        out,
        KREW,
        manifest::filled(&template, &sums, &version)?.as_bytes(),
    )?;

    let mut lines = String::new();
    for name in files(out)? {
        let path = out.join(&name);
        let content = fs::read(&path).map_err(Error::at(&path))?;
        lines += &format!("{}  {name}\n", sha256(&content));
    }
    write(out, SUMS, lines.as_bytes())
}

/// The names of the files of a release, except that of the sums, sorted.
pub fn files(out: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(out).map_err(Error::at(out))? {
        let name = entry.map_err(Error::at(out))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.retain(|name| name == KREW || (name.starts_with("kubectl-mtls_v")));
    names.sort();
    Ok(names)
}

fn version(packages: &[Package]) -> Result<String> {
    let program = packages.first();
    let version = program.map(|program| program.version.clone());
    version.ok_or_else(|| Error::Other("cargo knows no package `kubectl-mtls`".to_owned()))
}

fn check_size(name: &str, size: usize, largest: usize) -> Result<()> {
    if size >= largest {
        return Err(Error::Other(format!(
            "{name} has {size} bytes, and may have less than {largest}"
        )));
    }
    println!("{name}: {size} bytes");
    Ok(())
}

/// Refuses a program that is slow to start.
fn check_start(program: &Path) -> Result<()> {
    let mut fastest = Duration::MAX;
    for _ in 0..STARTS {
        let began = Instant::now();
        let mut command = Command::new(program);
        let status = command.arg("version").stdout(Stdio::null()).status();
        let name = || format!("{} version", program.display());
        let status = status.map_err(|source| Error::Program {
            program: name(),
            source,
        })?;
        if !status.success() {
            return Err(Error::Failed(name()));
        }
        fastest = fastest.min(began.elapsed());
    }
    check_time("kubectl-mtls version", fastest)
}

fn check_time(name: &str, taken: Duration) -> Result<()> {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let taken_ms = milliseconds(taken);
    if taken >= LONGEST_START {
        return Err(Error::Other(format!(
            "`{name}` takes {taken_ms:.1} ms, and may take less than {:.0} ms",
            milliseconds(LONGEST_START)
        )));
    }
    println!("{name}: {taken_ms:.1} ms");
    Ok(())
}

fn write(out: &Path, name: &str, content: &[u8]) -> Result<()> {
    let path = out.join(name);
    fs::write(&path, content).map_err(Error::at(&path))
}

/// Seconds since 1970 as RFC 3339, UTC.
fn rfc3339(time: u64) -> Result<String> {
    let seconds = i64::try_from(time).unwrap_or(i64::MAX);
    let formatted = OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok());
    formatted.ok_or_else(|| Error::Other(format!("{time} s is no time of a release")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_to_start_is_named() {
        let just_below = LONGEST_START.saturating_sub(Duration::from_micros(100));
        check_time("program version", just_below).unwrap();
        let error = check_time("program version", LONGEST_START).unwrap_err();
        let expected = "`program version` takes 10.0 ms, and may take less than 10 ms";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_weighs_too_much_is_named() {
        check_size("archive", LARGEST_ARCHIVE - 1, LARGEST_ARCHIVE).unwrap();
        let error = check_size("archive", LARGEST_ARCHIVE, LARGEST_ARCHIVE).unwrap_err();
        let expected = "archive has 7000000 bytes, and may have less than 7000000";
        assert_eq!(error.to_string(), expected);
    }
}
