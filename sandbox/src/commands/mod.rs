//! The subcommands of `cargo sandbox`, one a file.

mod cluster;
mod demo;
mod down;
mod kubeconfig;
mod run;
mod status;
mod up;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sandbox::{Error, Record, Result};

/// A real cluster for kubectl-mtls on this machine, without containers
#[derive(Parser)]
#[command(
    name = "sandbox",
    bin_name = "cargo sandbox",
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Args),
    Down(down::Args),
    Status(status::Args),
    Kubeconfig(kubeconfig::Args),
    Run(run::Args),
    Demo(demo::Args),
}

impl Cli {
    /// Runs the subcommand and returns the exit code.
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Up(args) => up::run(&args),
            Command::Down(args) => down::run(&args),
            Command::Status(args) => status::run(&args),
            Command::Kubeconfig(args) => kubeconfig::run(&args),
            Command::Run(args) => run::run(&args),
            Command::Demo(args) => demo::run(&args),
        }
    }
}

/// Which sandbox is meant.
#[derive(Clone, clap::Args)]
struct Which {
    /// Name of the sandbox, for several at once
    #[arg(long, default_value = "default")]
    name: String,
}

impl Which {
    /// The record of a sandbox that is up.
    fn find_ready(&self) -> Result<Record> {
        let found = Record::find(&self.name)?.filter(|record| record.ready && record.is_held());
        found.ok_or_else(|| {
            let name = &self.name;
            Error::Name(format!(
                "no sandbox named `{name}` is up; start it with `cargo sandbox up --name {name}`"
            ))
        })
    }
}

/// Writes one line to stdout; a reader that is gone is no failure.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a failure to stderr.
pub(crate) fn complain(error: &Error) {
    let _ = writeln!(std::io::stderr(), "error: {error}");
}
