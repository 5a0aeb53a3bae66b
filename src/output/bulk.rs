//! The output of `issue-client` for many clients: progress and summary.

use std::time::Duration;

use serde::Serialize;

use super::table::pairs;

/// The results for many clients.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Certificates issued in this run.
    pub issued: u64,
    /// Certificates that an interrupted run had delivered, recorded as issued now.
    pub completed: u64,
    /// Certificates that an earlier run had delivered and recorded.
    pub there_already: u64,
    /// Rows that were wrong, or refused.
    pub refused: u64,
    /// Serial numbers of certificates that were reserved, in this run or an earlier one, and never delivered: nobody has their keys.
    pub never_delivered: Vec<String>,
    /// Serial numbers of certificates that this run has delivered, and whose record as issued was not confirmed; a rerun records them.
    pub not_confirmed: Vec<String>,
}

impl Summary {
    /// Clients with a known result.
    pub fn done(&self) -> u64 {
        self.issued + self.completed + self.there_already + self.refused
    }
}

/// The summary as a table for people.
pub fn table(summary: &Summary, folder: &str) -> String {
    let mut rows = vec![("issued", summary.issued.to_string())];
    let others = [
        ("completed", summary.completed),
        ("there already", summary.there_already),
        ("refused", summary.refused),
    ];
    rows.extend(
        others
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name, count.to_string())),
    );
    if !summary.never_delivered.is_empty() {
        let count = summary.never_delivered.len();
        rows.push(("never delivered", count.to_string()));
    }
    if !summary.not_confirmed.is_empty() {
        let count = summary.not_confirmed.len();
        rows.push(("not confirmed", count.to_string()));
    }
    rows.push(("folder", folder.to_owned()));
    pairs(rows)
}

/// The warning of a certificate that was delivered, and whose record as issued was not confirmed.
pub fn unconfirmed(name: &str, serial: &str) -> String {
    format!(
        "the certificate of `{name}` is in its folder, and recording it as issued was not confirmed: serial {serial}\n  the same command, run again, records it where that is missing"
    )
}

/// The note on clients that wait for another run: what the first one waits for, and how many more there are.
pub fn awaited(first: &str, more: usize) -> String {
    match more {
        0 => first.to_owned(),
        1 => format!("{first}; one more client waits too"),
        _ => format!("{first}; {more} more clients wait too"),
    }
}

/// The progress line: how many of the expected clients are done, how fast, and the remaining time.
#[expect(
    clippy::cast_precision_loss,
    reason = "the value is shown with three digits"
)]
pub fn gauge(done: u64, elapsed: Duration, expected: Option<f64>) -> String {
    let seconds = elapsed.as_secs_f64();
    if done == 0 || seconds <= 0.0 {
        return "reading …".to_owned();
    }
    let count = done as f64;
    let mut text = format!("{done} clients, {:.0}/s", count / seconds);
    if let Some(expected) = expected {
        let part = (count / expected).min(1.0);
        let left = Duration::from_secs_f64((seconds * (1.0 - part) / part).min(1e9));
        let percent = part * 100.0;
        text = format!(
            "{} {percent:3.0} %  {text}, {} left",
            bar(percent),
            span(left)
        );
    }
    text
}

/// A bar of twenty steps.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is between 0 and 20"
)]
fn bar(percent: f64) -> String {
    const STEPS: usize = 20;
    let done = ((percent / 5.0) as usize).min(STEPS);
    format!("[{}{}]", "#".repeat(done), "-".repeat(STEPS - done))
}

fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_tells_rate_and_remaining_time() {
        let text = gauge(500, Duration::from_secs(2), Some(2000.0));
        assert_eq!(
            text,
            "[#####---------------]  25 %  500 clients, 250/s, 6 s left"
        );
        let long = gauge(9, Duration::from_secs(90), Some(900.0));
        assert!(long.ends_with("2 h 28 min left"), "{long}");
        assert_eq!(gauge(7, Duration::from_secs(1), None), "7 clients, 7/s");
        assert_eq!(gauge(0, Duration::ZERO, Some(7.0)), "reading …");
    }
}
