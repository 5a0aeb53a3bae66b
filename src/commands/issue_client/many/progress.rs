//! Progress and summary of many clients: one line or object per client as soon as it is done, so
//! that finished clients take no memory.

use std::time::Instant;

use super::{Args, Client};
use crate::commands::flags::Format;
use crate::error::{Exit, Failure};
use crate::io::bulk::{End, Event, Place};
use crate::io::terminal::Terminal;
use crate::output;
use crate::output::bulk::{Summary, awaited, gauge, table, unconfirmed};
use crate::output::issue_client::Issued;
use crate::plan::issue_client::Report;

/// Size of the output buffer, in bytes.
const COLLECTED: usize = 1 << 14;

/// How many certificates that are not as the table has them now get a warning each.
const MOST_DIFFERENT: u64 = 20;

/// Prints the progress, and the summary in the end.
pub(super) struct Progress<'a> {
    args: &'a Args,
    terminal: &'a mut Terminal,
    summary: Summary,
    text: String,
    listed: u64,
    /// The note on the first certificate that ends with its CA, and the number of such
    /// certificates.
    cut_short: Option<(String, u64)>,
    /// The note on URIs that were not checked.
    unchecked: Option<String>,
    /// The number of certificates of earlier runs that are not as the table has them now.
    different: u64,
    first_refusal: Option<Failure>,
    failure: Option<Failure>,
    started: Instant,
}

impl<'a> Progress<'a> {
    pub fn new(args: &'a Args, terminal: &'a mut Terminal) -> Self {
        Self {
            args,
            terminal,
            summary: Summary::default(),
            text: String::new(),
            listed: 0,
            cut_short: None,
            unchecked: None,
            different: 0,
            first_refusal: None,
            failure: None,
            started: Instant::now(),
        }
    }

    /// Reports the result of a client, or the progress.
    pub fn tell(&mut self, event: Event<'_, Client>) {
        match event {
            Event::Issued(client, report) => {
                let summary = &mut self.summary;
                match (report.before, report.completed) {
                    (true, _) => summary.there_already += 1,
                    (_, true) => summary.completed += 1,
                    _ => summary.issued += 1,
                }
                if let Some(said) = &report.cut_short {
                    let first = (said.clone(), 0);
                    self.cut_short.get_or_insert(first).1 += 1;
                }
                if let Some(said) = &report.unchecked {
                    self.unchecked.get_or_insert_with(|| said.clone());
                }
                self.differs(report);
                for serial in &report.lost {
                    self.lost(&report.entry.name, serial);
                }
                if let Err(failure) = self.list(client, report) {
                    self.failure.get_or_insert(failure);
                }
            }
            Event::Bad(place, failure) => {
                let failure = placed(place, failure);
                if self.args.many.keep_going {
                    self.summary.refused += 1;
                    self.print();
                    self.terminal.failure(&failure);
                } else if self.first_refusal.is_none() {
                    // The others would be told one by one as each is mended.
                    self.summary.refused += 1;
                    let again = self.how_to_continue(place);
                    self.first_refusal = Some(failure.hint(again));
                }
            }
            Event::Undelivered { name, serial } => self.lost(name, serial),
            Event::Unconfirmed { name, serial } => {
                self.print();
                self.terminal.warn(&unconfirmed(name, serial));
                self.summary.not_confirmed.push(serial.to_owned());
            }
            Event::Waiting(first, more) => self.terminal.note(&awaited(first, more)),
            Event::Ending => {
                self.terminal
                    .note("stopping: certificates that have begun are completed; a second signal or Ctrl-C stops at once");
            }
            Event::Tick { expected } => {
                self.print();
                let line = gauge(self.summary.done(), self.started.elapsed(), expected);
                self.terminal.gauge(&line);
            }
        }
    }

    /// What to do about a refused row.
    fn how_to_continue(&self, place: Place) -> String {
        let correct = match self.named(place) {
            Some(name) => format!("leave out `{name}`"),
            None => "correct the table".to_owned(),
        };
        format!("{correct}, and run the same command again: it issues the missing certificates")
    }

    /// The name of the command line at this position.
    fn named(&self, place: Place) -> Option<&str> {
        let Place::Name(number) = place else {
            return None;
        };
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.args.name.get(index).map(String::as_str)
    }

    /// Warns of a certificate of an earlier run that is not as the table has it now: of the first ones, so that a flag that differs for all
    /// does not fill the screen.
    fn differs(&mut self, report: &Report) {
        let Some(difference) = report.difference() else {
            return;
        };
        self.different += 1;
        if self.different <= MOST_DIFFERENT {
            self.print();
            self.terminal.warn(&difference);
        }
    }

    /// What to do about certificates that are not as the table has them now.
    fn note_differences(&mut self) {
        if self.different == 0 {
            return;
        }
        if let Some(more @ 1..) = self.different.checked_sub(MOST_DIFFERENT) {
            self.terminal.note(&format!(
                "the same holds for {more} more certificates; `differs` in `-o json` names what differs for each client"
            ));
        }
        for line in [
            "`kubectl mtls revoke-client NAME` ends a certificate that is not as asked for",
            "to issue one that is, remove the client's files, and run the same command with `--another`",
        ] {
            self.terminal.note(line);
        }
    }

    fn lost(&mut self, name: &str, serial: &str) {
        self.print();
        self.terminal.warn(&format!(
            "a certificate of `{name}` was reserved and never delivered, so nobody has its key: serial {serial}"
        ));
        self.summary.never_delivered.push(serial.to_owned());
    }

    /// Adds a client to the list, if a list is printed.
    fn list(&mut self, client: &Client, report: &Report) -> Result<(), Failure> {
        let folder = client.folder();
        let has_own_password = client.password.is_none() && folder.needs_password();
        let entry = || Issued::of(report, folder.written(has_own_password, true));
        let is_first = self.listed == 0;
        match self.args.output.output {
            Format::Table | Format::Wide => {}
            Format::Name => self
                .text
                .push_str(&format!("client/{}\n", report.entry.name)),
            Format::Json => {
                self.text
                    .push_str(if is_first { "{\"clients\": [\n" } else { ",\n" });
                self.text.push_str(output::json(&entry())?.trim_end());
            }
            Format::Yaml => {
                self.text.push_str(if is_first { "clients:\n" } else { "" });
                self.text.push_str(&output::yaml(&[entry()])?);
            }
        }
        self.listed += 1;
        if self.text.len() > COLLECTED {
            self.print();
        }
        Ok(())
    }

    fn print(&mut self) {
        if !self.text.is_empty() {
            self.terminal.data(&self.text);
            self.text.clear();
        }
    }

    /// Prints the summary, and returns the exit code.
    pub fn end(mut self, end: End) -> Result<Exit, Failure> {
        let summary = std::mem::take(&mut self.summary);
        let text = match self.args.output.output {
            Format::Table | Format::Wide => table(&summary, &self.args.out.display().to_string()),
            Format::Name => String::new(),
            Format::Json => {
                let start = if self.listed == 0 {
                    "{\"clients\": ["
                } else {
                    "\n"
                };
                format!(
                    "{start}],\n\"summary\": {}}}\n",
                    output::json(&summary)?.trim_end()
                )
            }
            Format::Yaml => {
                let start = if self.listed == 0 {
                    "clients: []\n"
                } else {
                    ""
                };
                let summary = output::yaml(&summary)?;
                let summary: String = summary.lines().map(|line| format!("  {line}\n")).collect();
                format!("{start}summary:\n{summary}")
            }
        };
        self.terminal.gauge("");
        self.text.push_str(&text);
        self.print();
        self.note_differences();
        let cut = self.cut_short.map(|(first, count)| match count {
            1 => first,
            _ => format!("{first}; the same holds for {} more", count - 1),
        });
        for note in end.notes.iter().chain(&cut).chain(&self.unchecked) {
            self.terminal.note(note);
        }
        match end.failure.or(self.failure) {
            Some(failure) => Err(failure),
            None => match self.first_refusal {
                Some(failure) => Err(failure),
                None if summary.refused > 0 => Ok(Exit::Failure),
                None => Ok(Exit::Success),
            },
        }
    }
}

/// A failure with its place in the table in front.
fn placed(place: Place, failure: Failure) -> Failure {
    match place {
        Place::Table | Place::Name(_) => failure,
        Place::Line(line) => failure.within(&format!("line {line}")),
    }
}
