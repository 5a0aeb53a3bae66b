//! `cargo sandbox`: a cluster to play with.

mod commands;

use std::process::ExitCode;

use clap::Parser;

use commands::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            commands::complain(&error);
            ExitCode::from(2)
        }
    }
}
