//! What `status` found.

use serde::Serialize;
use time::OffsetDateTime;

use super::authorities::AuthorityReport;
use super::timeline::Timeline;
use crate::pki::inspect::Certificate;

use crate::plan::check::{Check, Finding, Severity};

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
            Severity::Note => Self::Ok,
            Severity::Unknown => Self::Unknown,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
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
    /// What its checks found; the report lists them once for all hosts.
    #[serde(skip)]
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

    /// Adds what a check found.
    pub(super) fn find(
        &mut self,
        check: &'static Check,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Finding::new(check, seen, remedy));
    }

    /// Adds a finding; the same one counts once.
    pub(super) fn add(&mut self, finding: Finding) {
        self.mark = self.mark.max(finding.severity.into());
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Adds what several checks found.
    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// The same link with what a check found.
    pub(super) fn with(
        mut self,
        check: &'static Check,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        self.find(check, seen, remedy);
        self
    }

    /// Marks the link as not seen, where the finding that tells why stands elsewhere.
    pub(super) fn was_not_seen(&mut self) {
        self.mark = self.mark.max(Mark::Unknown);
    }
}

/// A certificate that the gateway shows for a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerCertificate {
    /// SHA-256, lower-case hexadecimal.
    pub fingerprint: String,
    /// Lower-case hexadecimal.
    pub serial: String,
    /// RFC 4514.
    pub subject: String,
    /// RFC 4514.
    pub issuer: String,
    /// UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The Pods, or the address, that show it.
    pub shown_by: String,
}

impl ServerCertificate {
    /// A certificate, and the ways on which it was seen.
    pub(super) fn new(certificate: &Certificate, shown_by: String) -> Self {
        Self {
            fingerprint: certificate.fingerprint(),
            serial: certificate.serial_hex(),
            subject: certificate.subject().to_owned(),
            issuer: certificate.issuer().to_owned(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            shown_by,
        }
    }
}

/// All links of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    /// The host, or the Gateway's pattern where nothing is routed.
    pub host: String,
    /// The Gateway as `namespace/name`; empty where the Gateways could not be read.
    pub gateway: String,
    /// The route, as `KIND namespace/name`.
    pub route: Option<String>,
    /// The Service, as `namespace/name`.
    pub service: Option<String>,
    /// The authority whose clients get in.
    pub authority: Option<String>,
    /// The identities on the allow-list; `None` where every client may call the host.
    pub allowed: Option<Vec<String>>,
    /// What the resolver answers.
    pub addresses: Vec<String>,
    /// What the gateway shows.
    pub server_certificates: Vec<ServerCertificate>,
    /// Its links, from DNS to the clients.
    pub links: Vec<Link>,
}

/// What `status` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every host.
    pub hosts: Vec<HostReport>,
    /// The authorities behind them.
    pub authorities: Vec<AuthorityReport>,
    /// Every finding once, however many hosts have it; the worst first.
    pub findings: Vec<Finding>,
    /// What ends when, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
    /// The namespace that the report is about; all of them without.
    #[serde(skip)]
    pub namespace: Option<String>,
}

impl Report {
    /// Gathers the findings of all hosts, each once, and those that belong to no host.
    pub(super) fn new(hosts: Vec<HostReport>, others: Vec<Finding>) -> Self {
        let mut findings: Vec<Finding> = Vec::new();
        for host in &hosts {
            let of_host = host.links.iter().flat_map(|link| link.findings.clone());
            for finding in Finding::nest(of_host.collect()) {
                let known = findings.iter_mut().find(|known| known.is_same_as(&finding));
                match known {
                    Some(known) => known.hosts.push(host.host.clone()),
                    None => findings.push(Finding {
                        hosts: vec![host.host.clone()],
                        ..finding
                    }),
                }
            }
        }
        for finding in others {
            let mut known = findings
                .iter()
                .flat_map(|known| std::iter::once(known).chain(&known.consequences));
            if !known.any(|known| known.is_same_as(&finding)) {
                findings.push(finding);
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self {
            hosts,
            findings,
            ..Self::default()
        }
    }

    /// The authorities behind the hosts, each once.
    pub(super) fn authority_names(&self) -> Vec<String> {
        let names = self.hosts.iter().filter_map(|host| host.authority.clone());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.dedup();
        names
    }

    /// Leaves out findings of less than this severity; what could not be checked stays.
    pub fn at_least(&mut self, severity: Severity) {
        self.findings.retain(|finding| {
            finding.severity == Severity::Unknown || finding.severity >= severity
        });
    }

    /// Whether nothing was found that needs somebody; what could not be checked counts unless it is to be ignored.
    pub fn is_healthy(&self, ignore_unknown: bool) -> bool {
        self.findings.iter().all(|finding| match finding.severity {
            Severity::Note => true,
            Severity::Unknown => ignore_unknown,
            Severity::Warning | Severity::Error => false,
        })
    }
}
