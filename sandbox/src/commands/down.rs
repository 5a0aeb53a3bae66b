//! Ends a sandbox and looks whether anything is left.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sandbox::{Error, Record, Result, report};

use super::Which;

/// End a sandbox and everything that belongs to it
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let name = &args.which.name;
    let Some(record) = Record::find(name)? else {
        report(&format!("no sandbox named `{name}` is up"));
        return Ok(ExitCode::SUCCESS);
    };
    if record.is_held() {
        signal(record.holder, Signal::TERM);
        if !wait(Duration::from_secs(20), || !record.is_held()) {
            signal(record.holder, Signal::KILL);
        }
    }
    if !wait(Duration::from_secs(5), || record.survivors().is_empty()) {
        record
            .survivors()
            .into_iter()
            .for_each(|id| signal(id, Signal::KILL));
        wait(Duration::from_secs(5), || record.survivors().is_empty());
    }
    let left = record.survivors();
    if record.is_held() || !left.is_empty() {
        return Err(Error::Name(format!(
            "`{name}` does not end; still there: {} and {left:?}",
            record.holder
        )));
    }
    record.forget();
    report(&format!("`{name}` is down; nothing is left"));
    Ok(ExitCode::SUCCESS)
}

/// A process that is gone already is as good as one that ends.
fn signal(id: u32, signal: Signal) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(id, signal);
    }
}

fn wait(patience: Duration, done: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !done() {
        if started.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
