//! Renewal of many certificates: those of several names, or all that are due.

mod progress;

use std::path::Path;

use time::OffsetDateTime;

use super::key::for_files;
use super::targets::{Target, due_folders};
use super::{Args, Renewal};
use crate::credential::{ClientFolder, Password, check_out, hinted};
use crate::error::{Exit, Failure};
use crate::io::bulk::{self, Bulk, End, Feed};
use crate::io::connect::Connection;
use crate::io::execute::Live;
use crate::io::runtime::OneThread;
use crate::io::staging::Staging;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::pki::names::ClientName;
use crate::plan::issue_client::{Issuer, Report, Standing};
use crate::plan::renew_client::{Request, certify, due, shared};
use crate::plan::{ClientKey, Observed, Reconciled};
use crate::resources::{ObjectRef, inventory};
use progress::Progress;

/// One of many certificates that are renewed.
struct Client {
    /// The index of the certificate in the list of targets.
    index: usize,
    request: Request,
    /// The number of the client's last certificate, if it is known.
    last: Option<u32>,
}

impl bulk::Client for Client {
    type Row = usize;

    fn name(&self) -> &ClientName {
        &self.request.name
    }

    fn issuer(&self) -> &Issuer {
        &self.request.issuer
    }

    fn free_entry(&self) -> Option<ObjectRef> {
        let Request {
            existing,
            issuer,
            name,
            ..
        } = &self.request;
        let last = self.last.filter(|_| existing.is_nothing())?;
        Some(inventory::reference(&issuer.authority, name, last + 1))
    }

    /// What another run has renewed is refused, whatever files there are.
    fn read_files_again(&mut self, _: &Path) -> Result<(), Failure> {
        Ok(())
    }

    fn shared(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Standing> {
        shared(&self.request, observed, now)
    }

    fn certify(
        &self,
        standing: &Standing,
        observed: &Observed,
        now: OffsetDateTime,
    ) -> Reconciled<Report> {
        certify(&self.request, standing, observed, now)
    }
}

/// The settings that all certificates share.
struct Batch<'a> {
    renewal: Renewal<'a>,
    targets: Vec<Target>,
    /// The key, as far as it decides which files are written.
    key: ClientKey,
    /// The password of all keystores, if one was given.
    password: Option<Password>,
}

/// Renews the certificates of these targets, or all that are due.
pub(super) fn run<'a>(
    args: &'a Args,
    named: Vec<Target>,
    renewal: impl FnOnce(String) -> Renewal<'a>,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    let runtime = OneThread::start()?;
    let ca_dir = args.ca_dir.as_deref();
    let renew = |store: Store<'_>, name: String, terminal: &mut Terminal| {
        renewal(name).all(named, store, &runtime, terminal)
    };
    args.authority
        .open(ca_dir, connection, &runtime, terminal, renew)
}

impl Renewal<'_> {
    fn all(
        self,
        named: Vec<Target>,
        store: Store<'_>,
        runtime: &OneThread,
        terminal: &mut Terminal,
    ) -> Result<Exit, Failure> {
        let (targets, unknown) = if self.args.selects() {
            runtime.run(self.due(store, terminal))?
        } else {
            (named, Vec::new())
        };
        let out = &self.args.out;
        let staging = if targets.is_empty() {
            None
        } else {
            check_out(out)?;
            Some(Staging::begin(out).map_err(hinted)?)
        };
        let source = self.settings.password_file.as_deref();
        let password = source.filter(|_| staging.is_some());
        let password = password.map(Password::from_file).transpose()?;
        let batch = Batch {
            key: for_files(&self.key),
            renewal: self,
            targets,
            password,
        };
        let mut progress = Progress::new(&batch, unknown, terminal);
        let Some(staging) = staging else {
            return progress.end(End::default());
        };
        let bulk = Bulk {
            store,
            prepare: &|index| batch.prepare(index),
            deliver: &|client: &Client, delivery| {
                let password = batch.password.as_ref();
                batch
                    .folder(client.index)
                    .write_staged(&staging, delivery, password)
            },
            out,
            keep_going: true,
        };
        let feed = Feed::of_all((0..batch.targets.len()).map(Ok).collect());
        let end = bulk.run(runtime, feed, |event| progress.tell(event));
        progress.end(end)
    }

    /// The certificates that are due, and notes on those that could not be read.
    async fn due(
        &self,
        store: Store<'_>,
        terminal: &mut Terminal,
    ) -> Result<(Vec<Target>, Vec<String>), Failure> {
        let request = due::Request {
            authority: self.issuer.authority.clone(),
            within: self.args.expiring_within,
            retired_ca: self.args.retired_ca,
        };
        let mut live = Live::new(store, terminal);
        let plan = |observed: &Observed, now| due::reconcile(&request, observed, now);
        let report = live.run(plan).await?;
        for reason in &report.unreadable {
            terminal.warn(&format!(
                "cannot tell whether the certificate is due for renewal: {reason}"
            ));
        }
        for line in report.notes.iter().chain(&report.left_out) {
            terminal.note(line);
        }
        let unknown = report.unreadable.len();
        let failed = (unknown > 0).then(|| format!("{unknown} that cannot be read"));
        let targets = due_folders(report.due, &self.args.out);
        if targets.is_empty() && failed.is_none() {
            terminal.note("no certificate is due for renewal");
        }
        Ok((targets, failed.into_iter().collect()))
    }
}

impl Batch<'_> {
    fn folder(&self, index: usize) -> ClientFolder<'_> {
        self.renewal.folder(&self.targets[index], &self.key)
    }

    /// Checks the files of a client before its certificate is renewed; nothing is written.
    fn prepare(&self, index: usize) -> Result<Client, Failure> {
        let target = &self.targets[index];
        let folder = self.folder(index);
        folder.check_name()?;
        self.renewal.check_inputs(&folder)?;
        let args = self.renewal.args;
        let existing = folder.existing_below(&args.out)?;
        Ok(Client {
            index,
            request: self.renewal.request(target, existing),
            last: target.last,
        })
    }
}
