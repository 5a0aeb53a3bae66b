//! The number of parallel requests of all batches: more while the API server accepts them, half when it is too busy.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::Semaphore;

use super::lock;

/// The largest number of parallel requests: as many connections as kubectl's own clients open.
pub(super) const MOST: usize = 32;
const FIRST: usize = 16;

/// The adaptive limit of parallel requests.
pub(super) struct Pace {
    free: Semaphore,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    /// Number of requests under way beyond the limit, after the limit was lowered.
    beyond: usize,
    /// Number of refused requests so far.
    refused: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            free: Semaphore::new(FIRST),
            state: Mutex::new(State {
                limit: FIRST,
                beyond: 0,
                refused: 0,
            }),
        }
    }
}

impl Pace {
    /// Makes a request once the limit allows it.
    pub async fn keep<T>(&self, request: impl Future<Output = T>) -> T {
        let permit = self.free.acquire().await;
        let answer = request.await;
        let mut state = self.state();
        if let (Ok(permit), 1..) = (permit, state.beyond) {
            state.beyond -= 1;
            permit.forget();
        }
        answer
    }

    /// Updates the limit from the number of requests that the API server has refused so far because
    /// it was too busy.
    pub fn learn(&self, refused: usize) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.refused, refused);
        if refused > before {
            let less = state.limit - (state.limit / 2).max(1);
            state.limit -= less;
            state.beyond += less - self.free.forget_permits(less);
        } else if state.limit < MOST {
            state.limit += 1;
            if state.beyond > 0 {
                state.beyond -= 1;
            } else {
                self.free.add_permits(1);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_busy_server_gets_half_the_requests_and_slowly_more_again() {
        let pace = Pace::default();
        let limit = || pace.free.available_permits();
        pace.learn(0);
        assert_eq!(limit(), 17);
        pace.learn(3);
        assert_eq!(limit(), 8);
        pace.learn(3);
        assert_eq!(limit(), 9);
        for refused in 4..20 {
            pace.learn(refused);
        }
        assert_eq!(limit(), 1);
        for _ in 0..100 {
            pace.learn(19);
        }
        assert_eq!(limit(), MOST);
    }

    #[test]
    fn requests_that_are_under_way_when_the_limit_is_lowered_count_against_it() {
        let pace = Pace::default();
        let (release, _) = tokio::sync::watch::channel(());
        let mut context = Context::from_waker(Waker::noop());
        let mut requests: Vec<_> = (0..FIRST)
            .map(|_| {
                let mut released = release.subscribe();
                Box::pin(pace.keep(async move { drop(released.changed().await) }))
            })
            .collect();
        for request in &mut requests {
            assert!(request.as_mut().poll(&mut context).is_pending());
        }
        pace.learn(1);
        {
            let mut another = pin!(pace.keep(async {}));
            assert_eq!(another.as_mut().poll(&mut context), Poll::Pending);
        }
        release.send(()).unwrap();
        for request in &mut requests {
            assert!(request.as_mut().poll(&mut context).is_ready());
        }
        assert_eq!(pace.free.available_permits(), FIRST / 2);
    }
}
