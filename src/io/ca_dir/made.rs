//! The CA's certificate and key: both appear, or neither does, whenever the run that creates them is killed and however many runs create
//! one at the same time.
//!
//! Both are written into a temporary folder, which then gets the name [`NEW_CA`] in one rename: that decides which CA it is. The run that
//! created that folder, or a later one, moves the files to their places.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::{create_folder, hinted};
use crate::error::Failure;
use crate::io::files::{
    Access, NEW_CA, NewFile, UnfinishedFolder, check_own, has_content, is_taken, read_if_there,
    write_all,
};

/// The file of the CA's certificate; certificates of further trusted CAs may follow it.
pub(super) const CERTIFICATE: &str = "ca.crt";
/// The file of the CA's private key.
pub(super) const KEY: &str = "ca.key";

/// The content of `ca.crt`; `None` if there is no CA. A key without a certificate, and the reverse, are errors.
pub(super) fn certificate(folder: &Path) -> Result<Option<Vec<u8>>, Failure> {
    // A lone key may be half of a CA that another run is just moving to its place; then it is whole at the second look.
    let mut second_look = false;
    loop {
        finish(folder)?;
        let certificate = read_if_there(&folder.join(CERTIFICATE))?;
        match (&certificate, folder.join(KEY).exists()) {
            (Some(_), true) | (None, false) => return Ok(certificate),
            (Some(_), false) => return Err(lone(folder, CERTIFICATE, KEY)),
            (None, true) if second_look => return Err(lone(folder, KEY, CERTIFICATE)),
            (None, true) => second_look = true,
        }
    }
}

fn lone(folder: &Path, there: &str, missing: &str) -> Failure {
    Failure::refused(format!(
        "`{}` has `{there}` but no `{missing}`",
        folder.display()
    ))
    .hint("put both files there, or name an empty folder to create a new CA in it")
}

/// Makes this certificate and key the directory's CA; false if another run was faster.
pub(super) fn make(folder: &Path, certificate: &[u8], key: &[u8]) -> Result<bool, Failure> {
    create_folder(folder)?;
    let staged = UnfinishedFolder::within(folder).map_err(|error| {
        Failure::failed(format!("could not write into `{}`", folder.display()))
            .caused_by(error)
            .hint("name a folder that you may write to with `--ca-dir`")
    })?;
    let files = [
        private(staged.path().join(KEY), key),
        public(staged.path().join(CERTIFICATE), certificate),
    ];
    write_all(&files, false).map_err(hinted)?;
    if self::certificate(folder)?.is_some() {
        return Ok(false);
    }
    match staged.rename(&folder.join(NEW_CA)) {
        Ok(()) => {}
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty
            ) => {}
        Err(error) => {
            return Err(
                Failure::failed(format!("could not write into `{}`", folder.display()))
                    .caused_by(error),
            );
        }
    }
    finish(folder)?;
    Ok(has_content(&folder.join(CERTIFICATE), certificate))
}

/// Moves a CA that was decided on to its place.
fn finish(folder: &Path) -> Result<(), Failure> {
    let new = folder.join(NEW_CA);
    if !is_taken(&new) {
        return Ok(());
    }
    let is_whole = || folder.join(KEY).exists() && folder.join(CERTIFICATE).exists();
    if !is_whole() {
        let files = [KEY, CERTIFICATE].map(|name| new.join(name));
        match check_own(folder, &new, files.iter().map(PathBuf::as_path)) {
            // Another run has just finished.
            Err(_) if !is_taken(&new) => return Ok(()),
            checked => checked?,
        }
        let read = |name: &str| read_if_there(&new.join(name));
        let key = read(KEY)?.map(Zeroizing::new);
        // The certificate comes last: where it stands, the key does too.
        if let (Some(key), Some(certificate)) = (key, read(CERTIFICATE)?)
            && appears(&private(folder.join(KEY), &key))?
        {
            appears(&public(folder.join(CERTIFICATE), &certificate))?;
        }
    }
    if is_whole() {
        // Several runs may clear up at the same time.
        let _ = fs::remove_dir_all(&new);
    }
    Ok(())
}

/// Whether the file exists with this content, written by this run or another.
fn appears(file: &NewFile<'_>) -> Result<bool, Failure> {
    match write_all(std::slice::from_ref(file), false) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok(has_content(&file.path, file.content))
        }
        Err(error) => Err(hinted(error)),
    }
}

fn private(path: PathBuf, content: &[u8]) -> NewFile<'_> {
    NewFile {
        path,
        content,
        access: Access::Private,
    }
}

fn public(path: PathBuf, content: &[u8]) -> NewFile<'_> {
    NewFile {
        path,
        content,
        access: Access::Public,
    }
}
