//! Windows.
//!
//! New files inherit the access list of their folder: there are no modes. The profile folder of a user, the usual place, is readable by
//! that user and by administrators only.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::Builder;
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

/// Whether a file that this process has open can be replaced, and the folder that it is in renamed.
pub(in crate::io) const REPLACES_OPEN_FILES: bool = false;

/// Opens a file for reading.
pub(in crate::io) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Creates a file, and fails if it exists.
pub(in crate::io) fn create_new(path: &Path, _mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Leaves the temporary files of a builder as they are.
pub(in crate::io) fn staged<'a, 'b>(
    builder: &'a mut Builder<'b, 'b>,
    _mode: u32,
) -> &'a mut Builder<'b, 'b> {
    builder
}

/// Always `None`: files have no modes.
pub(in crate::io) fn mode_for_others(_found: &Metadata) -> Option<u32> {
    None
}

/// Always false: named pipes are not files in folders.
pub(in crate::io) fn is_pipe(_kind: FileType) -> bool {
    false
}

/// Always true: files have no modes, and the permissions of the folder decide.
pub(in crate::io) fn is_protected(_found: &Metadata, _own: &Metadata, _forbidden: u32) -> bool {
    true
}

/// Always true: files have no modes.
pub(in crate::io) fn has_mode(_found: &Metadata, _mode: u32) -> bool {
    true
}

/// Always true: the standard library cannot compare files, and the hash of the content is compared
/// in any case.
pub(in crate::io) fn is_same_file(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

/// Always false: the standard library writes nowhere, without an error, where there is no stdout.
pub(in crate::io) fn was_stdout_closed() -> bool {
    false
}

/// The lock of a folder, until it is dropped: a file that nobody else can open. `LockFileEx` takes no folders.
///
/// The folder cannot be renamed or removed meanwhile.
pub(in crate::io) struct FolderLock {
    file: Option<File>,
    path: PathBuf,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        drop(self.file.take());
        // Fails where somebody else has it by now.
        drop(fs::remove_file(&self.path));
    }
}

/// Locks a folder, and waits while another process has the lock.
pub(in crate::io) fn lock_folder(folder: &Path) -> io::Result<FolderLock> {
    loop {
        if let Some(lock) = try_lock_folder(folder)? {
            return Ok(lock);
        }
        std::thread::sleep(RETRY);
    }
}

/// As [`lock_folder`], but `None` at once where another process has it.
pub(in crate::io) fn try_lock_folder(folder: &Path) -> io::Result<Option<FolderLock>> {
    let path = folder.join(LOCK);
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .share_mode(0)
        .open(&path);
    match opened {
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        opened => opened.map(|file| {
            let file = Some(file);
            Some(FolderLock { file, path })
        }),
    }
}

/// Does nothing: names reach the disk when the system writes them.
pub(in crate::io) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// The pause between two attempts to lock a folder.
const RETRY: Duration = Duration::from_millis(10);
/// The file that is the lock of the folder it is in.
const LOCK: &str = ".kubectl-mtls-lock";
/// <https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499->
const ERROR_SHARING_VIOLATION: i32 = 32;

/// Overwrites bytes within a file.
pub(in crate::io) fn write_all_at(
    file: &File,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, offset)?;
        if written == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Does nothing: there is no such call, so names and contents reach the disk when the system writes
/// them.
pub(in crate::io) fn flush_file_systems<'a>(
    _folders: &[&'a Path],
) -> Result<(), (&'a Path, io::Error)> {
    Ok(())
}

/// The events Ctrl-C, Ctrl-Break, the end of the console and of the system.
pub(in crate::io) struct Interruptions {
    c: CtrlC,
    r#break: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Interruptions {
    /// Starts listening for signals; needs a running runtime.
    pub(in crate::io) fn listen() -> io::Result<Self> {
        Ok(Self {
            c: ctrl_c()?,
            r#break: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Waits for the next signal.
    pub(in crate::io) async fn next(&mut self) {
        tokio::select! {
            _ = self.c.recv() => {}
            _ = self.r#break.recv() => {}
            _ = self.close.recv() => {}
            _ = self.shutdown.recv() => {}
        }
    }
}

/// Empty: shells set the console's mode before each of their prompts.
pub(in crate::io) struct TerminalState;

impl TerminalState {
    /// Saves nothing.
    pub(in crate::io) fn save() -> Option<Self> {
        Some(Self)
    }

    /// Restores nothing.
    pub(in crate::io) fn restore(&self) {}
}
