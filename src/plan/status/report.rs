//! What `status` found.

use serde::Serialize;

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

/// One fault, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub mark: Mark,
    /// What is wrong, with what.
    pub says: String,
    /// What to do.
    pub remedy: String,
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// `DNS`, `server certificate` …
    pub name: &'static str,
    /// The worst of its findings.
    pub mark: Mark,
    /// How it is, in a line.
    pub says: String,
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
            findings: Vec::new(),
        }
    }

    /// Adds a fault.
    pub(super) fn find(&mut self, mark: Mark, says: impl Into<String>, remedy: impl Into<String>) {
        self.mark = self.mark.max(mark);
        self.findings.push(Finding {
            mark,
            says: says.into(),
            remedy: remedy.into(),
        });
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
}

impl Report {
    pub(super) fn new(hosts: Vec<HostReport>) -> Self {
        let mut findings: Vec<Finding> = Vec::new();
        for finding in hosts
            .iter()
            .flat_map(|host| &host.links)
            .flat_map(|link| &link.findings)
        {
            if !findings.contains(finding) {
                findings.push(finding.clone());
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.mark));
        Self { hosts, findings }
    }

    /// Whether nothing was found; what could not be looked at counts unless it is to be ignored.
    pub fn is_healthy(&self, ignore_unknown: bool) -> bool {
        self.findings
            .iter()
            .all(|finding| ignore_unknown && finding.mark == Mark::Unknown)
    }
}
