//! The one thread that starts children.
//!
//! The kernel's parent-death signal follows the *thread* that forked, and worker threads come and go. This one lives as
//! long as the process.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

struct Order {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

/// Returns a command that runs `program` and is killed with its parent.
///
/// The parent may die between the fork and the moment when the signal is asked for; the shell looks once more after it.
pub(super) fn tied_to_parent(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "sh",
        "-c",
        r#"[ "$PPID" = "$0" ] && exec "$@""#,
    ]);
    command.arg(std::process::id().to_string()).arg(program);
    command
}

/// Starts the command from the launcher's thread.
pub(super) fn launch(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, receiver) = channel();
        // Without the thread the receiver is gone, and sending fails below.
        let _ = std::thread::Builder::new()
            .name("launcher".to_owned())
            .spawn(move || work(&receiver));
        Mutex::new(sender)
    });
    let (reply, answer) = channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    orders
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send(Order { command, reply })
        .map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn work(orders: &Receiver<Order>) {
    while let Ok(mut order) = orders.recv() {
        let _ = order.reply.send(order.command.spawn());
    }
}
