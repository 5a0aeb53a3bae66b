//! Folders of many clients: each appears whole or not at all, and a killed run leaves only one hidden folder, which the next run removes.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::files::{
    self, MadeFolders, NEW_CA, NewFile, NotWritten, PREPARED, UNFINISHED, UnfinishedFolder,
};
use super::platform;

/// The hidden folder in which a run prepares its folders; locked as long as the run lives.
pub struct Staging {
    folder: UnfinishedFolder,
    count: AtomicU64,
    /// The last field, so that the folders are removed after their content.
    _made: MadeFolders,
}

impl Staging {
    /// Starts a run that writes into this folder: creates the folder if needed, and removes what killed runs left in it.
    pub fn begin(out: &Path) -> Result<Self, NotWritten> {
        let failed = |error| NotWritten::new(out, error);
        let made = files::make_folder(out)?;
        // Runs that begin at the same time do so one after the other: nobody clears away what is not locked yet.
        let beginning = platform::lock_folder(out).map_err(failed)?;
        clear(out).map_err(failed)?;
        drop(beginning);
        let folder = UnfinishedFolder::within(out).map_err(failed)?;
        Ok(Self {
            folder,
            count: AtomicU64::new(0),
            _made: made,
        })
    }

    /// Writes the files of one client into their own folder below `out`. They are on disk at the next [`files::flush_file_systems`].
    ///
    /// If that folder exists already, the files are a set with this name in it, as in [`files::write_set`].
    pub fn write(
        &self,
        (target, name): (&Path, &str),
        wanted: &[NewFile<'_>],
        force: bool,
    ) -> Result<(), NotWritten> {
        if fs::symlink_metadata(target).is_ok() {
            return files::write_set(name, wanted, force, None);
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let staged = self.folder.path().join(number.to_string());
        let written = fill(&staged, target, wanted);
        if written.is_err() {
            // The disk may be full: nobody needs the half of a client's files.
            drop(fs::remove_dir_all(&staged));
        }
        written
    }
}

fn fill(staged: &Path, target: &Path, wanted: &[NewFile<'_>]) -> Result<(), NotWritten> {
    let failed = |error| NotWritten::new(target, error);
    fs::create_dir(staged).map_err(failed)?;
    for file in wanted {
        let name = file.path.file_name().unwrap_or_default();
        files::create(&staged.join(name), file)
            .map_err(|error| NotWritten::new(&file.path, error))?;
    }
    fs::rename(staged, target).map_err(failed)
}

/// Removes the folders of killed runs.
fn clear(out: &Path) -> io::Result<()> {
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // A prepared set is completed by the next run on its client, and a new CA by the next run on its directory.
        let is_prepared = name.starts_with(PREPARED) || name == NEW_CA;
        let is_unfinished = name.starts_with(UNFINISHED) && !is_prepared;
        if !is_unfinished || !entry.file_type()?.is_dir() {
            continue;
        }
        match platform::try_lock_folder(&entry.path()) {
            Ok(Some(lock)) => {
                let _lock = platform::REPLACES_OPEN_FILES.then_some(lock);
                drop(fs::remove_dir_all(entry.path()));
            }
            // A run that lives has it.
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::files::Access;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn file(folder: &Path) -> NewFile<'static> {
        NewFile {
            path: folder.join("a.key"),
            content: b"1",
            access: Access::Private,
        }
    }

    #[test]
    fn a_client_s_folder_appears_whole_and_a_second_run_overwrites_nothing() {
        let out = tempfile::tempdir().unwrap();
        let target = out.path().join("a");
        let staging = Staging::begin(out.path()).unwrap();
        staging
            .write((&target, "a"), &[file(&target)], false)
            .unwrap();
        assert_eq!(names(&target), ["a.key"]);
        let other = NewFile {
            content: b"2",
            ..file(&target)
        };
        let error = staging.write((&target, "a"), &[other], false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        drop(staging);
        assert_eq!(names(out.path()), ["a"]);
    }

    #[test]
    fn what_a_killed_run_left_is_cleared_away_and_a_run_that_lives_is_left_alone() {
        let out = tempfile::tempdir().unwrap();
        let killed = out.path().join(format!("{UNFINISHED}killed"));
        fs::create_dir_all(killed.join("0")).unwrap();
        let living = Staging::begin(out.path()).unwrap();
        assert_eq!(names(out.path()).len(), 1);
        let second = Staging::begin(out.path()).unwrap();
        assert_eq!(names(out.path()).len(), 2);
        drop((living, second));
        assert_eq!(names(out.path()), Vec::<String>::new());
    }

    #[test]
    fn a_run_that_begins_takes_nothing_from_a_run_that_writes_into_the_same_folder() {
        let out = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                for number in 0..300 {
                    let name = format!("client-{number}");
                    let key = NewFile {
                        path: out.path().join(format!("{name}.key")),
                        ..file(out.path())
                    };
                    let written = files::write_set(&name, &[key], false, None);
                    written.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                }
            });
            while !writing.is_finished() {
                drop(Staging::begin(out.path()).unwrap());
            }
            writing.join().unwrap();
        });
        assert_eq!(names(out.path()).len(), 300);
    }
}
