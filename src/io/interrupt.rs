//! SIGINT, SIGTERM and SIGHUP. A command ends between two effects; while it is blocked, by a prompt, by a pipe or by generating a key, the
//! process ends at once. Either way the terminal is restored, and one line says what was done.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch::{self, Receiver, Sender};

use super::platform::{Interruptions, TerminalState};
use super::runtime::OneThread;
use super::{terminal, written};
use crate::error::{Exit, Failure};

/// How long a command may take to finish its current effect.
const GRACE: Duration = Duration::from_secs(1);
/// The grace period of a command that waits for a person or a pipe: it has nothing to finish.
const BLOCKED_GRACE: Duration = Duration::from_millis(100);

/// How many signals came so far.
static SIGNALS: OnceLock<Sender<usize>> = OnceLock::new();
/// Number of parts of the program that handle signals themselves.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);
/// Number of blocking calls under way, which only a person or another process can end.
static BLOCKED: AtomicUsize = AtomicUsize::new(0);
/// Whether the interruption is reported already.
static TOLD: AtomicBool = AtomicBool::new(false);
/// The terminal as it was before a prompt, while there is one.
static PROMPT: Mutex<Option<TerminalState>> = Mutex::new(None);
/// Locks a mutex, also after a thread panicked: each change is one assignment, so the value is
/// always complete.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts listening for signals, for the whole process; a signal that the caller ignores (`nohup`) stays ignored.
pub fn listen() -> Result<(), Failure> {
    let failed = |error| Failure::failed("could not listen for signals").caused_by(error);
    let runtime = OneThread::start()?;
    let interruptions = runtime
        .run_to_its_end(async { Interruptions::listen() })
        .map_err(failed)?;
    let sender = SIGNALS.get_or_init(|| watch::channel(0).0);
    std::thread::spawn(move || runtime.run_to_its_end(react(interruptions, sender)));
    Ok(())
}

async fn react(mut interruptions: Interruptions, signals: &Sender<usize>) {
    loop {
        interruptions.next().await;
        // Counted before the signal is passed on: its receiver may be gone afterwards.
        let is_handled = LISTENERS.load(Ordering::SeqCst) > 0;
        signals.send_modify(|count| *count += 1);
        if is_handled {
            continue;
        }
        let grace = if BLOCKED.load(Ordering::SeqCst) > 0 {
            BLOCKED_GRACE
        } else {
            GRACE
        };
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            () = interruptions.next() => {}
        }
        end().await;
    }
}

/// Ends a process whose command does not end itself.
async fn end() {
    if is_mine_to_tell() {
        let prompt = lock(&PROMPT).take();
        let is_prompting = prompt.is_some();
        if let Some(before) = prompt {
            before.restore();
        }
        terminal::interrupted(&failure(), is_prompting);
    } else {
        tokio::time::sleep(GRACE).await;
    }
    process::exit(Exit::Interrupted.code().into());
}

/// Whether the caller is the first to report the interruption.
pub(super) fn is_mine_to_tell() -> bool {
    !TOLD.swap(true, Ordering::SeqCst)
}

/// Fails if a signal arrived that no other part of the program handles.
pub(super) fn check() -> Result<(), Failure> {
    let is_due = SIGNALS.get().is_some_and(|count| *count.borrow() > 0);
    if is_due && LISTENERS.load(Ordering::SeqCst) == 0 {
        return Err(failure());
    }
    Ok(())
}

/// The failure of an interrupted command, with what it has done.
pub fn failure() -> Failure {
    let (done, unanswered) = written::summary();
    Failure::interrupted(done, unanswered)
}

/// The future's result, or the interruption if it comes first.
pub async fn unless_interrupted<T>(
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(signals) = SIGNALS.get() else {
        return future.await;
    };
    let mut count = signals.subscribe();
    tokio::select! {
        biased;
        _ = count.wait_for(|count| *count > 0) => Err(failure()),
        result = future => result,
    }
}

/// Runs a call that only a person or another process can end: a signal ends the command meanwhile.
pub(super) fn while_blocked<T>(work: impl FnOnce() -> T) -> T {
    let _guard = Count::of(&BLOCKED);
    work()
}

/// As [`while_blocked`], for a prompt, which changes the terminal's state.
pub(super) fn while_prompting<T>(work: impl FnOnce() -> T) -> T {
    *lock(&PROMPT) = TerminalState::save();
    let answer = while_blocked(work);
    lock(&PROMPT).take();
    answer
}

/// A counter's increment, undone when the value is dropped.
struct Count(&'static AtomicUsize);

impl Count {
    fn of(counter: &'static AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The signals, for a part of the program that finishes its work itself. While this value lives, nothing else handles signals.
pub struct Signals {
    count: Option<Receiver<usize>>,
    _listener: Count,
}

impl Signals {
    /// Starts listening for signals.
    pub fn listen() -> Self {
        let listener = Count::of(&LISTENERS);
        Self {
            count: SIGNALS.get().map(Sender::subscribe),
            _listener: listener,
        }
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        let changed = match &mut self.count {
            Some(count) => count.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            std::future::pending::<()>().await;
        }
    }
}
