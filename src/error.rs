//! The error that a user reads when a command fails, and the exit code that a script sees.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// The exit codes of every command; the contract that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command is done, or the hosts are healthy.
    Success,
    /// `status` found something, or `rbac --check` found a missing required permission.
    Findings,
    /// Usage error, refusal or failure: nothing was lost.
    Failure,
    /// The time given by `--timeout` ran out, as with `timeout(1)`.
    TimedOut,
    /// The command was interrupted by SIGINT (Ctrl-C), SIGTERM or SIGHUP: 128 + SIGINT.
    Interrupted,
}

impl Exit {
    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Findings => 1,
            Self::Failure => 2,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line asks for something impossible.
    Usage,
    /// An observed fact makes the command unsafe or pointless; the refused step changed nothing.
    Refused,
    /// An effect failed: the API server, a file, the network.
    Failed,
    /// The time of `--timeout` ran out.
    TimedOut,
    /// SIGINT (Ctrl-C), SIGTERM or SIGHUP arrived.
    Interrupted,
}

/// One clear error: what happened, to what, why, and what to do next.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    hints: Vec<String>,
    manifests: Vec<String>,
    lacks_rights: bool,
}

impl Failure {
    /// A command line that asks for something impossible.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A refusal because of an observed fact.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// An effect that failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// A defect of this program.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(
            Kind::Failed,
            format!("internal error: {message}; please report this"),
        )
    }

    /// The end of the time given by `--timeout`.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(Kind::TimedOut, message)
    }

    /// A signal that ends the command: one line says what was `done`, what was sent and not answered, and what a rerun does.
    pub fn interrupted(done: Option<String>, unanswered: Option<String>) -> Self {
        let rerun = "run the same command again";
        let after = done.map_or_else(String::new, |done| format!(" after {done}"));
        let message = match unanswered {
            Some(object) => {
                format!(
                    "interrupted{after}; whether {object} was written is not known; {rerun} to continue"
                )
            }
            None if after.is_empty() => format!("interrupted, nothing was written; {rerun}"),
            None => format!("interrupted{after}; {rerun} to continue"),
        };
        Self::new(Kind::Interrupted, message)
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            hints: Vec::new(),
            manifests: Vec::new(),
            lacks_rights: false,
        }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds one line with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds several lines with the next steps.
    #[must_use]
    pub fn hints(mut self, hints: impl IntoIterator<Item = String>) -> Self {
        self.hints.extend(hints);
        self
    }

    /// Adds objects, as YAML documents, that somebody with more permissions can apply.
    #[must_use]
    pub fn manifests(mut self, documents: impl IntoIterator<Item = String>) -> Self {
        self.manifests.extend(documents);
        self
    }

    /// The objects that somebody with more permissions can apply, as one YAML text; empty if there
    /// are none.
    pub fn to_apply(&self) -> String {
        self.manifests.join("---\n")
    }

    /// Marks a failure because of missing permissions: the command then says how to print its
    /// Roles.
    #[must_use]
    pub fn for_want_of_rights(mut self) -> Self {
        self.lacks_rights = true;
        self
    }

    /// The failure with its place in front: `line 7`.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Adds the hints that depend on the failed command.
    #[must_use]
    pub fn in_command(self, command: &str) -> Self {
        if !self.lacks_rights {
            return self;
        }
        self.hint(format!(
            "`kubectl mtls rbac {command}` prints the Roles that `{command}` needs"
        ))
    }

    /// Why the command stopped.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether an effect failed (the cluster, a file, the network), rather than the request.
    pub fn is_of_an_effect(&self) -> bool {
        self.kind == Kind::Failed
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> Exit {
        match self.kind {
            Kind::Usage | Kind::Refused | Kind::Failed => Exit::Failure,
            Kind::TimedOut => Exit::TimedOut,
            Kind::Interrupted => Exit::Interrupted,
        }
    }

    /// The lines with the next steps.
    pub fn what_to_do(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.message.clone();
        let mut cause = self.source.as_deref().map(|cause| cause as &dyn Error);
        while let Some(error) = cause {
            let said = plain(error);
            // Many libraries repeat their cause in their own text.
            if !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

impl Error for Failure {}

/// An error's text without the number that Rust adds to those of the operating system: `(os error 2)`.
pub fn plain(error: &(impl fmt::Display + ?Sized)) -> String {
    let mut plain = error.to_string();
    while let Some((before, rest)) = plain.split_once(" (os error ") {
        let Some((_, after)) = rest.split_once(')') else {
            break;
        };
        plain = format!("{before}{after}");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        assert_eq!(Failure::usage("x").exit().code(), 2);
        assert_eq!(Failure::refused("x").exit().code(), 2);
        assert_eq!(Failure::failed("x").exit().code(), 2);
        assert_eq!(Failure::timed_out("x").exit().code(), 124);
        assert_eq!(Failure::interrupted(None, None).exit().code(), 130);
        assert_eq!(Exit::Findings.code(), 1);
    }

    #[test]
    fn an_interruption_says_in_one_line_what_was_done_and_what_a_rerun_does() {
        let told = |done: Option<&str>, unanswered: Option<&str>| {
            let [done, unanswered] = [done, unanswered].map(|text| text.map(str::to_owned));
            Failure::interrupted(done, unanswered).to_string()
        };
        let gateway = Some("created Gateway shop/gw");
        let secret = Some("Secret shop/a");
        for (done, unanswered, says) in [
            (
                None,
                None,
                "interrupted, nothing was written; run the same command again",
            ),
            (
                gateway,
                None,
                "interrupted after created Gateway shop/gw; run the same command again to continue",
            ),
            (
                None,
                secret,
                "interrupted; whether Secret shop/a was written is not known; run the same command again to continue",
            ),
            (
                gateway,
                secret,
                "interrupted after created Gateway shop/gw; whether Secret shop/a was written is not known; run the same command again to continue",
            ),
        ] {
            assert_eq!(told(done, unanswered), says);
        }
    }

    #[test]
    fn who_lacks_rights_is_told_where_the_roles_of_the_command_are() {
        let told = |failure: Failure| failure.in_command("expose").what_to_do().len();
        assert_eq!(told(Failure::refused("x")), 0);
        assert_eq!(told(Failure::refused("x").for_want_of_rights()), 1);
    }

    #[test]
    fn an_error_of_the_operating_system_is_told_in_words() {
        let missing = std::io::Error::from_raw_os_error(2);
        let failure = Failure::failed("could not read `a`").caused_by(missing);
        assert_eq!(
            failure.to_string(),
            "could not read `a`: No such file or directory"
        );
    }

    #[test]
    fn a_failure_reads_as_one_line_with_its_causes() {
        let failure = Failure::failed("could not write `a`").caused_by("disk full");
        assert_eq!(failure.to_string(), "could not write `a`: disk full");
    }
}
