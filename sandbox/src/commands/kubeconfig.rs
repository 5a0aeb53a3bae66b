//! Prints where the kubeconfig is.

use std::process::ExitCode;

use sandbox::Result;

use super::{Which, print};

/// Print the path of a sandbox's kubeconfig file
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    print(&args.which.find_ready()?.kubeconfig.display().to_string());
    Ok(ExitCode::SUCCESS)
}
