//! `version`: prints the version of this build.

use serde::Serialize;

use super::flags::{Format, OutputFlags};
use crate::error::{Exit, Failure};
use crate::io::terminal::Terminal;
use crate::output;

const EXAMPLES: &str = "EXAMPLES:
  Print the version
    kubectl mtls version";

/// Flags of `version`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    output: OutputFlags,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    platform: String,
}

/// The platform by the names that kubectl and krew have for it: `linux/amd64`.
fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        system => system,
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        architecture => architecture,
    };
    format!("{system}/{architecture}")
}

/// Prints the version without contacting a cluster.
pub fn run(args: &Args, terminal: &mut Terminal) -> Result<Exit, Failure> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        platform: platform(),
    };
    let text = match args.output.output {
        Format::Table | Format::Wide => {
            format!("kubectl-mtls v{} ({})\n", version.version, version.platform)
        }
        Format::Name => format!("v{}\n", version.version),
        Format::Json => output::json(&version)?,
        Format::Yaml => output::yaml(&version)?,
    };
    terminal.data(&text);
    Ok(Exit::Success)
}
