//! What `status` found.

use serde::Serialize;

use crate::plan::check::{Check, Severity};
use crate::plan::weakness::Weakness;

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it must be.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// It works, and will not for ever, or is weaker than it should be.
    Warning,
    /// It does not work, or is not safe.
    Error,
}

impl From<Severity> for Mark {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Unknown => Self::Unknown,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }
}

/// One fault, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub mark: Mark,
    /// What is wrong, with what.
    pub says: String,
    /// What to do.
    pub remedy: String,
    /// The check that found it; its fields stand beside the others, which repeat its severity and what was seen.
    #[serde(flatten)]
    pub check: Option<Check>,
}

impl From<Check> for Finding {
    fn from(check: Check) -> Self {
        Self {
            mark: check.severity.into(),
            says: check.seen.clone(),
            remedy: check.remedy.clone(),
            check: Some(check),
        }
    }
}

impl Finding {
    /// A fault that no [`Check`] stands behind.
    pub(super) fn new(mark: Mark, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            mark,
            says: says.into(),
            remedy: remedy.into(),
            check: None,
        }
    }

    /// What is weaker there than it could be.
    pub(super) fn of_weakness(weakness: Weakness) -> Self {
        Self::new(Mark::Warning, weakness.says, weakness.way_out)
    }
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// `DNS`, `server certificate` …
    pub name: &'static str,
    /// The worst of its findings; worse where a finding elsewhere leaves this link unseen.
    pub mark: Mark,
    /// How it is, in a line.
    pub says: String,
    /// Fingerprints and serial numbers, one line each.
    pub details: Vec<String>,
    /// Its faults.
    pub findings: Vec<Finding>,
}

impl Link {
    /// A link that is as `says`, until a fault is added.
    pub(super) fn new(name: &'static str, says: impl Into<String>) -> Self {
        Self {
            name,
            mark: Mark::Ok,
            says: says.into(),
            details: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Adds a fault.
    pub(super) fn find(&mut self, mark: Mark, says: impl Into<String>, remedy: impl Into<String>) {
        self.add(Finding::new(mark, says, remedy));
    }

    /// Adds a fault; the same one counts once.
    pub(super) fn add(&mut self, finding: impl Into<Finding>) {
        let finding = finding.into();
        self.mark = self.mark.max(finding.mark);
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// The same link with a fault.
    pub(super) fn with(
        mut self,
        mark: Mark,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        self.find(mark, says, remedy);
        self
    }

    /// Marks the link as not seen, where the finding that tells why stands elsewhere.
    pub(super) fn was_not_seen(&mut self) {
        self.mark = self.mark.max(Mark::Unknown);
    }
}

/// All links of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// The host, or the Gateway's pattern where nothing is routed.
    pub host: String,
    /// The Gateway as `namespace/name`.
    pub gateway: String,
    /// Its links, from DNS to the clients.
    pub links: Vec<Link>,
}

/// What `status` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every host.
    pub hosts: Vec<HostReport>,
    /// Every fault once, however many hosts have it; the worst first.
    pub findings: Vec<Finding>,
    /// The namespace that the report is about; all of them without.
    #[serde(skip)]
    pub namespace: Option<String>,
}

impl Report {
    /// Gathers the hosts' findings, and those that belong to no host.
    pub(super) fn new(hosts: Vec<HostReport>, others: &[Finding]) -> Self {
        let mut findings: Vec<Finding> = Vec::new();
        let of_hosts = hosts
            .iter()
            .flat_map(|host| &host.links)
            .flat_map(|link| &link.findings);
        for finding in of_hosts.chain(others) {
            if !findings.contains(finding) {
                findings.push(finding.clone());
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.mark));
        Self {
            hosts,
            findings,
            namespace: None,
        }
    }

    /// Whether nothing was found; what could not be looked at counts unless it is to be ignored.
    pub fn is_healthy(&self, ignore_unknown: bool) -> bool {
        self.findings
            .iter()
            .all(|finding| ignore_unknown && finding.mark == Mark::Unknown)
    }
}
