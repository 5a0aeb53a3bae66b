//! The command line: the list of commands, the dispatch to one of them, and the flags of all
//! commands.

mod help;
mod missing;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

use crate::commands::{
    ca_rotate, completion, expose, issue_client, list_clients, rbac, register_domain, renew_client,
    revoke_client, status, unexpose, version,
};
use crate::error::{Exit, Failure};
use crate::io::connect::Connection;
use crate::io::terminal::{self, Color, Terminal};

/// Put mutual TLS on an Istio ingress gateway, and keep it safe
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-mtls",
    bin_name = "kubectl mtls",
    version,
    disable_help_subcommand = true,
    disable_help_flag = true,
    max_term_width = 100,
    subcommand_required = true
)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
    /// The cluster to connect to, and the user to authenticate as.
    #[command(flatten)]
    pub connection: Connection,
    /// How output looks.
    #[command(flatten)]
    pub appearance: Appearance,
}

impl Cli {
    /// Reads the command line. For a request for help or a wrong command line, prints the answer and returns the exit code.
    pub fn read(arguments: Vec<OsString>) -> Result<Self, Result<Exit, Failure>> {
        if arguments.get(1).is_some_and(|word| word == completion::ASK) {
            return Err(completion::answer(Self::command(), &arguments[2..]));
        }
        let print = |text: &str| terminal::print(text).map(|()| Exit::Success);
        let arguments = help::asked(arguments).map_err(print)?;
        Self::try_parse_from(&arguments).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp => print(&help::text(&arguments)),
            ErrorKind::DisplayVersion => print(&error.render().ansi().to_string()),
            _ => {
                // Where stderr cannot be written to, the exit code alone tells.
                let error = missing::without_advice_on_dashes(missing::with_other_ways(error));
                let _ = error.print();
                Ok(Exit::Failure)
            }
        })
    }

    /// Runs the command.
    pub fn run(self, terminal: &mut Terminal) -> Result<Exit, Failure> {
        let connection = &self.connection;
        let (name, result) = match self.command {
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
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Expose a Service to clients with a certificate only
    Expose(Box<expose::Args>),
    /// Remove what `expose` made for a Service, and nothing else
    Unexpose(unexpose::Args),
    /// Register a custom domain: DNS credentials and DNSProvider
    RegisterDomain(register_domain::Args),
    /// Issue a client certificate: key, certificate, PKCS#12
    IssueClient(Box<issue_client::Args>),
    /// Renew a client certificate: same identity, new key
    RenewClient(Box<renew_client::Args>),
    /// List who has a certificate, until when, and from which CA
    ListClients(list_clients::Args),
    /// Revoke a client's certificates and verify that every gateway proxy rejects them
    RevokeClient(revoke_client::Args),
    /// Replace the client CA in phases, without refusing one valid client
    CaRotate(Box<ca_rotate::Args>),
    /// Check everything between DNS and the clients, and print what is wrong
    Status(Box<status::Args>),
    /// Print the Roles that commands need, ready for `kubectl apply -f -`
    Rbac(rbac::Args),
    /// Complete commands, flags and names in a shell
    Completion(completion::Args),
    /// Print the version
    Version(version::Args),
}

impl Command {
    /// Whether the command writes to a cluster or to files.
    pub fn writes(&self) -> bool {
        match self {
            Self::ListClients(args) => args.writes(),
            Self::Completion(args) => args.writes(),
            Self::Status(_) | Self::Rbac(_) | Self::Version(_) => false,
            _ => true,
        }
    }
}

/// How output looks.
#[derive(Debug, Clone, Args)]
pub struct Appearance {
    /// When to colour output
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub color: Color,
    /// Print only results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print the most used flags; `--help` prints all, with examples
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = "General")]
    help: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_flag_that_repeats_takes_several_values_separated_by_commas() {
        // The values of a header and of an attribute, and the names of a group, may hold commas, as with curl and kubectl.
        let whole = ["header", "as-group", "as-user-extra"];
        let cli = Cli::command();
        let commands = cli.get_subcommands().chain(std::iter::once(&cli));
        let flags = commands.flat_map(clap::Command::get_arguments);
        let repeats = |flag: &&clap::Arg| matches!(flag.get_action(), ArgAction::Append);
        let mut found = 0;
        for flag in flags.filter(|flag| !flag.is_positional()).filter(repeats) {
            let name = flag.get_long().unwrap_or_default();
            let splits = flag.get_value_delimiter() == Some(',');
            assert_eq!(splits, !whole.contains(&name), "--{name}");
            found += 1;
        }
        assert!(found > 10, "{found}");
    }

    #[test]
    fn connection_flags_may_stand_before_the_command_and_after_it() {
        let before = Cli::try_parse_from(["kubectl-mtls", "-n", "shop", "status"]).unwrap();
        let after = Cli::try_parse_from(["kubectl-mtls", "status", "-n", "shop"]).unwrap();
        assert_eq!(before.connection.namespace.as_deref(), Some("shop"));
        assert_eq!(after.connection.namespace, before.connection.namespace);
    }

    #[test]
    fn a_tokens_value_is_never_shown() {
        let cli = Cli::try_parse_from(["kubectl-mtls", "status", "--token", "hidden"]).unwrap();
        assert!(!format!("{cli:?}").contains("hidden"));
    }
}
