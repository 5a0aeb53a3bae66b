//! Results of checks as data, for `status` and for the warnings of `expose`.

use std::fmt;

use serde::Serialize;

/// How bad the result of a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The check could not be made.
    Unknown,
    /// It works, and something about it is weaker than it should be.
    Warning,
    /// It does not work, or is not safe.
    Error,
}

/// The result of a check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Names the check for scripts, `subject/fault`: `gateway/weakened`. It never changes.
    pub id: &'static str,
    /// By what follows from it.
    pub severity: Severity,
    /// What was seen, in which object. One sentence.
    pub seen: String,
    /// Why it matters. One sentence.
    pub why: String,
    /// A command that can be pasted, with real names; what to check where there is no command.
    #[serde(skip)]
    pub remedy: String,
}

/// One sentence per line, the remedy last.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}\n  {}", self.seen, self.why, self.remedy)
    }
}
