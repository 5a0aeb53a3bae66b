//! The per-user folder of finished parts: complete or absent, never half-written.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};

use super::Part;
use crate::error::{Error, Result, Trying};
use crate::progress::report;

/// Returns the folder of everything that the sandbox keeps, `$XDG_CACHE_HOME/kubectl-mtls/sandbox`, and creates it.
pub(crate) fn folder() -> Result<PathBuf> {
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        (_, None) => {
            return Err(Error::Tool(
                "set HOME or XDG_CACHE_HOME: the sandbox keeps its parts there".into(),
            ));
        }
    };
    let folder = base.join("kubectl-mtls").join("sandbox");
    fs::create_dir_all(&folder).trying(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// Returns the path of a part, built first where it is missing.
pub(super) fn obtain(part: Part) -> Result<PathBuf> {
    let cache = folder()?;
    let key = format!("{}-{}-{}", part.name(), part.version(), fingerprint(part)?);
    let finished = cache.join(&key);
    let path = if part == Part::Crds {
        finished.clone()
    } else {
        finished.join(part.name())
    };
    if path.exists() {
        return Ok(path);
    }
    let _lock = lock(&cache.join(format!("{key}.lock")), part)?;
    if path.exists() {
        return Ok(path);
    }
    let started = Instant::now();
    report(&format!(
        "building {} {}, about {} s …",
        part.name(),
        part.version(),
        part.build_seconds()
    ));
    let building = tempfile::Builder::new()
        .prefix(".building-")
        .tempdir_in(&cache)
        .trying(|| format!("create a folder in {}", cache.display()))?;
    part.build(building.path())?;
    // Not a TempDir any more: the rename must not be followed by its removal.
    let building = building.keep();
    if let Err(error) = fs::rename(&building, &finished) {
        let _ = fs::remove_dir_all(&building);
        return Err(Error::Io {
            what: format!("move {} into the cache", part.name()),
            source: error,
        });
    }
    report(&format!(
        "built {} in {:.0} s",
        part.name(),
        started.elapsed().as_secs_f64()
    ));
    Ok(path)
}

/// Holds the lock until the returned file is closed, which also the end of the process does.
fn lock(path: &Path, part: Part) -> Result<File> {
    let file = File::create(path).trying(|| format!("create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            report(&format!("another process builds {}; waiting", part.name()));
        }
        Err(TryLockError::Error(source)) => {
            return Err(Error::Io {
                what: format!("lock {}", path.display()),
                source,
            });
        }
    }
    file.lock().trying(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// First eight hex digits of the SHA-256 over a part's recipe, so that a changed pin or source is built anew.
fn fingerprint(part: Part) -> Result<String> {
    let mut digest = Context::new(&SHA256);
    for file in recipe_files(part)? {
        digest.update(&fs::read(&file).trying(|| format!("read {}", file.display()))?);
    }
    Ok(digest.finish().as_ref()[..4]
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

fn recipe_files(part: Part) -> Result<Vec<PathBuf>> {
    // The definitions of Istio and of the Kubernetes Gateway API come from modules of istiod.
    let others: &[Part] = if part == Part::Crds {
        &[Part::Istiod]
    } else {
        &[]
    };
    let mut files = Vec::new();
    for recipe in [part].iter().chain(others).map(|part| part.recipe()) {
        let reading = || format!("read {}", recipe.display());
        for entry in fs::read_dir(&recipe).trying(reading)? {
            files.push(entry.trying(reading)?.path());
        }
    }
    files.sort();
    Ok(files)
}
