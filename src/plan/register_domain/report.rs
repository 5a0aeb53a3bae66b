//! The report of `register-domain`.

use serde::Serialize;

use super::{Request, Source};
use crate::plan::expose::{Change, Wanted};
use crate::plan::{Action, DryRun, Observed, Write};
use crate::resources::dns_provider::DnsProvider;
use crate::resources::{Kind, Object};

/// The outcome of `register-domain`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The domain.
    pub domain: String,
    /// The DNSProvider as `namespace/name`.
    pub provider: String,
    /// The type of account.
    pub account: String,
    /// The Secret as `namespace/name`.
    pub secret: String,
    /// The provider's state; none in a dry run.
    pub state: Option<String>,
    /// The controller's message about the provider.
    pub message: Option<String>,
    /// The domains that the provider found in the account.
    pub domains: Vec<String>,
    /// What was, or would be, done to each object.
    pub changes: Vec<Change>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// Whether the run was a dry run.
    pub dry_run: bool,
    /// The manifests in apply order; those of Secrets without values.
    #[serde(skip)]
    pub objects: Vec<Object>,
}

pub(super) fn planned(request: &Request, wanted: &[Wanted]) -> Report {
    let changes = wanted.iter().map(|wanted| {
        let action = match (&wanted.write, wanted.exists) {
            (None, _) => "unchanged",
            (Some(_), true) => "configured",
            (Some(_), false) => "created",
        };
        change(&wanted.object, action)
    });
    report(request, wanted, changes.collect())
}

pub(super) fn done(
    request: &Request,
    wanted: &[Wanted],
    provider: &DnsProvider,
    observed: &Observed,
) -> Report {
    let changes = wanted.iter().map(|wanted| {
        let written = observed.change_of(wanted.object.reference());
        let action = match written.map(|written| written.action) {
            None => "unchanged",
            Some(Action::Created) => "created",
            Some(Action::Configured) => "configured",
            Some(Action::Deleted) => "deleted",
        };
        change(&wanted.object, action)
    });
    let mut report = report(request, wanted, changes.collect());
    report.state = Some(provider.progress.state.clone());
    report.message = Some(provider.progress.message.clone()).filter(|message| !message.is_empty());
    report.domains.clone_from(&provider.domains);
    if had_only_its_secret_changed(request, observed) {
        report.notes.push(
            "the provider was Ready before; its status does not show whether its controller has tried the new credentials"
                .to_owned(),
        );
    }
    report
}

/// Whether only the Secret was changed: the DNSProvider's status refers to its own generation,
/// which a changed Secret does not raise.
fn had_only_its_secret_changed(request: &Request, observed: &Observed) -> bool {
    let changed = observed.change_of(&request.secret());
    changed.is_some_and(|written| written.action == Action::Configured)
        && observed.change_of(&request.provider()).is_none()
}

fn report(request: &Request, wanted: &[Wanted], changes: Vec<Change>) -> Report {
    let secret = request.secret();
    Report {
        domain: request.domain.to_string(),
        provider: format!("{}/{}", request.namespace, request.name),
        account: request.account.name.to_owned(),
        secret: format!("{}/{}", secret.namespace, secret.name),
        state: None,
        message: None,
        domains: Vec::new(),
        changes,
        notes: unprinted(request, wanted).into_iter().collect(),
        dry_run: request.dry_run != DryRun::None,
        objects: wanted
            .iter()
            .map(|wanted| printable(&wanted.object))
            .collect(),
    }
}

/// A Secret's manifest without its values, because it may be written to files and logs.
fn printable(object: &Object) -> Object {
    if object.reference().kind != Kind::Secret {
        return object.clone();
    }
    let mut body = object.body().clone();
    if let Some(fields) = body.as_object_mut() {
        fields.shift_remove("data");
    }
    Object::from_server(Kind::Secret, body)
        .unwrap_or_else(|| Object::new(object.reference().clone()))
}

fn unprinted(request: &Request, wanted: &[Wanted]) -> Option<String> {
    let is_ours = !matches!(request.source, Source::Secret(_));
    let writes = wanted
        .iter()
        .any(|wanted| matches!(wanted.write, Some(Write::Create(_) | Write::Replace(_))));
    (is_ours && writes && request.dry_run != DryRun::None).then(|| {
        format!(
            "a dry run shows the manifest of the Secret `{}` without its values; only a run without `--dry-run` writes them",
            request.secret().name
        )
    })
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
