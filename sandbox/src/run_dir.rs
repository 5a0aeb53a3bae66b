//! The folder of one instance: its files and its logs.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Trying};
use crate::parts::cache_folder;

/// A run directory that this process holds, `…/run/<name>`.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
    _lock: File,
}

impl RunDirectory {
    /// Removes the directories of instances that are no more, then creates this one.
    ///
    /// Fails when an instance with that name runs.
    pub(crate) fn create(name: &str) -> Result<Self> {
        check_name(name)?;
        let all = all()?;
        let creating = || format!("create the run directory of `{name}`");
        // Between the creation of a directory and its lock nobody may take it for a dead one.
        let door = File::create(all.join(".lock")).trying(creating)?;
        door.lock().trying(creating)?;
        for dead in dead(&all)? {
            let _ = fs::remove_dir_all(dead);
        }
        let path = all.join(name);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::Name(format!(
                    "a sandbox named `{name}` runs already; see `cargo sandbox status`"
                )));
            }
            Err(source) => {
                return Err(Error::Io {
                    what: creating(),
                    source,
                });
            }
        }
        let lock = File::create(path.join("lock")).trying(creating)?;
        lock.lock().trying(creating)?;
        fs::create_dir(path.join("log")).trying(creating)?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Folder of the logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Log file of a part.
    pub(crate) fn log(&self, part: &str) -> PathBuf {
        self.logs().join(format!("{part}.log"))
    }

    /// Writes a file that only its owner may read, in one step, and returns its path.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.file(name);
        let unfinished = self.file(&format!(".{name}.unfinished"));
        let writing = || format!("write {}", path.display());
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .trying(writing)?;
        file.write_all(content).trying(writing)?;
        fs::rename(&unfinished, &path).trying(writing)?;
        Ok(path)
    }

    /// Removes the directory with everything in it.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Folder of all run directories of this user.
pub(crate) fn all() -> Result<PathBuf> {
    let folder = cache_folder()?.join("run");
    fs::create_dir_all(&folder).trying(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// Log of the process that holds an instance in the background; it outlives the instance.
pub fn holder_log(name: &str) -> Result<PathBuf> {
    check_name(name)?;
    let folder = cache_folder()?.join("log");
    fs::create_dir_all(&folder).trying(|| format!("create {}", folder.display()))?;
    Ok(folder.join(format!("{name}.log")))
}

/// Whether some process holds the directory's instance.
///
/// A shared lock is tried, so that two who look do not take each other for the holder.
pub(crate) fn is_held(directory: &Path) -> bool {
    File::open(directory.join("lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

fn dead(all: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("read {}", all.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(all).trying(reading)? {
        let path = entry.trying(reading)?.path();
        if path.is_dir() && !is_held(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Names are parts of paths and of messages.
fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.len() <= 40 && !name.starts_with('-') && name.chars().all(fits) {
        return Ok(());
    }
    Err(Error::Name(format!(
        "`{name}` is no name for a sandbox: 1 to 40 of a-z, 0-9 and `-`, not first a `-`"
    )))
}
