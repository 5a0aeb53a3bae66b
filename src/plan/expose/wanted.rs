//! One object to write: its difference from the live one, its ownership, and the write.

use super::Plan;
use super::ownership::{self, From};
use crate::error::Failure;
use crate::plan::{DryRun, Effect, Observed, Reconciled, Seen, ServerDryRun, Write};
use crate::resources::server_secret::holds_key;
use crate::resources::{Object, ObjectRef};

/// One object to write.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The target state; other managers may own further fields.
    pub object: Object,
    /// The write that is needed, if any.
    pub write: Option<Write>,
    /// Whether the object exists, in any state.
    pub exists: bool,
}

/// Takes over fields of other managers if the user allows it; refuses otherwise.
pub(super) fn settle(
    plan: &Plan<'_>,
    wanted: &mut [Wanted],
    observed: &Observed,
) -> Result<(), Failure> {
    let from = match plan.request.takes_over() {
        From::Kubectl => From::Nobody,
        from => from,
    };
    for wanted in wanted {
        if let Some(Write::Apply(object)) = &wanted.write
            && let Some(live) = live(plan, object.reference(), observed)
        {
            wanted.write = Some(ownership::apply(object.clone(), live, from)?);
        }
    }
    Ok(())
}

/// An object as it was read; for the server Secret only the metadata.
pub(super) fn live<'a>(
    plan: &Plan<'a>,
    reference: &ObjectRef,
    observed: &'a Observed,
) -> Option<&'a Object> {
    let gateway = plan.target.existing.as_ref().map(|known| &known.object);
    let mut server_secrets = plan.sites.iter().filter_map(|site| site.view.server_secret);
    gateway
        .filter(|gateway| gateway.reference() == reference)
        .or_else(|| observed.already_read(reference)?.found().copied())
        .or_else(|| server_secrets.find(|secret| secret.reference() == reference))
}

/// An object that is applied unless the live one has the same content; also applied again if its controller has given up for now.
///
/// An object of somebody else serves the same purpose, and is left alone.
pub(in crate::plan) fn applied(
    object: Object,
    live: Option<&Object>,
    retry: Option<(&str, &str)>,
) -> Wanted {
    let Some(live) = live else {
        return Wanted {
            write: Some(Write::Apply(object.clone())),
            exists: false,
            object,
        };
    };
    if !live.is_ours() {
        return Wanted {
            object: live.clone().manifest(),
            write: None,
            exists: true,
        };
    }
    let again = match retry {
        None => None,
        // Applied without the annotation, it changes as well.
        Some((key, value)) if live.annotation(key) == Some(value) => Some(object.clone()),
        Some((key, value)) => Some(object.clone().with_annotation(key, value)),
    };
    let changed = (!object.is_contained_in(live)).then(|| object.clone());
    Wanted {
        write: again.or(changed).map(Write::Apply),
        exists: true,
        object,
    }
}

/// Asks the API server for conflicts with other managers before the first write; on a server dry run, for everything.
pub(in crate::plan) fn check_first(
    dry_run: DryRun,
    wanted: &[Wanted],
    observed: &Observed,
) -> Reconciled<()> {
    let is_asked = |wanted: &&Wanted| match dry_run {
        DryRun::Server => true,
        DryRun::Client => false,
        DryRun::None => wanted.exists && observed.change_of(wanted.object.reference()).is_none(),
    };
    for wanted in wanted.iter().filter(is_asked) {
        // Without its key pair, which is not made for a question, the API server would refuse it.
        if holds_key(&wanted.object) || is_missing(wanted.object.namespace(), observed) {
            continue;
        }
        let Some(write @ (Write::Create(_) | Write::Apply(_) | Write::TakeOver(_))) =
            wanted.write.clone()
        else {
            continue;
        };
        if let Some(denial) = denial(write, observed)? {
            return Err(Failure::refused(format!(
                "{} may not be written: {denial}",
                wanted.object.reference()
            ))
            .for_want_of_rights()
            .into());
        }
    }
    Ok(())
}

/// Asks whether objects that an administrator can apply as well may be written; else refuses with their YAML. `consequence` names what is
/// not done without them.
pub(super) fn check_rights(
    dry_run: DryRun,
    wanted: &[Wanted],
    consequence: &str,
    observed: &Observed,
) -> Reconciled<()> {
    if dry_run != DryRun::None {
        return Ok(());
    }
    let unwritten = |wanted: &&Wanted| {
        wanted.write.is_some() && observed.change_of(wanted.object.reference()).is_none()
    };
    for asked in wanted.iter().filter(unwritten) {
        let Some(write) = asked.write.clone() else {
            continue;
        };
        if let Some(denial) = denial(write, observed)? {
            let missing = wanted.iter().filter(unwritten);
            return Err(
                Failure::refused(format!("forbidden: {denial}, and {consequence}"))
                    .for_want_of_rights()
                    .manifests(missing.map(|wanted| wanted.object.yaml()))
                    .into(),
            );
        }
    }
    Ok(())
}

/// Why the API server would deny a write, by a dry run; `None` if it would accept it.
pub(super) fn denial(write: Write, observed: &Observed) -> Reconciled<Option<&str>> {
    match observed.tried(write.object().reference(), true) {
        None => Err(Effect::DryRun(ServerDryRun {
            write,
            strict: true,
        })
        .into()),
        Some(Seen::Denied(denial)) => Ok(Some(denial)),
        Some(_) => Ok(None),
    }
}

/// Writes the first object that differs from its target state; each once.
pub(in crate::plan) fn write(wanted: &[Wanted], observed: &Observed) -> Reconciled<()> {
    let pending = wanted.iter().filter_map(|wanted| wanted.write.as_ref());
    let mut unwritten =
        pending.filter(|write| observed.change_of(write.object().reference()).is_none());
    unwritten
        .next()
        .map_or(Ok(()), |write| Err(Effect::Write(write.clone()).into()))
}

/// Whether an object of this plugin still has an annotation that must be removed.
pub(super) fn is_withdrawn(object: &Object, live: &Object, key: &str) -> bool {
    object.annotation(key).is_none() && live.annotation(key).is_some()
}

/// Whether a namespace is known to be missing: the API server cannot check objects in it.
pub(super) fn is_missing(namespace: &str, observed: &Observed) -> bool {
    matches!(
        observed.already_read(&ObjectRef::namespace(namespace)),
        Some(Seen::Missing)
    )
}
