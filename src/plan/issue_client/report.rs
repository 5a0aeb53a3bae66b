//! The report of `issue-client`.

use time::OffsetDateTime;

use super::standing::Standing;
use super::trust::Admission;
use super::{Issuer, Place, Request};
use crate::pki::inspect::Certificate;
use crate::plan::authority::ends_soon;
use crate::plan::{Observed, Query, Seen};
use crate::resources::Kind;
use crate::resources::api_rule::ApiRule;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::names::{AUTHORITY_NAMESPACE, GatewayName};

/// The outcome of `issue-client`.
#[derive(Debug)]
pub struct Report {
    /// The inventory entry.
    pub entry: Entry,
    /// The subject, RFC 4514.
    pub subject: String,
    /// SHA-256 of the certificate, lower-case hex.
    pub fingerprint: String,
    /// Whether only an interrupted run was completed.
    pub completed: bool,
    /// Whether an earlier run had delivered the certificate and recorded it as issued.
    pub before: bool,
    /// What the certificate of an earlier run has otherwise than it is asked for now, in the words of a table's columns.
    pub differs: Vec<String>,
    /// The serial numbers that earlier runs reserved for the name and never delivered.
    pub lost: Vec<String>,
    /// The note on a certificate that ends with its CA, before the requested time.
    pub cut_short: Option<String>,
    /// The note on a check of the certificate's URIs that was not made.
    pub unchecked: Option<String>,
    /// A host that accepts the certificate, if one was seen.
    pub host: Option<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// The query for a host that accepts the authority's clients: the routes in the namespace of its
/// Gateway.
pub(super) fn routes(state: &AuthorityState) -> Option<(GatewayName, Query)> {
    let gateway: GatewayName = state.gateway.as_deref()?.parse().ok()?;
    let routes = Query::within(Kind::ApiRule, &gateway.namespace);
    Some((gateway, routes))
}

impl Report {
    /// The sentence on what is asked for now, and the certificate of an earlier run does not have.
    pub fn difference(&self) -> Option<String> {
        (!self.differs.is_empty()).then(|| {
            format!(
                "the certificate of `{}` stays as it is, and something else is asked for now: {}",
                self.entry.name,
                self.differs.join(", ")
            )
        })
    }
}

pub(super) fn report(
    entry: Entry,
    certificate: &Certificate,
    request: &Request,
    observed: &Observed,
) -> Report {
    let lost = lost(&entry, request, observed);
    let note = (!lost.is_empty()).then(|| {
        format!(
            "a certificate was reserved before and never delivered, so nobody has its key: serial {}",
            lost.join(", ")
        )
    });
    Report {
        subject: certificate.subject().to_owned(),
        fingerprint: certificate.fingerprint(),
        completed: false,
        before: false,
        differs: Vec::new(),
        entry,
        cut_short: None,
        unchecked: None,
        host: None,
        notes: note.into_iter().collect(),
        lost,
    }
}

/// How many entries before the one of this run are looked at.
const LOOKED_BACK: u32 = 1000;

/// The serial numbers that earlier runs reserved for the name and did not deliver, as far as the entries were read.
fn lost(entry: &Entry, request: &Request, observed: &Observed) -> Vec<String> {
    let first = entry.number.saturating_sub(LOOKED_BACK).max(1);
    let names = (first..entry.number).map(|number| request.numbers().reference(number));
    names
        .filter_map(|name| Entry::read(observed.already_read(&name)?.found()?).ok())
        .filter(|earlier| earlier.state == EntryState::Reserved)
        .map(|earlier| earlier.serial)
        .collect()
}

/// A host that accepts the certificates, and notes for all of them.
pub(super) fn surroundings(
    standing: &Standing,
    issuer: &Issuer,
    observed: &Observed,
    now: OffsetDateTime,
) -> (Option<String>, Vec<String>) {
    let mut notes = Vec::new();
    if standing.was_made_here(observed) {
        notes.push(match &issuer.place {
            Place::Cluster => format!(
                "made the authority `{}`: its keys and state are in the namespace `{AUTHORITY_NAMESPACE}`",
                standing.state.authority
            ),
            Place::Directory(path) => format!("made a CA in `{path}`"),
        });
    }
    if let Admission::Told(note) = &standing.admission {
        notes.push(note.clone());
    }
    notes.extend(standing.damages.iter().cloned());
    notes.extend(standing.unchecked.iter().cloned());
    let ending = standing
        .state
        .issuing_ca()
        .and_then(|ca| ends_soon(ca, now));
    notes.extend(ending.map(|says| match &issuer.place {
        Place::Cluster => format!("{says}: `kubectl mtls ca-rotate` replaces it"),
        Place::Directory(_) => format!("{says}: start a new folder with a new CA in time"),
    }));
    let host = match &issuer.place {
        Place::Directory(_) => None,
        Place::Cluster => host(&standing.state, observed)
            .map_err(|note| notes.push(note))
            .ok(),
    };
    (host, notes)
}

/// A host of the authority's Gateway, or a note on why there is none.
fn host(state: &AuthorityState, observed: &Observed) -> Result<String, String> {
    let Some((gateway, routes)) = routes(state) else {
        return Err(
            "no Gateway accepts this authority's clients yet; create one: kubectl mtls expose SERVICE"
                .to_owned(),
        );
    };
    // The certificate is delivered: no further read may fail it.
    let listed = observed.already_listed(&routes);
    let Some(Seen::Found(rules)) = listed else {
        let reason = match listed {
            Some(seen) => seen.unknown().unwrap_or_default(),
            None => "the list was not read".to_owned(),
        };
        return Err(format!(
            "no host is named here, because the APIRules of `{}` were not read: {reason}",
            gateway.namespace
        ));
    };
    let mut hosts = rules
        .iter()
        .filter_map(|object| ApiRule::read(object).ok())
        .filter(|rule| rule.gateway == gateway.to_string())
        .flat_map(|rule| rule.hosts);
    hosts.next().ok_or_else(|| {
        format!(
            "no APIRule in `{}` uses the Gateway `{gateway}`: `kubectl mtls status` shows its hosts in all namespaces",
            gateway.namespace
        )
    })
}
