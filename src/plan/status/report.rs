//! The report of `status`.

mod authority;

pub use authority::{
    AuthorityReport, CaReport, ClientCaReport, ClientEnd, ClientsReport, CrlReport, HistoryReport,
    Keys, Role,
};

use serde::Serialize;
use time::OffsetDateTime;

use super::clock;
use crate::pki::inspect::Certificate;
use crate::plan::check::{Check, Finding, Severity};

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// The link works.
    Ok,
    /// The link could not be checked.
    Unknown,
    /// The link works, but will stop working, or is weaker than it should be.
    Warning,
    /// The link does not work, or is not safe.
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

/// One link of the chain from DNS to the clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// `DNS`, `server certificate` …
    pub name: &'static str,
    /// The worst severity of the link's findings; worse if a finding elsewhere leaves this link
    /// unknown.
    pub mark: Mark,
    /// The link's state, in a line.
    pub says: String,
    /// Fingerprints and serial numbers, one line each.
    pub details: Vec<String>,
    /// The findings of its checks; the report lists them once for all hosts.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

impl Link {
    /// A link in this state, until a finding is added.
    pub(super) fn new(name: &'static str, says: impl Into<String>) -> Self {
        Self {
            name,
            mark: Mark::Ok,
            says: says.into(),
            details: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Adds the finding of a check, if there is one.
    pub(super) fn find(
        &mut self,
        check: &'static Check,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Finding::new(check, seen, remedy));
    }

    /// Adds a finding; a repeated one counts once.
    pub(super) fn add(&mut self, finding: Finding) {
        self.mark = self.mark.max(finding.severity.into());
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Adds the findings of several checks.
    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Adds what was found of the same link at the proxies of another namespace.
    pub(super) fn join(&mut self, other: Self) {
        self.mark = self.mark.max(other.mark);
        let is_new = |detail: &String| !self.details.contains(detail);
        let details: Vec<String> = other.details.into_iter().filter(is_new).collect();
        self.details.extend(details);
        self.extend(other.findings);
    }

    /// The link with the finding of a check.
    pub(super) fn with(
        mut self,
        check: &'static Check,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        self.find(check, seen, remedy);
        self
    }

    /// Marks the link as unknown, if another link has the finding that explains it.
    pub(super) fn was_not_seen(&mut self) {
        self.mark = self.mark.max(Mark::Unknown);
    }
}

/// A certificate that the gateway shows for a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerCertificate {
    /// SHA-256 fingerprint, lower-case hexadecimal.
    pub fingerprint: String,
    /// The serial number, lower-case hexadecimal.
    pub serial: String,
    /// The subject, RFC 4514.
    pub subject: String,
    /// The issuer, RFC 4514.
    pub issuer: String,
    /// Start of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// End of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The Pods, or the address, that use the certificate.
    pub shown_by: Vec<String>,
}

impl ServerCertificate {
    /// A certificate, and the ways through which it was seen.
    pub(super) fn new(certificate: &Certificate, shown_by: Vec<String>) -> Self {
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
    /// The host, or the Gateway's pattern if nothing is routed.
    pub host: String,
    /// The Gateway as `namespace/name`; empty if the Gateways could not be read.
    pub gateway: String,
    /// The route, as `KIND namespace/name`.
    pub route: Option<String>,
    /// The Service, as `namespace/name`.
    pub service: Option<String>,
    /// The authority whose clients are accepted.
    pub authority: Option<String>,
    /// The CAs in the Gateway's client CA, in the order of its file, also where this plugin does not manage it; empty if it was not read.
    pub client_cas: Vec<ClientCaReport>,
    /// The identities on the allow-list; `None` if every client may call the host.
    pub allowed: Option<Vec<String>>,
    /// The addresses in the resolver's answer.
    pub addresses: Vec<String>,
    /// The server certificates that the gateway uses.
    pub server_certificates: Vec<ServerCertificate>,
    /// The host's links, from DNS to the clients.
    pub links: Vec<Link>,
}

/// Expiry dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// The time of the checks, by the cluster's clock, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub now: OffsetDateTime,
    /// The single expiry dates, the first one first.
    pub ends: Vec<End>,
    /// The weeks in which client certificates end.
    pub clients: Vec<Week>,
}

/// One expiry date.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct End {
    /// The time, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `server certificate`, `client CA` or `revocation list`.
    pub kind: &'static str,
    /// The name of the certificate, CA or list.
    pub name: String,
}

/// The client certificates that end within seven days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Week {
    /// The first moment of the week, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Number of live certificates that end in this week.
    pub count: usize,
}

/// The report of `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every host.
    pub hosts: Vec<HostReport>,
    /// The authorities behind the hosts.
    pub authorities: Vec<AuthorityReport>,
    /// Every finding once, however many hosts have it; the worst first.
    pub findings: Vec<Finding>,
    /// The expiry dates, if they were requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
    /// The namespace of the report; `None` for all.
    #[serde(skip)]
    pub namespace: Option<String>,
}

impl Report {
    /// Collects the findings of all hosts, each once, and those that belong to no host.
    pub(super) fn new(hosts: Vec<HostReport>, others: Vec<Finding>) -> Self {
        let mut findings: Vec<Finding> = Vec::new();
        for host in &hosts {
            let of_host = host.links.iter().flat_map(|link| link.findings.clone());
            for finding in Finding::nest(of_host.collect()) {
                let known = findings.iter_mut().find(|known| known.is_same_as(&finding));
                match known {
                    Some(known) => {
                        known.hosts.push(host.host.clone());
                        known.merge(finding);
                    }
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

    /// Keeps the findings that `other`, a report on the same facts by another clock, has too; the rest become consequences of `skew`.
    pub(super) fn agree_with(&mut self, other: &Self, mut skew: Finding) {
        let found = std::mem::take(&mut self.findings);
        (self.findings, skew.consequences) = clock::agreed(found, &other.findings);
        self.findings.push(skew);
        self.findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        for (host, other) in self.hosts.iter_mut().zip(&other.hosts) {
            for (link, other) in host.links.iter_mut().zip(&other.links) {
                link.mark = link.mark.min(other.mark);
            }
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

    /// Leaves out findings below this severity; failed checks stay.
    pub fn at_least(&mut self, severity: Severity) {
        self.findings.retain(|finding| {
            let mut all = std::iter::once(finding).chain(&finding.consequences);
            all.any(|one| one.severity >= severity || one.severity == Severity::Unknown)
        });
    }

    /// Whether there is no finding that needs attention; failed checks count unless they are to be ignored.
    pub fn is_healthy(&self, ignore_unknown: bool) -> bool {
        self.pressing(ignore_unknown).next().is_none()
    }

    /// The findings that need attention.
    pub fn pressing(&self, ignore_unknown: bool) -> impl Iterator<Item = &Finding> {
        let needs_attention = move |finding: &&Finding| match finding.severity {
            Severity::Note => false,
            Severity::Unknown => !ignore_unknown,
            Severity::Warning | Severity::Error => true,
        };
        self.findings.iter().filter(needs_attention)
    }
}
