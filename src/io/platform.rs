//! Differences between operating systems: permissions of files, pipes, flushing, signals, and the state of a terminal.
//!
//! Both modules have the same functions. Only the Unix one is tested in the sandbox, which runs on Linux.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::{
    FolderLock, Interruptions, REPLACES_OPEN_FILES, TerminalState, create_new, flush_file_systems,
    has_mode, is_pipe, is_protected, is_same_file, lock_folder, mode_for_others, open, staged,
    sync_folder, try_lock_folder, was_stdout_closed, write_all_at,
};
#[cfg(windows)]
pub(super) use windows::{
    FolderLock, Interruptions, REPLACES_OPEN_FILES, TerminalState, create_new, flush_file_systems,
    has_mode, is_pipe, is_protected, is_same_file, lock_folder, mode_for_others, open, staged,
    sync_folder, try_lock_folder, was_stdout_closed, write_all_at,
};
