//! `unexpose`: removes what `expose` made for a Service.

use std::time::Duration;

use super::flags::{DryRunFlag, OutputFlags, duration};
use super::names::service;
use crate::error::{Exit, Failure};
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::prompt;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::Render;
use crate::plan::DryRun;
use crate::plan::unexpose::{Request, reconcile};

const EXAMPLES: &str = "The authority and the inventory are always kept.

EXAMPLES:
  Remove the route; other hosts of the Gateway stay up
    kubectl mtls unexpose httpbin

  Remove the Gateway and its Certificate too, when nothing else uses it
    kubectl mtls unexpose httpbin --gateway-too

  Show what a purge would delete
    kubectl mtls unexpose httpbin --purge --dry-run";

/// Flags of `unexpose`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each field is a flag of its own"
)]
pub struct Args {
    /// The Service
    #[arg(value_parser = service)]
    service: String,
    /// Remove the Gateway and its Certificate too
    #[arg(long)]
    gateway_too: bool,
    /// Remove the server Secret and the client-CA Secret too, after everything that needs them
    #[arg(long)]
    purge: bool,
    /// Succeed if the Service is not exposed
    #[arg(long)]
    ignore_not_found: bool,
    /// Do not ask before a purge
    #[arg(short, long)]
    yes: bool,
    /// Show what would be deleted instead of deleting it
    #[arg(long, value_enum, value_name = "HOW", default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    dry_run: DryRunFlag,
    /// Give up waiting after this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2m")]
    timeout: Duration,
    #[command(flatten)]
    output: OutputFlags,
}

/// Removes the route, and the further objects that the flags name.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    let dry_run = DryRun::from(args.dry_run) != DryRun::None;
    if args.purge && !args.yes && !dry_run {
        confirm(args, terminal)?;
    }
    block_on(async {
        let cluster = connect(connection).await?;
        let request = Request {
            namespace: cluster.namespace().to_owned(),
            service: args.service.clone(),
            gateway_too: args.gateway_too || args.purge,
            purge: args.purge,
            ignore_not_found: args.ignore_not_found,
            dry_run,
            timeout: args.timeout,
        };
        let mut live = Live::new(Store::Cluster(&cluster), terminal);
        let report = live
            .run(|observed, _| reconcile(&request, observed))
            .await?;
        terminal.data(&report.render(args.output.output)?);
        for note in &report.notes {
            terminal.note(note);
        }
        Ok(Exit::Success)
    })
}

fn confirm(args: &Args, terminal: &Terminal) -> Result<(), Failure> {
    let what = format!(
        "the Gateway of `{}`, its Certificate and the Secret with its client CA",
        args.service
    );
    if !terminal.is_interactive() {
        return Err(Failure::usage(format!("a purge deletes {what}"))
            .hint("`--yes` confirms the deletion; `--dry-run` shows what would be deleted"));
    }
    terminal.note(&format!("A purge deletes {what}. Type `yes` to go on:"));
    if prompt::says_yes()? {
        return Ok(());
    }
    Err(Failure::refused("not confirmed"))
}
