//! What this process has written so far, to a cluster or to files: the one place that can say "nothing was changed".

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The largest number of writes that are named; of more, only the number and the last one.
const NAMED: usize = 8;

static WRITTEN: Mutex<Written> = Mutex::new(Written {
    count: 0,
    named: Vec::new(),
    uncertain: None,
    sent: Vec::new(),
});

struct Written {
    count: usize,
    /// The first writes, up to [`NAMED`]; beyond that, the last one.
    named: Vec<String>,
    uncertain: Option<String>,
    /// Writes that were sent and not answered yet.
    sent: Vec<String>,
}

/// A write that was sent. If it is dropped before it was answered, whether it was made is not known, and is reported so.
pub(super) struct Sent {
    what: String,
    is_answered: bool,
}

impl Sent {
    /// Notes that the API server said whether it made the write.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let mut written = lock();
        if let Some(place) = written.sent.iter().position(|sent| *sent == self.what) {
            written.sent.swap_remove(place);
        }
        if !self.is_answered {
            written.uncertain = Some(std::mem::take(&mut self.what));
        }
    }
}

/// Notes that a write is being sent, until its answer is recorded: `Secret shop/a`.
pub(super) fn sending(what: String) -> Sent {
    lock().sent.push(what.clone());
    Sent {
        what,
        is_answered: false,
    }
}

/// Locks the record, also after a thread panicked: each change is one assignment, so the value is
/// always complete.
fn lock() -> MutexGuard<'static, Written> {
    WRITTEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records a write: `created Secret shop/a`.
pub(super) fn record(what: String) {
    let mut written = lock();
    written.count += 1;
    if written.count > NAMED {
        written.named.clear();
    }
    written.named.push(what);
}

/// What was written, and what may have been, for the line of an interruption.
pub(super) fn summary() -> (Option<String>, Option<String>) {
    let written = lock();
    (written.summary(), written.unanswered())
}

/// What a failed command has changed, in one line.
pub fn outcome() -> String {
    lock().outcome()
}

/// Whether this process has certainly written nothing.
pub fn is_nothing() -> bool {
    let written = lock();
    written.count == 0 && written.unanswered().is_none()
}

impl Written {
    fn summary(&self) -> Option<String> {
        let last = self.named.last()?;
        Some(match self.count {
            1 => last.clone(),
            count => format!("{count} writes, the last one: {last}"),
        })
    }

    /// A write without an answer, which may have been made or not.
    fn unanswered(&self) -> Option<String> {
        let uncertain = self.uncertain.as_ref();
        uncertain.or_else(|| self.sent.first()).cloned()
    }

    /// The names of the writes, if they are few.
    fn named(&self) -> Option<String> {
        if self.count > NAMED {
            return self.summary();
        }
        (self.count > 0).then(|| self.named.join(", "))
    }

    fn outcome(&self) -> String {
        match (self.named(), &self.uncertain) {
            (None, None) => "nothing was changed".to_owned(),
            (Some(written), None) => format!("changed before that: {written}"),
            (None, Some(uncertain)) => {
                format!("whether {uncertain} was written is not known; nothing else was changed")
            }
            (Some(written), Some(uncertain)) => format!(
                "changed before that: {written}; whether {uncertain} was written is not known"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_written_before_it_and_what_is_not_known() {
        let written = |count, uncertain: Option<&str>| Written {
            count,
            named: vec!["created Secret shop/a".to_owned(); count.min(1)],
            uncertain: uncertain.map(str::to_owned),
            sent: Vec::new(),
        };
        let gateway = Some("Gateway shop/gw");
        for (written, says) in [
            (written(0, None), "nothing was changed"),
            (
                written(1, None),
                "changed before that: created Secret shop/a",
            ),
            (
                written(30, None),
                "changed before that: 30 writes, the last one: created Secret shop/a",
            ),
            (
                written(0, gateway),
                "whether Gateway shop/gw was written is not known; nothing else was changed",
            ),
            (
                written(1, gateway),
                "changed before that: created Secret shop/a; whether Gateway shop/gw was written is not known",
            ),
        ] {
            assert_eq!(written.outcome(), says);
        }
    }
}
