//! The plugin as a user runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-mtls");

/// What one run of the plugin came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The same run, which must have ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        // In lines of its own, since a log may cut long ones.
        let ended = format_args!("exit code {}, not {code}\n{}", self.code, self.stderr);
        assert!(self.code == code, "{ended}\n{}", self.stdout);
        let is_in_words = |text: &str| !text.contains("os error");
        assert!(
            is_in_words(&self.stdout) && is_in_words(&self.stderr),
            "{self:#?}"
        );
        self
    }

    /// The same run, which must have said this on stderr.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in {self:#?}");
        self
    }

    /// What is printed, with a single blank for every line end and indentation: lines are as long as a terminal is wide.
    pub(crate) fn unwrapped(&self) -> String {
        let words: Vec<&str> = self.stdout.split_whitespace().collect();
        words.join(" ")
    }

    /// The result as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the plugin in a folder, with an environment of its own.
pub(crate) fn plugin(folder: &Path, variables: &[(&str, String)], arguments: &[&str]) -> Run {
    program(Path::new(PLUGIN), folder, variables, arguments)
}

/// Runs a program as [`plugin`] does.
pub(crate) fn program(
    program: &Path,
    folder: &Path,
    variables: &[(&str, String)],
    arguments: &[&str],
) -> Run {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env_remove("KUBECONFIG")
        .env("HOME", folder)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output();
    output.unwrap().into()
}
