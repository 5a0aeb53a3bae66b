//! `cargo xtask dist`: everything that a release consists of, from one command, the same bytes each time.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: it runs cargo, writes files and tells what it does"
)]

mod archive;
mod build;
mod contents;
mod dist;
mod error;
mod image;
mod manifest;
mod metadata;
mod notices;
mod platform;
mod reproduce;
mod sbom;
mod sums;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use error::Result;
use platform::Platform;

/// Makes the files of a release
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Build the archives, the SBOM and the image, then do what `index` does
    Dist {
        /// Only these platforms, as OS/ARCH [default: all that can be built on this machine]
        #[arg(long = "platform", value_name = "OS/ARCH", value_delimiter = ',')]
        platforms: Vec<Platform>,
        /// Write the files into this folder
        #[arg(long, value_name = "DIR", default_value = "dist")]
        out: PathBuf,
    },
    /// Write SHA256SUMS and krew's manifest for the archives in the folder
    Index {
        /// The folder
        #[arg(long, value_name = "DIR", default_value = "dist")]
        out: PathBuf,
        /// Fail if the archive of a platform is missing
        #[arg(long)]
        complete: bool,
    },
    /// Build the committed sources again in another folder, and compare with the files of `dist`
    Reproduce {
        /// Only these platforms, as OS/ARCH [default: those whose archives are in the folder]
        #[arg(long = "platform", value_name = "OS/ARCH", value_delimiter = ',')]
        platforms: Vec<Platform>,
        /// The files to compare with
        #[arg(long, value_name = "DIR", default_value = "dist")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(&Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Dist { platforms, out } => dist::run(platforms, out),
        Command::Index { out, complete } => dist::index(out, *complete),
        Command::Reproduce { platforms, out } => reproduce::run(platforms, out),
    }
}
