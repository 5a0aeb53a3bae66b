//! Things that several tests share, each made when it is first asked for: clusters, mostly.
//!
//! A cluster costs a core's tenth as long as it is up, even where nobody asks it anything. Tests run in the order of their names, so
//! those that share one follow each other: it ends when a few others were asked for since, and nobody holds it.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// As many of them stay up though nobody holds them.
const KEPT: usize = 3;

/// The last ones that were asked for, the latest at the end.
static LATEST: Mutex<VecDeque<Arc<dyn Any + Send + Sync>>> = Mutex::new(VecDeque::new());

/// Made when it is asked for, and again when it was asked for after its end.
pub(crate) struct Shared<T> {
    made: Mutex<Weak<T>>,
    make: fn() -> T,
}

impl<T: Send + Sync + 'static> Shared<T> {
    pub(crate) const fn new(make: fn() -> T) -> Self {
        Self {
            made: Mutex::new(Weak::new()),
            make,
        }
    }

    pub(crate) fn get(&self) -> Arc<T> {
        // Where it could not be made, the next test tries again.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = made.upgrade().unwrap_or_else(|| {
            let new = Arc::new((self.make)());
            *made = Arc::downgrade(&new);
            new
        });
        drop(made);
        keep(shared.clone());
        shared
    }
}

fn keep(shared: Arc<dyn Any + Send + Sync>) {
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    latest.retain(|kept| !Arc::ptr_eq(kept, &shared));
    latest.push_back(shared);
    let oldest = if latest.len() > KEPT {
        latest.pop_front()
    } else {
        None
    };
    drop(latest);
    // It takes a while to end, in which nobody else has to wait.
    drop(oldest);
}
