//! The report of `revoke-client`.

use serde::Serialize;
use time::OffsetDateTime;

use super::shared::is_zero;
use super::{Case, Stand, Which};
use crate::pki::crl::{Crl, Reason, succession};
use crate::pki::when;
use crate::plan::authority::follower;
use crate::plan::{DryRun, Observed, commit, probe, revocations};
use crate::resources::authority::AuthorityState;
use crate::resources::capacity;
use crate::resources::ingress::IngressGateway;
use crate::resources::names::INGRESS_SERVICE;

/// The outcome of `revoke-client`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The authority.
    pub authority: String,
    /// The time of the report.
    #[serde(skip)]
    pub at: OffsetDateTime,
    /// The result for each certificate.
    pub certificates: Vec<Revoked>,
    /// The current revocation lists; empty in a dry run.
    pub lists: Vec<List>,
    /// The gateways that reject the revoked certificates.
    pub seen: Vec<Shown>,
    /// The command that closes open connections; `None` if no gateway reads the lists.
    pub restart: Option<String>,
    /// Inventory entries that cannot be read, each with the reason and what to do: they may belong to live certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// The clients that the user named and that have a damaged entry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_revoked: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// Whether the run was a dry run.
    pub dry_run: bool,
}

/// The result for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// The certificate is revoked by this run, or would be.
    Revoked,
    /// The certificate was revoked before.
    AlreadyRevoked,
    /// The certificate has expired: gateways reject it anyway.
    Expired,
    /// The certificate's CA is no longer trusted: gateways reject it anyway.
    CaDropped,
}

/// One certificate to revoke.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// The client's name; the subject of a certificate that the inventory does not hold.
    pub name: String,
    /// The serial number, lower-case hex.
    pub serial: String,
    /// The issuing CA, by its hex SKI.
    pub issuer_ski: String,
    /// End of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The result for this certificate.
    pub fate: Fate,
    /// When the certificate was revoked, UTC; `None` in a dry run, and if it did not have to be.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// The reason of the revocation.
    pub reason: Option<Reason>,
}

/// The revocation list of one CA.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// The subject of the CA, RFC 4514.
    pub ca: String,
    /// The CRL number, which grows with every list.
    pub number: Option<u64>,
    /// Number of entries, including canaries.
    pub entries: usize,
}

/// How it was seen that a Gateway rejects the revoked certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Handshakes with a revoked certificate were rejected.
    Handshakes,
    /// Each proxy has loaded exactly the lists that are in the cluster, by its own configuration.
    LoadedLists,
}

/// A Gateway that was probed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// `namespace/name`.
    pub gateway: String,
    /// The Gateway's proxies.
    #[serde(skip)]
    pub ingress: IngressGateway,
    /// The host of the handshakes.
    pub host: String,
    /// How it was seen that the revoked certificates are rejected.
    pub evidence: Evidence,
    /// The Pods or addresses that were probed, or asked.
    pub through: Vec<String>,
    /// Why replicas could not be probed one by one.
    pub replicas_unknown: Option<String>,
}

/// The command that restarts the proxies of an ingress gateway, which ends every open connection.
fn restart(ingress: &IngressGateway) -> String {
    let deployment = if ingress.is_default() {
        INGRESS_SERVICE.to_owned()
    } else {
        format!("-l {}", ingress.labels())
    };
    let restart =
        |namespace| format!("kubectl -n {namespace} rollout restart deployment {deployment}");
    ingress
        .namespaces()
        .map(restart)
        .collect::<Vec<_>>()
        .join(" && ")
}

impl Case<'_> {
    pub(super) fn report(
        &self,
        seen: Vec<Shown>,
        observed: &Observed,
        now: OffsetDateTime,
    ) -> Report {
        let state = &self.found.state;
        let before = self.before(observed);
        let dry_run = self.request.dry_run != DryRun::None;
        let certificates = self
            .each()
            .map(|(target, stand)| {
                let is_old = || {
                    let before = before.as_ref();
                    before.is_none_or(|(state, crls)| {
                        revocations::find(state, crls, &target.issuer, &target.serial).is_some()
                    })
                };
                let (fate, listed) = match stand {
                    Stand::Open => (Fate::Revoked, None),
                    Stand::Listed(entry) if is_old() => (Fate::AlreadyRevoked, Some(*entry)),
                    Stand::Listed(entry) => (Fate::Revoked, Some(*entry)),
                    Stand::Expired => (Fate::Expired, None),
                    Stand::Dropped => (Fate::CaDropped, None),
                };
                Revoked {
                    name: target.name.clone(),
                    serial: target.serial.to_string(),
                    issuer_ski: target.issuer.clone(),
                    not_after: target.not_after,
                    fate,
                    revoked_at: listed.map(|entry| entry.at),
                    reason: listed.map(|entry| entry.reason),
                }
            })
            .collect();
        let crls = commit::crls(state).unwrap_or_default();
        let lists = state.trusted.iter().filter_map(|ca| {
            let crl = succession::newest(ca, &crls)?;
            Some(List {
                ca: ca.subject().to_owned(),
                number: crl.number(),
                entries: crl.revoked().len(),
            })
        });
        let restart = seen.first().map(|shown| restart(&shown.ingress));
        Report {
            authority: state.authority.clone(),
            at: now,
            certificates,
            lists: lists.filter(|_| !dry_run).collect(),
            restart,
            unreadable: self.damaged.told(),
            not_revoked: self.damaged.named().map(ToString::to_string).collect(),
            notes: self.notes(&seen, observed, now),
            seen,
            dry_run,
        }
    }

    /// The state before this run changed it, with its lists; `None` if it did not change.
    fn before(&self, observed: &Observed) -> Option<(AuthorityState, Vec<Crl>)> {
        let name = self.found.object.reference();
        let first = observed
            .changes()
            .iter()
            .find(|change| &change.object == name)?;
        let state = AuthorityState::read(first.before()?).ok()?;
        let crls = commit::crls(&state).ok()?;
        Some((state, crls))
    }

    fn notes(&self, seen: &[Shown], observed: &Observed, now: OffsetDateTime) -> Vec<String> {
        let state = &self.found.state;
        let mut notes = Vec::new();
        if let (Which::Superseded(age), []) = (&self.request.which, self.targets) {
            notes.push(format!(
                "no certificate was renewed at least {} ago; choose a shorter time with `--older-than`",
                when::span(*age)
            ));
        }
        let is_meant = |serial: &str| {
            self.targets
                .iter()
                .any(|target| target.serial.to_string() == serial)
        };
        let is_trusted = |ski: &str| state.trusted.iter().any(|ca| ca.key_id_hex() == ski);
        let is_left = self.entries.iter().any(|entry| {
            entry.is_live(now) && is_trusted(&entry.issuer_ski) && !is_meant(&entry.serial)
        });
        if !is_left {
            notes.push(
                "no client of this authority has a valid certificate; `kubectl mtls issue-client NAME` issues one"
                    .to_owned(),
            );
        }
        let zero = self.targets.iter().filter(|target| is_zero(target));
        notes.extend(zero.map(|target| {
            format!(
                "the serial number of `{}` is 0: every other certificate of its CA with that number is revoked with it",
                target.name
            )
        }));
        if self.request.directory.is_none() && self.request.dry_run == DryRun::None {
            if self.found.state.gateway.is_none() && seen.is_empty() {
                notes.push(
                    "no Gateway reads this authority yet: `kubectl mtls expose SERVICE` lets one read it"
                        .to_owned(),
                );
            }
            notes.extend(probe::others_unknown(observed));
            let ingresses = seen.iter().map(|shown| &shown.ingress);
            notes.extend(probe::proxies_unknown(ingresses, observed));
            if seen.iter().any(|at| at.evidence == Evidence::Handshakes) {
                let cas = self.found.published.bundle.certificates().iter();
                let unseen = cas.filter(|ca| !revocations::has_canaries(ca, observed, now));
                notes.extend(unseen.map(|ca| {
                    format!(
                        "the revocation list of the CA `{}` was not verified at the gateway: that CA ends within seconds",
                        ca.subject()
                    )
                }));
            }
            let unknown = seen.iter().find_map(|at| at.replicas_unknown.as_deref());
            notes.extend(unknown.map(|reason| {
                format!("the gateway's replicas were not checked one by one: {reason}")
            }));
            notes.extend(follower(state).map(|secret| {
                format!(
                    "a Gateway reads {secret} in the place of the authority: `kubectl mtls expose SERVICE --fail-closed` moves this Gateway to the authority"
                )
            }));
        }
        let taken = capacity::taken(self.found.object);
        if self.request.directory.is_none() && taken >= capacity::NEARLY_FULL {
            notes.push(format!(
                "the authority's state takes {taken} % of what a ConfigMap can hold: `kubectl mtls ca-rotate` starts a CA with an empty list"
            ));
        }
        notes
    }
}
