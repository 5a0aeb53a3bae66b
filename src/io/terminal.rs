//! The one place that prints: data to stdout, everything else to stderr, colour only where it is wanted.

use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use colored::Colorize;

use crate::error::Failure;

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
    last_progress: Vec<String>,
}

impl Terminal {
    /// A terminal for the flags `--color` and `-q`.
    pub fn new(color: Color, quiet: bool) -> Self {
        // colored looks at stdout only; anstream removes its codes wherever a stream shows no colour.
        colored::control::set_override(true);
        Self {
            color,
            quiet,
            last_progress: Vec::new(),
        }
    }

    /// Prints the command's result. A reader that went away is not an error.
    pub fn data(&self, text: &str) {
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

    /// Tells what is waited for: each line once, until it changes.
    pub fn progress(&mut self, lines: &[String]) {
        for line in lines {
            if !self.last_progress.contains(line) {
                self.note(&format!("waiting for {line}"));
            }
        }
        self.last_progress = lines.to_vec();
    }

    /// Prints why the command stopped, and what to do.
    pub fn failure(&self, failure: &Failure) {
        let mut text = format!("{} {failure}", "error:".red().bold());
        for hint in failure.what_to_do() {
            text.push_str(&format!("\n  {hint}"));
        }
        self.err(&text);
    }

    /// Whether somebody sits at both ends: questions can be asked.
    pub fn is_interactive(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    fn err(&self, text: &str) {
        let mut err = AutoStream::new(std::io::stderr().lock(), self.color.choice());
        let _ = writeln!(err, "{text}");
    }
}

/// Tells a request, for `-v`.
pub(super) fn trace(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
