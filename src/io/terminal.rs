//! The one place that prints: data to stdout, everything else to stderr, colour only where it is wanted.

use std::cell::Cell;
use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use colored::Colorize;

use super::progress::Progress;
use crate::error::Failure;

/// Where the width of a terminal is not known: that of the VT100.
const WIDTH: usize = 80;

/// ECMA-48: erase to the end of the line.
const ERASE_LINE: &str = "\x1b[K";

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
}

impl Terminal {
    /// A terminal for the flags `--color` and `-q`.
    pub fn new(color: Color, quiet: bool) -> Self {
        // colored looks at stdout only; anstream removes its codes wherever a stream shows no colour.
        colored::control::set_override(true);
        Self {
            color,
            quiet,
            redraws: std::io::stderr().is_terminal()
                && std::env::var_os("TERM").is_some_and(|term| term != "dumb"),
            progress: Progress::default(),
            gauged: Cell::new(false),
        }
    }

    /// Prints the command's result. A reader that went away is not an error.
    pub fn data(&self, text: &str) {
        self.make_room();
        let mut out = AutoStream::new(std::io::stdout().lock(), self.color.choice());
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Tells something beside the result; not with `-q`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.err(text);
        }
    }

    /// Tells something that must not be missed.
    pub fn warn(&self, text: &str) {
        self.err(&format!("{} {text}", "warning:".yellow().bold()));
    }

    /// Tells what is waited for, one line `object: state` each; what is not among them any more is done.
    pub fn progress(&mut self, lines: &[String]) {
        if self.quiet {
            return;
        }
        if self.redraws {
            let block = self.progress.block(lines, width());
            raw(&block);
        } else {
            for line in self.progress.lines(lines) {
                self.err(&line);
            }
        }
    }

    /// Shows how far a long work is, in one line that is drawn anew each time; on a terminal only. An empty line ends it.
    pub fn gauge(&mut self, line: &str) {
        if self.quiet || !self.redraws {
            return;
        }
        let shown: String = line.chars().take(width().saturating_sub(1)).collect();
        raw(&format!("\r{ERASE_LINE}{shown}"));
        self.gauged.set(!line.is_empty());
    }

    /// What is printed next takes the place of the gauge, which comes back below it.
    fn make_room(&self) {
        if self.gauged.take() {
            raw(&format!("\r{ERASE_LINE}"));
        }
    }

    /// Turns the spinner, where one is shown.
    pub fn turn(&mut self) {
        let block = self.progress.turn(width());
        raw(&block);
    }

    /// Prints why the command stopped, and what to do.
    pub fn failure(&mut self, failure: &Failure) {
        let erased = self.progress.erase();
        raw(&erased);
        let mut text = format!("{} {failure}", "error:".red().bold());
        for hint in failure.what_to_do() {
            text.push_str(&format!("\n  {hint}"));
        }
        let manifests = failure.to_apply();
        if !manifests.is_empty() {
            text.push_str(&format!("\n{}", manifests.trim_end()));
        }
        self.err(&text);
    }

    /// Whether somebody sits at both ends: questions can be asked.
    pub fn is_interactive(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    fn err(&self, text: &str) {
        self.make_room();
        let mut err = AutoStream::new(std::io::stderr().lock(), self.color.choice());
        let _ = writeln!(err, "{text}");
    }
}

/// Prints on the terminal, control sequences and all.
fn raw(text: &str) {
    if !text.is_empty() {
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

/// Prints a command's result that exists nowhere else. Unlike [`Terminal::data`] it fails where nobody read all of it.
pub fn hand_over(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(|error| Failure::failed("the result could not be printed").caused_by(error))
}

/// Tells a request, for `-v`.
pub(super) fn trace(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn width() -> usize {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(WIDTH, |(width, _)| width.0.into())
}
