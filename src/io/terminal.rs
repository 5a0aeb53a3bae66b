//! All printing: data to stdout, everything else to stderr, and colour only where it is wanted.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use colored::Colorize;

use super::interrupt::is_mine_to_tell;
use super::platform;
use super::progress::Progress;
use crate::error::{Exit, Failure};
use crate::resources::printable::{printable, printable_in_colour, printable_line};

/// Width of a terminal that does not report one: that of the VT100.
const WIDTH: usize = 80;

/// ECMA-48: erase to the end of the line.
const ERASE_LINE: &str = "\x1b[K";

/// ECMA-48, 8.3.117: the escape codes of coloured results.
const COLOURS: [&str; 5] = ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"];

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    fn choice(self) -> ColorChoice {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
    }
}

/// Where a command's output goes.
#[derive(Debug)]
pub struct Terminal {
    color: Color,
    quiet: bool,
    redraws: bool,
    progress: Progress,
    gauged: Cell<bool>,
    /// Why a result could not be printed.
    unprinted: RefCell<Option<io::Error>>,
}

impl Terminal {
    /// The terminal with the settings of `--color` and `-q`.
    pub fn new(color: Color, quiet: bool) -> Self {
        // colored looks at stdout only; anstream removes its codes wherever a stream shows no colour.
        colored::control::set_override(true);
        Self {
            color,
            quiet,
            redraws: io::stderr().is_terminal()
                && std::env::var_os("TERM").is_some_and(|term| term != "dumb"),
            progress: Progress::default(),
            gauged: Cell::new(false),
            unprinted: RefCell::new(None),
        }
    }

    /// Prints the command's result. A closed stdout is not an error.
    pub fn data(&self, text: &str) {
        self.out(&printable(text));
    }

    /// Prints a command's coloured result.
    pub fn data_in_colour(&self, text: &str) {
        self.out(&printable_in_colour(text, &COLOURS));
    }

    fn out(&self, text: &str) {
        self.make_room();
        let mut out = AutoStream::new(io::stdout().lock(), self.color.choice());
        if let Err(error) = written(out.write_all(text.as_bytes()).and_then(|()| out.flush())) {
            self.unprinted.replace(Some(error));
        }
    }

    /// Fails where a result could not be printed, as on a full disk.
    pub fn check_printed(&self) -> Result<(), Failure> {
        self.unprinted
            .take()
            .map_or(Ok(()), |error| Err(unprinted(error)))
    }

    /// Prints a note beside the result, except with `-q`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.err(&printable(text));
        }
    }

    /// Prints a warning.
    pub fn warn(&self, text: &str) {
        let text = printable(text);
        self.err(&format!("{} {text}", "warning:".yellow().bold()));
    }

    /// Shows the pending objects, one line `object: state` each; an object that is no longer among them is ready.
    pub fn progress(&mut self, lines: &[String]) {
        if self.quiet {
            return;
        }
        let lines: Vec<String> = lines
            .iter()
            .map(|line| printable_line(line).into_owned())
            .collect();
        if self.redraws {
            let block = self.progress.block(&lines, width());
            raw(&block);
        } else {
            for line in self.progress.lines(&lines) {
                self.err(&line);
            }
        }
    }

    /// Shows the progress of a long operation in one line that is redrawn each time; on a terminal only. An empty line ends it.
    pub fn gauge(&mut self, line: &str) {
        if self.quiet || !self.redraws {
            return;
        }
        let line = printable_line(line);
        let shown: String = line.chars().take(width().saturating_sub(1)).collect();
        raw(&format!("\r{ERASE_LINE}{shown}"));
        self.gauged.set(!line.is_empty());
    }

    /// Erases the gauge before other output; the gauge is drawn again below it.
    fn make_room(&self) {
        if self.gauged.take() {
            raw(&format!("\r{ERASE_LINE}"));
        }
    }

    /// Turns the spinner, if one is on display.
    pub fn turn(&mut self) {
        let block = self.progress.turn(width());
        raw(&block);
    }

    /// Prints why the command stopped, and what to do.
    pub fn failure(&mut self, failure: &Failure) {
        if failure.exit() == Exit::Interrupted && !is_mine_to_tell() {
            return;
        }
        let erased = self.progress.erase();
        raw(&erased);
        self.err(&described(failure));
    }

    /// Whether stdin and stderr are terminals, so that questions can be asked.
    pub fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn err(&self, text: &str) {
        self.make_room();
        let mut err = AutoStream::new(io::stderr().lock(), self.color.choice());
        let _ = writeln!(err, "{text}");
    }
}

/// An error and its hints, coloured, without escape sequences from elsewhere.
fn described(failure: &Failure) -> String {
    let message = failure.to_string();
    let mut text = format!("{} {}", "error:".red().bold(), printable(&message));
    for hint in failure.what_to_do() {
        text.push_str(&format!("\n  {}", printable(hint)));
    }
    let manifests = failure.to_apply();
    if !manifests.is_empty() {
        text.push_str("\n  ask an administrator to apply this, then run the same command again:");
        text.push_str(&format!("\n{}", printable(manifests.trim_end())));
    }
    text
}

/// Reports that a signal ends the command, on a new line if the current one is unfinished.
pub(super) fn interrupted(failure: &Failure, is_within_line: bool) {
    let start = if is_within_line { "\n" } else { "" };
    let mut err = AutoStream::new(io::stderr().lock(), ColorChoice::Auto);
    let _ = writeln!(err, "{start}{}", described(failure));
}

/// Prints on the terminal, control sequences and all.
fn raw(text: &str) {
    if !text.is_empty() {
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

/// Prints a result that is stored nowhere else. Unlike [`Terminal::data`], fails if stdout was closed.
pub fn hand_over(text: &str) -> Result<(), Failure> {
    if platform::was_stdout_closed() {
        return Err(unprinted(io::Error::other(
            "it is closed, or leads to /dev/null",
        )));
    }
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(unprinted)
}

/// Prints text on stdout, coloured on a terminal. A closed stdout is not an error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = AutoStream::new(io::stdout().lock(), ColorChoice::Auto);
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush())).map_err(unprinted)
}

/// The result of writing to stdout, where a closed stdout is not an error.
fn written(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn unprinted(error: io::Error) -> Failure {
    Failure::failed("could not write the result to stdout").caused_by(error)
}

/// Logs a request, for `-v`.
pub(super) fn trace(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

fn width() -> usize {
    terminal_size::terminal_size_of(io::stderr()).map_or(WIDTH, |(width, _)| width.0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_for_an_administrator_follow_the_line_that_asks_for_them() {
        let failure = Failure::refused("forbidden")
            .manifests(["kind: Gateway\n".to_owned()])
            .hint("nothing was changed");
        let described = described(&failure);
        let lines: Vec<&str> = described.lines().skip(1).collect();
        let asks = "  ask an administrator to apply this, then run the same command again:";
        assert_eq!(lines, ["  nothing was changed", asks, "kind: Gateway"]);
    }
}
