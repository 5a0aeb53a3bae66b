//! Tar files and their compression, with nothing in them that differs from build to build.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where, with `/` between folders.
    pub path: String,
    /// Its content; a folder has none.
    pub content: Option<Vec<u8>>,
    /// Its permissions.
    pub mode: u32,
}

impl Entry {
    /// A file that everybody may read.
    pub fn file(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            content: Some(content.into()),
            mode: 0o644,
        }
    }

    /// A program.
    pub fn program(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            mode: 0o755,
            ..Self::file(path, content)
        }
    }

    /// A folder.
    pub fn folder(path: impl Into<String>, mode: u32) -> Self {
        Self {
            path: path.into(),
            content: None,
            mode,
        }
    }
}

/// The entries as a tar file: sorted by path, owned by root, with one time, in seconds since 1970, for all.
pub fn tar(mut entries: Vec<Entry>, time: u64) -> io::Result<Vec<u8>> {
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let mut archive = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        let content = entry.content.as_deref().unwrap_or_default();
        header.set_entry_type(match entry.content {
            Some(_) => EntryType::Regular,
            None => EntryType::Directory,
        });
        header.set_size(content.len() as u64);
        header.set_mode(entry.mode);
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, &entry.path, content)?;
    }
    archive.into_inner()
}

/// Compressed, with no name and no time in the header.
pub fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_order_in_which_files_are_found_does_not_show() {
        let one = Entry::file("a", "1");
        let other = Entry::program("b/c", "2");
        let forward = tar(vec![one.clone(), other.clone()], 7).unwrap();
        assert_eq!(forward, tar(vec![other, one], 7).unwrap());
    }

    #[test]
    fn a_tar_file_holds_paths_permissions_and_time_and_nobody_as_owner() {
        let entries = vec![Entry::program("bin/x", "x"), Entry::folder("tmp", 0o1777)];
        let bytes = tar(entries, 1_700_000_000).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 1_700_000_000);
            assert_eq!(header.uid().unwrap(), 0);
            let path = entry.path().unwrap().display().to_string();
            found.push((path, header.mode().unwrap(), content));
        }
        assert_eq!(
            found,
            [
                ("bin/x".to_owned(), 0o755, "x".to_owned()),
                ("tmp".to_owned(), 0o1777, String::new()),
            ]
        );
    }
}
