//! The report of `expose`.

mod notes;

use notes::notes;
pub(super) use notes::warnings;
use serde::Serialize;
use time::OffsetDateTime;

use super::Plan;
use super::connection_reuse;
use super::dns_record::{Dns, Resolution};
use super::existing::Existing;
use super::moving;
use super::pending::Pending;
use super::waiting::Looked;
use super::wanted::{Wanted, live};
use crate::pki::inspect::Certificate;
use crate::plan::command_line;
use crate::plan::weakness;
use crate::plan::{Action, Observed, Write};
use crate::resources::difference::differences;
use crate::resources::guard::Clients;
use crate::resources::ingress::IngressGateway;
use crate::resources::names::FIRST_AUTHORITY;
use crate::resources::server_secret::holds_key;
use crate::resources::{Object, client_ca};

/// The outcome of `expose`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The host that clients use.
    pub host: String,
    /// The Gateway as `namespace/name`.
    pub gateway: String,
    /// The authority that issues clients; `None` if only external CAs are trusted.
    pub authority: Option<String>,
    /// The object with the client CA, as `caCertCredentialName` names it.
    pub client_ca: String,
    /// The DNS record of the host, if this plugin writes one.
    pub record: Option<DnsRecord>,
    /// The only identities that may call the host; `None` if every client may.
    pub allowed: Option<Vec<String>>,
    /// Identities that may call the host from now on.
    pub allowed_added: Vec<String>,
    /// Identities that may no longer call the host.
    pub allowed_removed: Vec<String>,
    /// Whether a guard denies requests that bypass the mutual-TLS server.
    pub guarded: bool,
    /// The CAs whose clients are accepted.
    pub trusted: Vec<TrustedCa>,
    /// Whether a client CA would be created, which a dry run cannot show.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub new_client_ca: bool,
    /// What was, or would be, done to each object.
    pub changes: Vec<Change>,
    /// The objects that were not ready at the end of a run with `--no-wait`: object, state, and the controller's message.
    pub pending: Vec<String>,
    /// The result of probing the gateway; `None` in a dry run and with `--no-wait`.
    pub looked: Option<Looked>,
    /// The CA of kubectl-mtls that signed the server certificate, PEM; `None` if another CA signed it.
    pub server_ca: Option<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// Whether the run was a dry run.
    pub dry_run: bool,
    /// All manifests in apply order, without the authority's own objects and key pairs.
    #[serde(skip)]
    pub objects: Vec<Object>,
}

/// A DNS record.
#[derive(Debug, Serialize)]
pub struct DnsRecord {
    /// The name of the record, a wildcard or exact.
    pub name: String,
    /// The targets of the record.
    pub targets: Vec<String>,
    /// Whether the host resolves to these targets.
    pub resolves: bool,
}

impl Report {
    /// Adds the host's DNS record, and the DNS answer, if it was read.
    pub(super) fn with_dns(mut self, dns: &Dns, resolution: Option<Resolution>) -> Self {
        let resolution = resolution.unwrap_or_default();
        if let Some(record) = &dns.record {
            self.record = Some(DnsRecord {
                name: record.object.text(&["spec", "dnsName"]).to_owned(),
                targets: record.targets.clone(),
                resolves: resolution.resolves,
            });
            let unseen = record.provider_unseen.as_ref();
            self.notes.extend(unseen.map(|reason| {
                format!("DNSProviders could not be read, so whether one manages the domain is not known: {reason}")
            }));
        }
        self.notes.extend(dns.notes.iter().cloned());
        self.notes.extend(resolution.note);
        self
    }
}

impl Report {
    /// Adds a note for the user.
    pub(super) fn with_note(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }

    /// Adds the pending objects of a run with `--no-wait`.
    pub(super) fn unwaited(mut self, pending: &[Pending]) -> Self {
        self.pending = pending.iter().map(Pending::line).collect();
        self
    }
}

/// One CA that the gateway trusts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedCa {
    /// The subject, RFC 4514.
    pub subject: String,
    /// SHA-256 fingerprint, lower-case hex.
    pub fingerprint: String,
    /// End of validity, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// Whether the authority holds the CA's key; else the CA is external.
    pub own: bool,
}

/// What was done to one object.
#[derive(Debug, Serialize)]
pub struct Change {
    /// `kind.group/name`, as kubectl prints it.
    pub object: String,
    /// The object's namespace; empty if it is cluster-scoped.
    pub namespace: String,
    /// `created`, `configured`, `unchanged`.
    pub action: &'static str,
    /// In a dry run, the changes to the existing object: one line `path: before -> after` each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// The report of a dry run.
pub(super) fn planned(plan: &Plan<'_>, wanted: &[Wanted], observed: &Observed) -> Report {
    let changes = wanted
        .iter()
        .map(|wanted| Change {
            fields: changed_fields(plan, wanted, observed),
            ..change(&wanted.object, action(wanted))
        })
        .collect();
    let mut report = report(plan, wanted, changes, None, observed);
    report.dry_run = true;
    report.notes.extend(warnings(plan));
    report
}

fn changed_fields(plan: &Plan<'_>, wanted: &Wanted, observed: &Observed) -> Vec<String> {
    let Some(write @ (Write::Apply(_) | Write::TakeOver(_) | Write::Replace(_))) = &wanted.write
    else {
        return Vec::new();
    };
    let reference = wanted.object.reference();
    live(plan, reference, observed)
        .map(|live| differences(write.object(), live))
        .unwrap_or_default()
}

fn action(wanted: &Wanted) -> &'static str {
    match (&wanted.write, wanted.exists) {
        (None, _) => "unchanged",
        (Some(Write::Delete(_)), _) => "deleted",
        (Some(_), true) => "configured",
        (Some(_), false) => "created",
    }
}

/// The report of a run that has written and probed.
pub(super) fn done(
    plan: &Plan<'_>,
    wanted: &[Wanted],
    looked: Option<Looked>,
    observed: &Observed,
) -> Report {
    let written = observed.changes().iter().map(|written| {
        let action = match written.action {
            Action::Created => "created",
            Action::Configured => "configured",
            Action::Deleted => "deleted",
        };
        change(&Object::new(written.object.clone()), action)
    });
    let is_unwritten = |wanted: &&Wanted| observed.change_of(wanted.object.reference()).is_none();
    let unchanged = wanted
        .iter()
        .filter(is_unwritten)
        .map(|wanted| change(&wanted.object, "unchanged"));
    let changes = written.chain(unchanged).collect();
    report(plan, wanted, changes, looked, observed)
}

fn change(object: &Object, action: &'static str) -> Change {
    let reference = object.reference();
    Change {
        object: format!("{}/{}", reference.kind.singular_resource(), reference.name),
        namespace: reference.namespace.clone(),
        action,
        fields: Vec::new(),
    }
}

fn report(
    plan: &Plan<'_>,
    wanted: &[Wanted],
    changes: Vec<Change>,
    looked: Option<Looked>,
    observed: &Observed,
) -> Report {
    let Plan {
        target,
        trust,
        guards,
        ..
    } = plan;
    let is_own = |fingerprint: &str| {
        trust
            .state
            .as_ref()
            .is_some_and(|state| state.knows(fingerprint))
    };
    let trusted = trust
        .client_ca
        .bundle
        .certificates()
        .iter()
        .map(|ca| TrustedCa {
            subject: ca.subject().to_owned(),
            fingerprint: ca.fingerprint(),
            not_after: ca.not_after(),
            own: is_own(&ca.fingerprint()),
        })
        .filter(|_| !trust.is_placeholder);
    Report {
        host: target.host.clone(),
        gateway: target.gateway.to_string(),
        authority: trust.state.as_ref().map(|state| state.authority.clone()),
        client_ca: client_ca::field(&trust.source.object),
        trusted: trusted.collect(),
        new_client_ca: trust.is_placeholder,
        changes,
        dry_run: false,
        pending: Vec::new(),
        notes: notes(plan, wanted, looked.as_ref(), observed),
        looked,
        record: None,
        allowed: guards
            .clients
            .as_ref()
            .and_then(Clients::listed)
            .map(|listed| listed.iter().cloned().collect()),
        allowed_added: guards.added.clone(),
        allowed_removed: guards.removed.clone(),
        guarded: guards.clients.is_some(),
        server_ca: plan.server.ca.as_ref().map(Certificate::pem),
        objects: wanted
            .iter()
            .filter(|wanted| !matches!(wanted.write, Some(Write::Delete(_))))
            .map(|wanted| wanted.object.clone())
            .filter(|object| !holds_key(object) && !is_kept_here(plan, object))
            .collect(),
    }
}

/// Whether an object belongs to the authority: only this plugin changes it, and a placeholder must not be applied.
fn is_kept_here(plan: &Plan<'_>, object: &Object) -> bool {
    let authority = plan.trust.authority.as_ref();
    authority.is_some_and(|authority| {
        (authority.exists || plan.trust.is_placeholder)
            && authority.object.reference() == object.reference()
    })
}
