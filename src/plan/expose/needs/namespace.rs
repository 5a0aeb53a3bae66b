//! Whether istiod sees the authority's namespace, and by which labels.

use super::Fault;
use crate::plan::control_plane::Serving;
use crate::plan::expose::wanted::{Wanted, denial};
use crate::plan::{DryRun, Observed, Reconciled, Seen, Write};
use crate::resources::discovery::{self, Labels};
use crate::resources::field_managers::is_own;
use crate::resources::names::{AUTHORITY_NAMESPACE, FIELD_MANAGER, MANAGED_BY};
use crate::resources::{Object, ObjectRef};

/// The namespace with its missing labels, if any; a fault if they may not be set, or cannot be chosen.
///
/// Adds to `unchecked` what could not be read.
pub(super) fn decide(
    serving: &Serving,
    dry_run: DryRun,
    observed: &Observed,
    unchecked: &mut Vec<String>,
) -> Reconciled<Result<Option<Wanted>, Fault>> {
    let labelled = match visibility(serving, observed, unchecked)? {
        Ok(Some(labelled)) => labelled,
        Ok(None) => return Ok(Ok(None)),
        Err(fault) => return Ok(Err(fault)),
    };
    Ok(match refused_label(&labelled, dry_run, observed)? {
        Some(denial) => Err(not_permitted(&labelled, denial)),
        None => Ok(Some(labelled.wanted)),
    })
}

/// The namespace with the labels by which istiod sees it.
struct Labelled {
    wanted: Wanted,
    /// The command by which somebody else sets the labels.
    line: String,
    mesh_config: ObjectRef,
}

fn visibility(
    serving: &Serving,
    observed: &Observed,
    unchecked: &mut Vec<String>,
) -> Reconciled<Result<Option<Labelled>, Fault>> {
    let namespace = ObjectRef::namespace(AUTHORITY_NAMESPACE);
    let mut not_checked = |object: &ObjectRef, reason: &str| {
        unchecked.push(format!(
            "it was not checked whether istiod sees the namespace `{AUTHORITY_NAMESPACE}`: {object} could not be read: {reason}"
        ));
    };
    let mut meshes = Vec::new();
    for config in serving.mesh_configs() {
        let seen = observed.try_get(&config)?;
        match seen.read_as(|object| discovery::selectors(object)) {
            Seen::Found(selectors) if selectors.is_empty() => {}
            Seen::Found(selectors) => meshes.push((config, selectors)),
            Seen::Missing if serving.outside().is_some() => {
                not_checked(
                    &config,
                    "it does not exist, and istiod runs outside of the cluster",
                );
            }
            // istiod then runs with its defaults.
            other => {
                if let Some(reason) = other.unknown() {
                    not_checked(&config, &reason);
                }
            }
        }
    }
    if meshes.is_empty() {
        return Ok(Ok(None));
    }
    let live = match observed.try_get(&namespace)? {
        Seen::Found(live) => Some(live),
        Seen::Missing => None,
        other => {
            not_checked(&namespace, &other.unknown().unwrap_or_default());
            return Ok(Ok(None));
        }
    };
    let before = labels(live);
    let mut after = before.clone();
    let mut unseen_by = None;
    for (config, selectors) in meshes {
        if selectors.iter().any(|selector| selector.selects(&after)) {
            continue;
        }
        let Some(labels) = discovery::added(&selectors, &after) else {
            let satisfied = selectors.iter().find_map(|it| it.satisfied(&after));
            let line = satisfied.map(|satisfied| label(&before, &satisfied));
            return Ok(Err(not_ours_to_choose(&config, line, live.is_some())));
        };
        after = labels;
        unseen_by.get_or_insert(config);
    }
    Ok(Ok(unseen_by.map(|mesh_config| Labelled {
        wanted: labelled(live, &before, &after),
        line: label(&before, &after),
        mesh_config,
    })))
}

/// The labels of the authority's namespace, or of the namespace to create.
fn labels(live: Option<&Object>) -> Labels {
    let mut labels = match live {
        Some(live) => live.labels(),
        None => [(MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned())].into(),
    };
    labels.insert(discovery::NAME.to_owned(), AUTHORITY_NAMESPACE.to_owned());
    labels
}

fn labelled(live: Option<&Object>, before: &Labels, after: &Labels) -> Wanted {
    let mut object = Object::new(ObjectRef::namespace(AUTHORITY_NAMESPACE));
    for (key, value) in after {
        let is_new = before.get(key) != Some(value);
        // An apply that left out a label of an earlier one would take it away.
        let is_kept = match live {
            Some(live) => is_own(&["metadata", "labels", key], live),
            None => key != discovery::NAME,
        };
        if is_new || is_kept {
            object = object.with_label(key, value);
        }
    }
    Wanted {
        write: Some(match live {
            Some(_) => Write::Apply(object.clone()),
            None => Write::Create(object.clone()),
        }),
        exists: live.is_some(),
        object,
    }
}

/// Why the label may not be set on a namespace that exists.
fn refused_label<'a>(
    labelled: &Labelled,
    dry_run: DryRun,
    observed: &'a Observed,
) -> Reconciled<Option<&'a str>> {
    match &labelled.wanted.write {
        Some(write @ Write::Apply(_)) if dry_run != DryRun::Client => {
            denial(write.clone(), observed)
        }
        _ => Ok(None),
    }
}

/// The command `kubectl label namespace …` for changed labels.
fn label(before: &Labels, after: &Labels) -> String {
    format!(
        "kubectl label namespace {AUTHORITY_NAMESPACE} {}",
        discovery::changes(before, after)
    )
}

/// The sentence that istiod does not see the namespace.
fn unseen(mesh_config: &ObjectRef) -> String {
    format!(
        "istiod does not see the namespace `{AUTHORITY_NAMESPACE}`, where the authority is: no entry of `discoverySelectors` in {mesh_config} selects it"
    )
}

fn not_permitted(labelled: &Labelled, denial: &str) -> Fault {
    let what = unseen(&labelled.mesh_config);
    Fault {
        is_for_want_of_rights: true,
        ..Fault::new(
            format!("{what}, and the namespace may not be labelled: {denial}"),
            "let an administrator run this, then run the same command again",
            vec![labelled.line.clone()],
        )
    }
}

fn not_ours_to_choose(mesh_config: &ObjectRef, line: Option<String>, exists: bool) -> Fault {
    let what = unseen(mesh_config);
    let Some(line) = line else {
        let name = discovery::NAME;
        return Fault::new(
            format!("{what}, and no label would change that"),
            "add this entry to `discoverySelectors` in your installation of Istio, then run the same command again",
            vec![format!("- matchLabels: {{{name}: {AUTHORITY_NAMESPACE}}}")],
        );
    };
    let create = format!("kubectl create namespace {AUTHORITY_NAMESPACE}");
    let lines = (!exists).then_some(create).into_iter().chain([line]);
    Fault::new(
        what,
        "label the namespace so that one of these entries selects it, then run the same command again",
        lines.collect(),
    )
}
