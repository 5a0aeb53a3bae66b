//! The most memory that a process takes.

use std::process::{Child, ExitStatus};
use std::time::Duration;

/// Waits for the end of a process; how it ended, and the most memory that it took, in kB: `VmHWM` of `proc_pid_status(5)`.
pub fn wait(child: &mut Child) -> (ExitStatus, u64) {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // It grows only, so the last look before the end tells it.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let seen = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(seen.unwrap_or_default());
        if let Some(ended) = child.try_wait().expect("it ends") {
            return (ended, peak);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
