//! Work with a time limit.

use std::sync::mpsc;
use std::time::Duration;

/// The result of the work within this time; `None` after it, and the work ends with the process.
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more once it took too long.
        let _ = sender.send(work());
    });
    receiver.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_given_up() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let (_never, silent) = mpsc::channel::<()>();
        let forever = move || silent.recv().is_ok();
        assert_eq!(within(Duration::from_millis(1), forever), None);
    }
}
