//! The work queue of one controller: which object is looked at next, and when again after a failure.
//!
//! It behaves as the queue of controller-runtime: an object stands in it once, an event brings it to the front, and each
//! failure in a row doubles the wait.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::journal::Journal;
use super::resources::ObjectKey;

/// The first wait after a failure.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// No wait is longer (kyma-project/api-gateway `internal/controller/rate_limiter.go`).
const LONGEST_DELAY: Duration = Duration::from_secs(1000);

/// What a reconciliation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until something changes.
    Settled,
    /// Another look after this time.
    After(Duration),
    /// Another look after the back-off, which grows with each failure in a row.
    BackOff,
}

#[derive(Debug, Default)]
struct Schedule {
    due: HashMap<ObjectKey, Instant>,
    failures: HashMap<ObjectKey, u32>,
}

impl Schedule {
    fn add(&mut self, key: ObjectKey, at: Instant) {
        self.due
            .entry(key)
            .and_modify(|due| *due = at.min(*due))
            .or_insert(at);
    }

    fn follow(&mut self, key: ObjectKey, next: Next, now: Instant) {
        match next {
            Next::Settled => {
                self.failures.remove(&key);
            }
            Next::After(delay) => {
                self.failures.remove(&key);
                self.add(key, now + delay);
            }
            Next::BackOff => {
                let failures = self.failures.entry(key.clone()).or_default();
                let delay = back_off(*failures);
                *failures += 1;
                self.add(key, now + delay);
            }
        }
    }

    fn earliest(&self) -> Option<(Instant, &ObjectKey)> {
        self.due.iter().map(|(key, due)| (*due, key)).min()
    }
}

/// The wait after the given number of earlier failures in a row.
fn back_off(failures: u32) -> Duration {
    FIRST_DELAY
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(LONGEST_DELAY)
}

/// A handle on the queue; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    schedule: Arc<Mutex<Schedule>>,
    changed: Arc<Notify>,
}

impl Queue {
    /// Has the object looked at as soon as possible.
    pub(super) fn add(&self, key: ObjectKey) {
        self.schedule().add(key, Instant::now());
        self.changed.notify_one();
    }

    /// Reconciles whatever is due, one object at a time, for ever.
    pub(super) async fn work<F, R>(self, journal: Journal, reconcile: F)
    where
        F: Fn(ObjectKey) -> R,
        R: Future<Output = kube::Result<Next>>,
    {
        loop {
            let key = self.next().await;
            let next = match reconcile(key.clone()).await {
                Ok(next) => next,
                Err(error) => {
                    journal.note(&format!("{key}: {error}"));
                    Next::BackOff
                }
            };
            self.schedule().follow(key, next, Instant::now());
        }
    }

    async fn next(&self) -> ObjectKey {
        loop {
            let wait = {
                let mut schedule = self.schedule();
                match schedule.earliest().map(|(due, key)| (due, key.clone())) {
                    Some((due, key)) if due <= Instant::now() => {
                        schedule.due.remove(&key);
                        return key;
                    }
                    earliest => earliest.map(|(due, _)| due),
                }
            };
            match wait {
                Some(due) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_one_second_to_a_thousand() {
        let waits: Vec<u64> = (0..12)
            .map(|failures| back_off(failures).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000]);
        assert_eq!(back_off(400), LONGEST_DELAY);
    }

    #[test]
    fn an_event_overtakes_a_back_off_and_success_resets_it() {
        let start = Instant::now();
        let key = ObjectKey::new("shop", "orders");
        let mut schedule = Schedule::default();
        for _ in 0..4 {
            schedule.due.clear();
            schedule.follow(key.clone(), Next::BackOff, start);
        }
        assert_eq!(schedule.due[&key], start + Duration::from_secs(8));
        schedule.add(key.clone(), start);
        assert_eq!(schedule.due[&key], start);
        schedule.due.clear();
        schedule.follow(key.clone(), Next::Settled, start);
        schedule.follow(key.clone(), Next::BackOff, start);
        assert_eq!(schedule.due[&key], start + Duration::from_secs(1));
    }
}
