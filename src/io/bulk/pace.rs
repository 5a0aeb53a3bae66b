//! How many requests of a batch may be under way: more while the API server takes them, half when it is too busy.

use std::sync::atomic::{AtomicUsize, Ordering};

/// As many connections as kubectl's own clients open at most.
const MOST: usize = 32;
const FIRST: usize = 16;

/// The limit.
pub(super) struct Pace {
    limit: AtomicUsize,
    refused: AtomicUsize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            limit: AtomicUsize::new(FIRST),
            refused: AtomicUsize::new(0),
        }
    }
}

impl Pace {
    /// How many requests may be under way.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Learns how often the API server has refused a request so far because it was too busy.
    pub fn learn(&self, refused: usize) {
        let before = self.refused.swap(refused, Ordering::Relaxed);
        let limit = self.limit();
        let next = if refused > before {
            limit / 2
        } else {
            limit + 1
        };
        self.limit.store(next.clamp(1, MOST), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_server_gets_half_the_requests_and_slowly_more_again() {
        let pace = Pace::default();
        pace.learn(0);
        assert_eq!(pace.limit(), 17);
        pace.learn(3);
        assert_eq!(pace.limit(), 8);
        pace.learn(3);
        assert_eq!(pace.limit(), 9);
        for refused in 4..20 {
            pace.learn(refused);
        }
        assert_eq!(pace.limit(), 1);
        for _ in 0..100 {
            pace.learn(19);
        }
        assert_eq!(pace.limit(), MOST);
    }
}
