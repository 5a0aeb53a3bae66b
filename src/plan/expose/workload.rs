//! The workload behind the host: the namespace, and the sample Service if it was requested.

use super::pending::Pending;
use super::wanted::{Wanted, applied};
use super::{Request, get};
use crate::error::Failure;
use crate::plan::{Action, DryRun, Effect, Observed, Query, Reconciled, Seen, Write};
use crate::resources::deployment::Rollout;
use crate::resources::namespace::{Injection, injecting, injection};
use crate::resources::progress::Progress;
use crate::resources::{Object, ObjectRef, Unreadable, sample};

/// The workload to create behind the host.
#[derive(Debug, Clone, Default)]
pub struct WorkloadChoice {
    /// The tutorial's sample Service.
    pub sample: bool,
    /// Create the namespace if it does not exist.
    pub create_namespace: bool,
    /// Set the label by which new Pods in the namespace get a sidecar.
    pub inject: bool,
}

/// The workload's objects to write.
#[derive(Debug, Default)]
pub(super) struct Workload {
    pub wanted: Vec<Wanted>,
    pub notes: Vec<String>,
}

fn namespace(request: &Request) -> ObjectRef {
    ObjectRef::namespace(&request.namespace)
}

pub(super) fn queries(request: &Request) -> Vec<Query> {
    let choice = &request.workload;
    let mut queries = Vec::new();
    if choice.sample || choice.create_namespace || choice.inject {
        queries.push(get(namespace(request)));
    }
    if choice.sample {
        let objects = sample::objects(&request.namespace);
        queries.extend(objects.map(|object| get(object.reference().clone())));
    }
    queries
}

/// Decides on the workload's objects before anything is written.
pub(super) fn desired(request: &Request, observed: &Observed) -> Reconciled<Workload> {
    let mut workload = Workload::default();
    workload.wanted.extend(namespace_wanted(request, observed)?);
    let labelled = workload.wanted.first();
    if labelled.is_some_and(|namespace| is_changed(namespace, observed)) {
        workload.notes.push(format!(
            "Pods of `{}` that run already get their sidecar when they are restarted: `kubectl -n {} rollout restart deployment`",
            request.namespace, request.namespace
        ));
    }
    if request.workload.sample {
        for object in sample::objects(&request.namespace) {
            workload.wanted.push(sample_wanted(object, observed)?);
        }
    }
    Ok(workload)
}

/// Whether an existing object is, or was, changed in this run.
fn is_changed(wanted: &Wanted, observed: &Observed) -> bool {
    let written = observed.change_of(wanted.object.reference());
    let is_configured = written.is_some_and(|written| written.action == Action::Configured);
    is_configured || (wanted.exists && wanted.write.is_some())
}

fn namespace_wanted(request: &Request, observed: &Observed) -> Reconciled<Option<Wanted>> {
    let choice = &request.workload;
    let name = &request.namespace;
    if !(choice.sample || choice.create_namespace || choice.inject) {
        return Ok(None);
    }
    let stated = if choice.inject {
        injecting(name)
    } else {
        Object::new(namespace(request))
    };
    let live = match observed.try_get(stated.reference())? {
        // A namespace that may not be seen is taken to be there, unless it is to be changed.
        Seen::Denied(_) if !choice.inject => return Ok(None),
        _ => observed.get(stated.reference())?,
    };
    let Some(live) = live else {
        if !choice.create_namespace {
            return Err(
                Failure::refused(format!("the namespace `{name}` does not exist"))
                    .hint("`--create-namespace` creates this namespace; `-n` names another one")
                    .into(),
            );
        }
        return Ok(Some(Wanted {
            write: Some(Write::Create(stated.clone())),
            object: stated,
            exists: false,
        }));
    };
    if !choice.inject {
        return Ok(None);
    }
    let write = match injection(live) {
        Injection::On => None,
        Injection::Unsaid => Some(Write::Apply(stated.clone())),
        Injection::Off(value) => {
            return Err(Failure::refused(format!(
                "the namespace `{name}` has the label `istio-injection={value}`"
            ))
            .hint(format!(
                "somebody set this label on purpose; `kubectl label namespace {name} istio-injection=enabled --overwrite` changes it"
            ))
            .into());
        }
    };
    // Where a revision injects, the label beside it would change that.
    let is_stated = write.is_some() || stated.is_contained_in(live);
    Ok(Some(Wanted {
        object: if is_stated {
            stated
        } else {
            Object::new(namespace(request))
        },
        write,
        exists: true,
    }))
}

/// The sample's object. An object with this name that somebody else made is accepted only if it has the same content.
fn sample_wanted(object: Object, observed: &Observed) -> Reconciled<Wanted> {
    let live = observed.get(object.reference())?;
    match live {
        Some(live) if !live.is_ours() && !sample::is_it(live) => Err(Failure::refused(format!(
            "{} exists, and does not belong to the sample",
            object.reference()
        ))
        .hint("leave out `--sample` to expose what is there; `-n` names another namespace")
        .into()),
        live => Ok(applied(object, live, None)),
    }
}

/// Creates the namespace if it is missing, after all checks that need no namespace.
pub(super) fn write_namespace(
    request: &Request,
    workload: &Workload,
    observed: &Observed,
) -> Reconciled<()> {
    let missing = workload
        .wanted
        .iter()
        .find_map(|wanted| match &wanted.write {
            Some(write @ Write::Create(_)) if request.dry_run == DryRun::None => Some(write),
            _ => None,
        });
    match missing {
        Some(write) if observed.change_of(write.object().reference()).is_none() => {
            Err(Effect::Write(write.clone()).into())
        }
        _ => Ok(()),
    }
}

/// The sample's Deployment, until its Pods run.
pub(super) fn pending(live: &Object) -> Result<Option<Pending>, Unreadable> {
    let rollout = Rollout::read(live)?;
    let progress = Progress {
        state: rollout.state(),
        message: rollout.message.clone(),
        is_current: true,
    };
    Ok((!rollout.is_ready()).then(|| Pending::of(live, progress)))
}
