//! `list-clients --prune`: removes entries from the inventory whose certificates ended a month ago.

use super::Args;
use crate::error::{Exit, Failure};
use crate::io::connect::Connection;
use crate::io::execute::Live;
use crate::io::runtime::OneThread;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::plan::prune_clients::{Report, reconcile, select};
use crate::plan::{DryRun, Observed};

/// Removes the entries, name by name.
pub(super) fn run(
    args: &Args,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    let runtime = OneThread::start()?;
    let ca_dir = args.ca_dir.as_deref();
    let prune = |store: Store<'_>, authority: String, terminal: &mut Terminal| {
        runtime.run(prune(args, authority, store, terminal))
    };
    args.authority
        .open(ca_dir, connection, &runtime, terminal, prune)
}

async fn prune(
    args: &Args,
    authority: String,
    store: Store<'_>,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    let in_cluster = matches!(store, Store::Cluster(_));
    let find = |observed: &Observed, now| select(&authority, in_cluster, observed, now);
    let selection = Live::new(store, terminal).run(find).await?;
    let dry_run = DryRun::from(args.dry_run) != DryRun::None;
    let mut report = Report {
        authority: authority.clone(),
        dry_run,
        removed: Vec::new(),
    };
    for prunable in selection.prunable {
        if dry_run {
            report.removed.extend(prunable.entries);
            continue;
        }
        let remove = |observed: &Observed, now| reconcile(&prunable, in_cluster, observed, now);
        let removed = Live::new(store, terminal).run(remove).await?;
        report.removed.extend(removed);
    }
    terminal.data(&args.shown(&report)?);
    for reason in &selection.unreadable {
        terminal.warn(&format!("{reason}: entry kept"));
    }
    if report.removed.is_empty() {
        terminal
            .note("no entry to remove: none expired more than a month ago, except the first one of each name, which is kept");
    }
    Ok(Exit::Success)
}
