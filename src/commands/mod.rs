//! One file per command: its flags, whose doc comments are the help, and `run`, which joins plan, effects and output.

pub mod ca_rotate;
mod client_ca;
pub mod completion;
mod delivery;
pub mod expose;
pub mod flags;
pub mod issue_client;
mod key_file;
pub mod list_clients;
mod password;
pub mod rbac;
pub mod register_domain;
pub mod renew_client;
pub mod revoke_client;
pub mod status;
pub mod unexpose;
pub mod version;
mod which_authority;

use crate::cli::Command;
use crate::error::{Exit, Failure};
use crate::io::connect::Connection;
use crate::io::terminal::Terminal;

impl Command {
    /// Whether it writes to a cluster or to files.
    pub fn writes(&self) -> bool {
        !matches!(
            self,
            Self::ListClients(_)
                | Self::Status(_)
                | Self::Rbac(_)
                | Self::Completion(_)
                | Self::Version(_)
        )
    }
}

/// Runs a command.
pub fn run(
    command: Command,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    let (name, result) = match command {
        Command::Expose(args) => ("expose", expose::run(&args, connection, terminal)),
        Command::Unexpose(args) => ("unexpose", unexpose::run(&args, connection, terminal)),
        Command::RegisterDomain(args) => (
            "register-domain",
            register_domain::run(&args, connection, terminal),
        ),
        Command::IssueClient(args) => (
            "issue-client",
            issue_client::run(&args, connection, terminal),
        ),
        Command::ListClients(args) => (
            "list-clients",
            list_clients::run(&args, connection, terminal),
        ),
        Command::RevokeClient(args) => (
            "revoke-client",
            revoke_client::run(&args, connection, terminal),
        ),
        Command::CaRotate(args) => ("ca-rotate", ca_rotate::run(&args, connection, terminal)),
        Command::RenewClient(args) => (
            "renew-client",
            renew_client::run(&args, connection, terminal),
        ),
        Command::Status(args) => ("status", status::run(&args, connection, terminal)),
        Command::Rbac(args) => ("rbac", rbac::run(&args, connection, terminal)),
        Command::Completion(args) => ("completion", completion::run(&args, terminal)),
        Command::Version(args) => ("version", version::run(&args, terminal)),
    };
    result.map_err(|failure| failure.in_command(name))
}
