//! One file per command: its flags, whose doc comments are the help, and `run`, which joins plan, effects and output.

pub mod completion;
pub mod expose;
pub mod flags;
pub mod issue_client;
mod password;
pub mod rbac;
pub mod status;
pub mod unexpose;
pub mod version;

use crate::cli::Command;
use crate::error::{Exit, Failure};
use crate::io::connect::Connection;
use crate::io::terminal::Terminal;

/// Runs a command.
pub fn run(
    command: Command,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    match command {
        Command::Expose(args) => expose::run(&args, connection, terminal),
        Command::Unexpose(args) => unexpose::run(&args, connection, terminal),
        Command::IssueClient(args) => issue_client::run(&args, connection, terminal),
        Command::Status(args) => status::run(&args, connection, terminal),
        Command::Rbac(args) => rbac::run(&args, connection, terminal),
        Command::Completion(args) => completion::run(&args, terminal),
        Command::Version(args) => version::run(&args, terminal),
    }
}
