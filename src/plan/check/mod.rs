//! Checks and findings as data, for `status` and for the warnings of `expose`.

mod authority;
mod client_ca;
mod crl;
mod dns;
mod gateway;
mod guard;
mod ingress;
mod proxy;
mod route;
mod server_certificate;
mod service;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

pub(crate) use self::{
    authority::*, client_ca::*, crl::*, dns::*, gateway::*, guard::*, ingress::*, proxy::*,
    route::*, server_certificate::*, service::*,
};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A remark; nothing depends on it.
    Note,
    /// The check could not be made.
    Unknown,
    /// Something works, but will stop working or is weaker than it should be.
    Warning,
    /// Something does not work, or somebody gets in who must not.
    Error,
}

/// One possible fault, as `docs/faults.md` describes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// The check's identifier for scripts, `subject/fault`: `gateway/weakened`. It never changes.
    pub id: &'static str,
    /// The usual severity.
    pub severity: Severity,
    /// The fault, in one sentence without a full stop.
    pub cause: &'static str,
    /// What is read to find the fault.
    pub found_by: &'static str,
    /// The consequence of the fault, in one sentence without a full stop.
    pub why: &'static str,
    /// The command that resolves the fault, with words in capitals for names; what to do if there is no command.
    pub remedy: &'static str,
    /// The ids of findings that are only consequences of this one if both are about the same host; `route/*` stands for all that begin with
    /// `route/`.
    pub consequences: &'static [&'static str],
}

impl Check {
    /// Every check, in the order in which a request passes the checked objects.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        let hops = [
            dns::ALL,
            ingress::ALL,
            server_certificate::ALL,
            client_ca::ALL,
            crl::ALL,
            gateway::ALL,
            proxy::ALL,
            guard::ALL,
            route::ALL,
            service::ALL,
            authority::ALL,
        ];
        hops.into_iter().flatten().copied()
    }

    /// Whether a finding of this check explains one of the `other`: where each names the other, the one that does so by its whole id.
    pub fn explains(&self, other: &Self) -> bool {
        let names = |one: &Self, other: &Self| one.consequences.contains(&other.id);
        let is_covered = || {
            let stems = self.consequences.iter();
            let mut stems = stems.filter_map(|pattern| pattern.strip_suffix('*'));
            stems.any(|stem| other.id.starts_with(stem)) && !names(other, self)
        };
        self.id != other.id && (names(self, other) || is_covered())
    }

    /// The URL of the check's description in the `docs/faults.md` of this version.
    pub fn docs(&self) -> String {
        const PAGE: &str = concat!(
            env!("CARGO_PKG_REPOSITORY"),
            "/blob/v",
            env!("CARGO_PKG_VERSION"),
            "/docs/faults.md"
        );
        format!("{PAGE}#{}", self.id.replace('/', ""))
    }
}

/// The result of a check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: &'static Check,
    /// The severity in this case.
    pub severity: Severity,
    /// The observation, with the name of the object. One sentence.
    pub seen: String,
    /// Why it matters. One sentence.
    pub why: Cow<'static, str>,
    /// A command that can be pasted, with real names; what to check where there is no command.
    pub remedy: String,
    /// The hosts of the finding; none if it is about no single host.
    pub hosts: Vec<String>,
    /// Consequences of this finding on the same host, which would be findings of their own
    /// otherwise.
    pub consequences: Vec<Finding>,
}

impl Finding {
    /// A finding with the usual severity and reason of its check.
    pub fn new(check: &'static Check, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            severity: check.severity,
            seen: seen.into(),
            why: check.why.into(),
            remedy: remedy.into(),
            hosts: Vec::new(),
            consequences: Vec::new(),
        }
    }

    /// The finding with another reason why it matters.
    #[must_use]
    pub fn because(mut self, why: impl Into<Cow<'static, str>>) -> Self {
        self.why = why.into();
        self
    }

    /// The finding with another severity.
    #[must_use]
    pub fn graded(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Whether both findings say the same, whatever their hosts.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.check == other.check && self.seen == other.seen
    }

    /// Takes over the severity of the same finding made elsewhere, where that is higher, and its further consequences.
    pub fn merge(&mut self, other: Self) {
        self.severity = self.severity.max(other.severity);
        for consequence in other.consequences {
            let mut known = self.consequences.iter();
            if !known.any(|known| known.is_same_as(&consequence)) {
                self.consequences.push(consequence);
            }
        }
    }

    /// Moves a consequence under this finding, which is then at least as severe.
    pub fn take(&mut self, consequence: Self) {
        self.severity = self.severity.max(consequence.severity);
        self.consequences.push(consequence);
    }

    /// Whether another finding is a consequence of this one. A remark, a failed check, and a fault that is milder than usual in this case,
    /// explains nothing that is more severe than itself.
    pub fn explains(&self, other: &Self) -> bool {
        let is_real = self.severity >= Severity::Warning && self.severity >= self.check.severity;
        self.check.explains(other.check) && (is_real || self.severity >= other.severity)
    }

    /// Moves findings that are consequences of others under them.
    pub fn nest(findings: Vec<Self>) -> Vec<Self> {
        let cause_of = |finding: &Self| findings.iter().position(|cause| cause.explains(finding));
        let causes: Vec<Option<usize>> = findings.iter().map(cause_of).collect();
        let root_of = |place: usize| {
            let mut chain = vec![place];
            let mut last = place;
            while let Some(cause) = causes.get(last).copied().flatten() {
                if let Some(begin) = chain.iter().position(|known| *known == cause) {
                    // Of findings that explain each other the first one is the cause.
                    return chain[begin..].iter().copied().min().unwrap_or(place);
                }
                chain.push(cause);
                last = cause;
            }
            last
        };
        let roots: Vec<usize> = (0..findings.len()).map(root_of).collect();
        let mut nested: Vec<Option<Self>> = vec![None; findings.len()];
        let mut below: Vec<(usize, Self)> = Vec::new();
        for (place, finding) in findings.into_iter().enumerate() {
            match roots.get(place) {
                Some(root) if *root != place => below.push((*root, finding)),
                _ => nested[place] = Some(finding),
            }
        }
        for (root, finding) in below {
            if let Some(Some(cause)) = nested.get_mut(root) {
                cause.take(finding);
            }
        }
        nested.into_iter().flatten().collect()
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 8)?;
        fields.serialize_field("id", self.check.id)?;
        fields.serialize_field("severity", &self.severity)?;
        fields.serialize_field("seen", &self.seen)?;
        fields.serialize_field("why", &self.why)?;
        fields.serialize_field("remedy", &self.remedy)?;
        fields.serialize_field("docs", &self.check.docs())?;
        fields.serialize_field("hosts", &self.hosts)?;
        fields.serialize_field("consequences", &self.consequences)?;
        fields.end()
    }
}

/// Writes one sentence per line, the remedy last.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}\n  {}", self.seen, self.why, self.remedy)
    }
}
