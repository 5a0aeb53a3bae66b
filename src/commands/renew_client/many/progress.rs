//! Progress and summary of a renewal of many certificates. A run that ends early lists what it renewed and how to renew the rest.

use std::time::Instant;

use super::{Batch, Client};
use crate::commands::handover;
use crate::error::{Exit, Failure};
use crate::io::bulk::{End, Event, Place};
use crate::io::terminal::Terminal;
use crate::output::Render;
use crate::output::bulk::{awaited, gauge, unconfirmed};
use crate::output::issue_client::Issued;
use crate::output::renew_client::Renewed;
use crate::plan::command_line::quoted;
use crate::plan::issue_client::Report;

/// Names that are listed in one line.
const MOST_NAMES: usize = 20;

/// Prints the progress, and the summary in the end.
pub(super) struct Progress<'a> {
    batch: &'a Batch<'a>,
    terminal: &'a mut Terminal,
    renewed: Vec<(usize, Issued)>,
    /// The targets that were refused.
    refused: Vec<usize>,
    /// Notes on certificates that could not be read.
    unknown: Vec<String>,
    started: Instant,
}

impl<'a> Progress<'a> {
    pub fn new(batch: &'a Batch<'a>, unknown: Vec<String>, terminal: &'a mut Terminal) -> Self {
        Self {
            batch,
            terminal,
            renewed: Vec::new(),
            refused: Vec::new(),
            unknown,
            started: Instant::now(),
        }
    }

    /// Reports the result of a client, or the progress.
    pub fn tell(&mut self, event: Event<'_, Client>) {
        match event {
            Event::Issued(client, report) => self.issued(client.index, report),
            Event::Bad(Place::Name(place), failure) => {
                let index = usize::try_from(place - 1).unwrap_or(usize::MAX);
                self.refuse(index, &failure);
            }
            Event::Bad(_, failure) => self.terminal.failure(&failure),
            Event::Undelivered { name, serial } => self.terminal.warn(&format!(
                "a certificate of `{name}` was reserved and never delivered, so nobody has its key: serial {serial}"
            )),
            Event::Unconfirmed { name, serial } => self.terminal.warn(&unconfirmed(name, serial)),
            Event::Waiting(first, more) => self.terminal.note(&awaited(first, more)),
            Event::Ending => self.terminal.note(
                "stopping: renewals that have begun are completed; a second signal or Ctrl-C stops at once",
            ),
            Event::Tick { expected } => {
                let done = self.renewed.len() + self.refused.len();
                let done = u64::try_from(done).unwrap_or(u64::MAX);
                let line = gauge(done, self.started.elapsed(), expected);
                self.terminal.gauge(&line);
            }
        }
    }

    fn issued(&mut self, index: usize, report: &Report) {
        let folder = self.batch.folder(index);
        let has_own_password = self.batch.password.is_none() && folder.needs_password();
        let issued = Issued::of(report, folder.written(has_own_password, true));
        self.renewed.push((index, issued));
    }

    fn refuse(&mut self, index: usize, failure: &Failure) {
        let name = self.name(index);
        self.terminal
            .warn(&format!("`{name}` was not renewed: {failure}"));
        for hint in failure.what_to_do() {
            self.terminal.note(&format!("  {hint}"));
        }
        self.refused.push(index);
    }

    fn name(&self, index: usize) -> String {
        let target = self.batch.targets.get(index);
        target.map_or_else(String::new, |target| target.name.to_string())
    }

    /// Prints the summary, and returns the exit code.
    pub fn end(mut self, end: End) -> Result<Exit, Failure> {
        self.terminal.gauge("");
        self.renewed.sort_by_key(|(index, _)| *index);
        self.refused.sort_unstable();
        let failure = end.failure.map(|failure| self.ended_early(failure));
        let mut notes = end.notes;
        let show = &self.batch.renewal.args.form.show;
        for (index, issued) in &mut self.renewed {
            let folder = self.batch.folder(*index);
            let host = end.host.as_deref();
            let has_own_password = self.batch.password.is_none() && folder.needs_password();
            let authority = issued.entry.authority().to_owned();
            issued.curl = host.and_then(|host| handover::curl(&folder, &authority, host));
            issued.guidance = handover::guidance(&folder, show, &authority, host, has_own_password);
            for note in &issued.notes {
                if !notes.contains(note) {
                    notes.push(note.clone());
                }
            }
        }
        if !self.renewed.is_empty() {
            notes.push(
                "the old certificates stay valid until they expire, or until `kubectl mtls revoke-client` ends them"
                    .to_owned(),
            );
        }
        for note in &notes {
            self.terminal.note(note);
        }
        let refused = self.refused.iter().map(|index| self.name(*index));
        let failed = self.unknown.iter().cloned().chain(refused).collect();
        let renewed = self.renewed.into_iter().map(|(_, issued)| issued);
        let renewed = Renewed {
            renewed: renewed.collect(),
            failed,
        };
        let format = self.batch.renewal.args.output.output;
        self.terminal.data(&renewed.render(format)?);
        match failure.or_else(|| renewed.failure()) {
            None => Ok(Exit::Success),
            Some(failure) => Err(failure),
        }
    }

    /// The failure that ended the run early, with the renewed and the remaining certificates.
    fn ended_early(&self, failure: Failure) -> Failure {
        let args = self.batch.renewal.args;
        let all = self.batch.targets.len();
        let failure = failure.hint(format!(
            "renewed {} of {all} certificates into `{}`",
            self.renewed.len(),
            args.out.display()
        ));
        let is_left = |index: &usize| {
            let is_renewed = self.renewed.iter().any(|(renewed, _)| renewed == index);
            !is_renewed && !self.refused.contains(index)
        };
        if args.expiring_within.is_some() {
            return failure.hint("to renew the remaining certificates, run the same command again");
        }
        let left: Vec<String> = (0..all)
            .filter(is_left)
            .map(|index| self.name(index))
            .collect();
        let more = left.len().saturating_sub(MOST_NAMES);
        let shown = left[..left.len() - more].iter();
        let mut names = shown.map(|name| quoted(name)).collect::<Vec<_>>().join(" ");
        if more > 0 {
            names.push_str(&format!(" and {more} more"));
        }
        if left.is_empty() {
            return failure;
        }
        failure.hint(format!(
            "to renew the remaining certificates, run the same command with these names: {names}"
        ))
    }
}
