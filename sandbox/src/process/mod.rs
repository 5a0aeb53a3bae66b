//! Child processes that cannot outlive this one.
//!
//! Every child asks the kernel to be killed when the thread that started it ends. This folder knows nothing about what
//! the children do.

mod launcher;

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result, Trying, tail};

/// A running part with its log file; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program with nothing of our environment but `PATH`; its output is appended to the log file.
    pub(crate) fn start(
        name: &str,
        program: &Path,
        log: &Path,
        describe: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let output = open_log(log)?;
        let errors = output
            .try_clone()
            .trying(|| format!("open {}", log.display()))?;
        let mut command = launcher::tied_to_parent(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        describe(&mut command);
        let child = match launcher::launch(command) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = "`setpriv` is not on PATH; it comes with util-linux";
                return Err(Error::Tool(message.to_owned()));
            }
            child => child.trying(|| format!("start {name} ({})", program.display()))?,
        };
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child,
        })
    }

    /// Name that was given at the start.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of the log when the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        let ended = self
            .child
            .try_wait()
            .trying(|| format!("look at {}", self.name))?;
        if ended.is_none() {
            return Ok(());
        }
        Err(Error::Ended {
            part: self.name.clone(),
            log: self.log.clone(),
            tail: tail(&self.log, 15),
        })
    }
}

impl Drop for Process {
    /// Kills at once: all that the parts keep is thrown away with them.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Append mode, because some parts open their standard output a second time.
fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .trying(|| format!("open {}", path.display()))
}

/// Start time of a process in clock ticks since boot; with the id it names one process for ever. `None` when it is gone.
pub(crate) fn start_time(id: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything, spaces and parentheses included.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    if ended {
        None
    } else {
        fields.get(19)?.parse().ok()
    }
}

/// Ids of all running processes that work in a directory, as every part of an instance does in its run directory.
pub(crate) fn working_in(directory: &Path) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = processes
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        let works_in = std::fs::read_link(format!("/proc/{id}/cwd")).unwrap_or_default();
        // The kernel's way to name a directory that was removed.
        let name = works_in.to_string_lossy();
        Path::new(name.strip_suffix(" (deleted)").unwrap_or(&name)) == directory
            && start_time(*id).is_some()
    })
    .collect()
}

/// Processes that depend on each other: the last started ends first.
#[derive(Debug, Default)]
pub(crate) struct Stack(Vec<Process>);

impl Stack {
    /// Adds a process that depends on those before.
    pub(crate) fn push(&mut self, process: Process) {
        self.0.push(process);
    }

    /// The processes in the order of their start.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.0.iter()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}
