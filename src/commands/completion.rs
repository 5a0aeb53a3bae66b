//! `completion`: a script for the shell, and how kubectl finds it.

use clap_complete::Shell;

use crate::error::{Exit, Failure};
use crate::io::terminal::Terminal;

const EXAMPLES: &str =
    "kubectl completes a plugin by an executable `kubectl_complete-mtls` on PATH, which krew cannot
install; the script printed here completes the command `kubectl-mtls`.

EXAMPLES:
  Complete in this bash session
    source <(kubectl mtls completion bash)";

/// Flags of `completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for the whole command line; no cluster is asked.
pub fn run(
    args: &Args,
    command_line: &mut clap::Command,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command_line, "kubectl-mtls", &mut script);
    terminal.data(&String::from_utf8_lossy(&script));
    Ok(Exit::Success)
}
