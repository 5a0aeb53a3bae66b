//! The report of `unexpose`.

use serde::Serialize;

use super::extent::Extent;
use super::{Request, release, try_live, users};
use crate::plan::probe::kubernetes_gateways;
use crate::plan::{Action, Observed, Query, Reconciled, Seen};
use crate::resources::names::{
    AUTHORITY_LABEL, AUTHORITY_NAMESPACE, CLIENTS_NAMESPACE, CredentialNames,
};
use crate::resources::unexposure::Kept;
use crate::resources::{Kind, Object, ObjectRef, sample};

/// The outcome of `unexpose`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The objects that were deleted, or would be, in order.
    pub deleted: Vec<Deleted>,
    /// The objects that a purge kept because somebody else needs them.
    pub kept: Vec<Kept>,
    /// The objects that a purge never deletes.
    pub stays: Vec<Stays>,
    /// Whether the run was a dry run.
    pub dry_run: bool,
    /// Notes for the user.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// One deleted object.
#[derive(Debug, Serialize)]
pub struct Deleted {
    /// `kind.group/name`, as kubectl prints it.
    pub object: String,
    /// The object's namespace.
    pub namespace: String,
}

/// An object that is kept, and how to delete it.
#[derive(Debug, Serialize)]
pub struct Stays {
    /// The object's description.
    pub what: String,
    /// The command that deletes the object.
    pub remove: String,
}

impl Report {
    /// The report of a run that finds nothing to delete.
    pub(super) fn of_nothing(request: &Request) -> Self {
        Self {
            deleted: Vec::new(),
            kept: Vec::new(),
            stays: Vec::new(),
            dry_run: request.dry_run,
            notes: Vec::new(),
        }
    }

    /// The report with further notes.
    pub(super) fn with_notes(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }
}

pub(super) fn done(
    request: &Request,
    observed: &Observed,
    doomed: &[ObjectRef],
    extent: &Extent,
) -> Reconciled<Report> {
    let mut deleted = Vec::new();
    let mut kept = extent.kept.clone();
    for object in doomed {
        let was_deleted = observed
            .change_of(object)
            .is_some_and(|written| written.action == Action::Deleted);
        let stands = try_live(observed, object)?.found().is_some();
        if was_deleted || (request.dry_run && stands) {
            deleted.push(Deleted {
                object: format!("{}/{}", object.kind.singular_resource(), object.name),
                namespace: object.namespace.clone(),
            });
        }
        if stands && object.kind != Kind::Gateway {
            let user = users::still_needed(request, extent, object, observed)?;
            kept.extend(user.map(|reason| Kept::new(object, reason)));
        }
    }
    Ok(Report {
        deleted,
        kept,
        stays: stays(request, extent, observed)?,
        dry_run: request.dry_run,
        notes: release::why_kept(request, extent, observed)
            .into_iter()
            .collect(),
    })
}

fn stays(request: &Request, extent: &Extent, observed: &Observed) -> Reconciled<Vec<Stays>> {
    let Some(authority) = extent.authority.as_ref().filter(|_| request.purge) else {
        return Ok(Vec::new());
    };
    let state = CredentialNames::of_authority(authority).state();
    let sample = ObjectRef::new(Kind::Service, &request.namespace, sample::NAME);
    let is_sample = request.service == sample::NAME;
    observed.prefetch([Query::Get(state.clone()), kubernetes_gateways()])?;
    if is_sample {
        observed.prefetch([Query::Get(sample.clone())])?;
    }
    let mut stays = Vec::new();
    let is_needed = |object: &Object| {
        let mut gateway = extent.gateway.iter();
        gateway.any(|gateway| release::is_needed(gateway, object, observed))
    };
    let seen = observed.try_get(&state)?;
    if !matches!(seen, Seen::Missing) && !seen.found().is_some_and(|state| is_needed(state)) {
        let selector = format!("-l {AUTHORITY_LABEL}={authority}");
        stays.push(Stays {
            what: format!("the authority `{authority}` with its CA keys"),
            remove: format!(
                "kubectl -n {AUTHORITY_NAMESPACE} delete configmaps,secrets {selector}"
            ),
        });
        stays.push(Stays {
            what: "the inventory of its clients".to_owned(),
            remove: format!("kubectl -n {CLIENTS_NAMESPACE} delete configmaps {selector}"),
        });
    }
    if is_sample
        && let Some(made) = observed.try_get(&sample)?.found().copied()
        && made.is_ours()
    {
        stays.push(Stays {
            what: format!("the sample `{}/{}`", request.namespace, sample::NAME),
            remove: format!(
                "kubectl -n {} delete deployment,service,serviceaccount {}",
                request.namespace,
                sample::NAME
            ),
        });
    }
    Ok(stays)
}
