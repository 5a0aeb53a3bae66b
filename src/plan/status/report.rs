//! What `status` found.

use serde::Serialize;
use time::OffsetDateTime;

use crate::pki::inspect::Certificate;

use crate::plan::check::{Check, Finding, Severity};
use crate::resources::rotation::Phase;

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

    /// Adds what was found of the same link at the proxies of another namespace.
    pub(super) fn join(&mut self, other: Self) {
        self.mark = self.mark.max(other.mark);
        let is_new = |detail: &String| !self.details.contains(detail);
        let details: Vec<String> = other.details.into_iter().filter(is_new).collect();
        self.details.extend(details);
        self.extend(other.findings);
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

/// One authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityReport {
    /// Its name.
    pub name: String,
    /// Where a rotation of its CA stands.
    pub phase: Phase,
    /// The command that goes on with the rotation.
    pub next: Option<String>,
    /// The CAs in its trust bundle, the newest first, external ones last.
    pub cas: Vec<CaReport>,
    /// Its clients; `None` where the inventory was not read.
    pub clients: Option<ClientsReport>,
    /// What was done to it, the oldest first.
    pub history: Vec<HistoryReport>,
}

/// What a CA is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It issues.
    Issuing,
    /// It is to issue next.
    New,
    /// Its clients are still accepted.
    Retired,
    /// This plugin does not hold its key.
    External,
}

/// One CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaReport {
    /// The first eight hexadecimal digits of its fingerprint.
    pub id: String,
    /// SHA-256, lower-case hexadecimal.
    pub fingerprint: String,
    /// RFC 4514.
    pub subject: String,
    /// What it is for.
    pub role: Role,
    /// Its end, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// Its live certificates; `None` where the inventory was not read, and for external CAs.
    pub clients: Option<usize>,
    /// Its revocation list, once there is one.
    pub crl: Option<CrlReport>,
}

/// One revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CrlReport {
    /// RFC 5280, 5.2.3.
    pub number: Option<u64>,
    /// When the next one is due, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_update: Option<OffsetDateTime>,
    /// How many certificates it revokes.
    pub revoked: usize,
}

/// The clients of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientsReport {
    /// Live certificates: neither expired, revoked nor void.
    pub live: usize,
    /// Those of them that were reserved, and perhaps never delivered.
    pub reserved: usize,
    /// Revoked certificates that would be valid otherwise.
    pub revoked: usize,
    /// When the first live certificate ends, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub first_end: Option<OffsetDateTime>,
    /// When each client's last live certificate ends, the first end first. A certificate that a renewal replaced does not count.
    #[serde(skip)]
    pub ends: Vec<ClientEnd>,
}

/// When a client needs a new certificate at the latest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientEnd {
    /// The end of the last live certificate, UTC.
    pub at: OffsetDateTime,
    /// The client.
    pub name: String,
}

/// One line of an authority's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryReport {
    /// RFC 3339, UTC; empty where the line cannot be read.
    pub time: String,
    /// Who did it, as the API server knows them.
    pub user: String,
    /// What they did.
    pub action: String,
}

/// What ends when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// When it was looked at, by the cluster's clock, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub now: OffsetDateTime,
    /// Everything that is one of its kind, the first end first.
    pub ends: Vec<End>,
    /// The weeks in which clients' certificates end.
    pub clients: Vec<Week>,
}

/// One thing that ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct End {
    /// UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `server certificate`, `client CA` or `revocation list`.
    pub kind: &'static str,
    /// Which one.
    pub name: String,
}

/// The certificates that end within the seven days from a date on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Week {
    /// The first moment of the week, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// How many certificates end in it that are live now.
    pub count: usize,
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
