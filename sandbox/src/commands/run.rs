//! Holds a sandbox in the foreground.

use std::process::ExitCode;

use sandbox::{Error, Instance, Result, report};
use tokio::signal::unix::{SignalKind, signal};

use super::Which;
use super::cluster::ClusterArgs;

/// Run a sandbox in the foreground, until Ctrl-C
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let failed = |source| Error::Io {
        what: "wait for a signal".to_owned(),
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let instance = Instance::start_with(args.cluster.settings(&args.which.name))?;
    for (name, value) in instance.variables() {
        report(&format!("export {name}={value}"));
    }
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        Ok::<_, Error>(())
    })?;
    report("ending");
    drop(instance);
    Ok(ExitCode::SUCCESS)
}
