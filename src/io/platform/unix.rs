//! Linux and macOS.

use std::fs::{File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat, stat};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tempfile::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Permissions of the group and of all others.
const OTHERS: u32 = 0o077;
/// Whether a file that this process has open can be replaced, and the folder that it is in renamed.
pub(in crate::io) const REPLACES_OPEN_FILES: bool = true;

/// Opens a file for reading. A pipe without a writer is empty at once, where a plain open would wait for a writer.
pub(in crate::io) fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Creates a file, and fails if it exists, with this mode as far as the umask allows it.
pub(in crate::io) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

/// Gives the temporary files of a builder this mode, as far as the umask allows it.
pub(in crate::io) fn staged<'a, 'b>(
    builder: &'a mut Builder<'b, 'b>,
    mode: u32,
) -> &'a mut Builder<'b, 'b> {
    builder.permissions(Permissions::from_mode(mode))
}

/// The mode of a file, if other users than its owner may access it.
pub(in crate::io) fn mode_for_others(found: &Metadata) -> Option<u32> {
    let mode = found.permissions().mode() & 0o7777;
    (mode & OTHERS != 0).then_some(mode)
}

/// Whether a file is this process's own, and other users have none of the `forbidden` permissions on it. `own` is a file that this process
/// made beside it: some file systems know no owners or no modes, and show the same ones for every file.
pub(in crate::io) fn is_protected(found: &Metadata, own: &Metadata, forbidden: u32) -> bool {
    let more_than_own = found.permissions().mode() & !own.permissions().mode();
    found.uid() == own.uid() && more_than_own & forbidden == 0
}

/// Whether a file has the owner's permissions of this mode, and none beyond the mode.
pub(in crate::io) fn has_mode(found: &Metadata, mode: u32) -> bool {
    let has = found.permissions().mode() & 0o777;
    has & 0o700 == mode & 0o700 && has & !mode == 0
}

/// Whether the file type is a pipe.
pub(in crate::io) fn is_pipe(kind: FileType) -> bool {
    kind.is_fifo()
}

/// Whether both metadata are of the same file, under whichever names.
pub(in crate::io) fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether stdout was closed when this program began: the standard library then opens `/dev/null` for reading and writing in its place,
/// where a shell opens it for writing only.
pub(in crate::io) fn was_stdout_closed() -> bool {
    let out = io::stdout();
    let is_open_both_ways = || {
        let flags = fcntl_getfl(&out);
        flags.is_ok_and(|flags| flags.contains(OFlags::RDWR))
    };
    match (fstat(&out), stat("/dev/null")) {
        (Ok(out), Ok(null)) => {
            (out.st_dev, out.st_ino) == (null.st_dev, null.st_ino) && is_open_both_ways()
        }
        _ => false,
    }
}

/// The lock of a folder, until it is dropped; a file system without locks locks nothing.
pub(in crate::io) struct FolderLock(#[expect(dead_code, reason = "what is locked is open")] File);

/// Locks a folder, and waits while another process has the lock.
pub(in crate::io) fn lock_folder(folder: &Path) -> io::Result<FolderLock> {
    let handle = File::open(folder)?;
    let _ = handle.lock();
    Ok(FolderLock(handle))
}

/// As [`lock_folder`], but `None` at once where another process has it, or the file system knows no locks.
pub(in crate::io) fn try_lock_folder(folder: &Path) -> io::Result<Option<FolderLock>> {
    let handle = File::open(folder)?;
    Ok(handle.try_lock().is_ok().then_some(FolderLock(handle)))
}

/// Has the names in a folder written to the disk.
pub(in crate::io) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Overwrites bytes within a file.
pub(in crate::io) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Flushes the file systems of these folders, each once. An error comes with its folder.
pub(in crate::io) fn flush_file_systems<'a>(
    folders: &[&'a Path],
) -> Result<(), (&'a Path, io::Error)> {
    let mut flushed = Vec::new();
    for &folder in folders {
        let failed = |error| (folder, error);
        let handle = File::open(folder).map_err(failed)?;
        let device = handle.metadata().map_err(failed)?.dev();
        if cfg!(target_os = "linux") && flushed.contains(&device) {
            continue;
        }
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&handle).map_err(|error| failed(error.into()))?;
        // Elsewhere there is no such call; names and contents reach the disk when the system writes them.
        #[cfg(not(target_os = "linux"))]
        handle.sync_all().map_err(failed)?;
        flushed.push(device);
    }
    Ok(())
}

/// SIGINT, SIGTERM and SIGHUP, except those that the caller ignores (`nohup`).
pub(in crate::io) struct Interruptions(Vec<Signal>);

impl Interruptions {
    /// Starts listening for signals; needs a running runtime.
    pub(in crate::io) fn listen() -> io::Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let ignored = ignored();
        let kinds = kinds
            .into_iter()
            .filter(|kind| ignored & (1 << (kind.as_raw_value() - 1)) == 0);
        kinds.map(signal).collect::<Result<_, _>>().map(Self)
    }

    /// Waits for the next signal.
    pub(in crate::io) async fn next(&mut self) {
        let next = self.0.iter_mut().map(|stream| Box::pin(stream.recv()));
        match next.collect::<Vec<_>>() {
            none if none.is_empty() => std::future::pending().await,
            some => drop(futures::future::select_all(some).await),
        }
    }
}

/// The ignored signals, one bit each, the lowest for number 1 (proc(5), `SigIgn`); 0 if they cannot be read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

/// The terminal's settings, such as whether it shows what is typed.
pub(in crate::io) struct TerminalState(File, Termios);

impl TerminalState {
    /// The state of this process's terminal, if it has one.
    pub(in crate::io) fn save() -> Option<Self> {
        let terminal = File::open("/dev/tty").ok()?;
        let state = tcgetattr(&terminal).ok()?;
        Some(Self(terminal, state))
    }

    /// Restores the terminal's settings; a terminal that is gone is ignored.
    pub(in crate::io) fn restore(&self) {
        let _ = tcsetattr(&self.0, OptionalActions::Now, &self.1);
    }
}
