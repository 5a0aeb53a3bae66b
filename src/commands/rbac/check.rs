//! `rbac --check`: which permissions the current user lacks.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use crate::error::Failure;
use crate::io::cluster::Cluster;
use crate::plan::rights::{CommandRights, Report, of_command};
use crate::resources::permissions::{Access, Permission, Place};

/// The number of parallel access reviews; each takes the server a millisecond.
const MOST: usize = 16;

/// The answers of the API server's authorizers.
pub(super) struct Checked {
    /// The missing permissions.
    pub report: Report,
    /// The errors of authorizers that could not evaluate a review, each text once.
    pub unevaluated: BTreeSet<String>,
}

/// Asks for every permission of these commands once.
///
/// Each question is a `SelfSubjectAccessReview`: a `SelfSubjectRulesReview` answers for one namespace, not for all, and may be incomplete
/// where an authorizer is not RBAC (`authorization.k8s.io/v1`).
pub(super) async fn check(
    cluster: &Cluster,
    commands: &[(&str, Vec<&Permission>)],
    place: &Place<'_>,
) -> Result<Checked, Failure> {
    let permissions = commands.iter().flat_map(|(_, permissions)| permissions);
    let accesses: BTreeSet<Access> = permissions
        .flat_map(|permission| place.accesses(permission))
        .collect();
    let ask = |access: Access| async {
        let (is_allowed, unevaluated) = cluster.may(&access).await?;
        Ok::<_, Failure>((access, is_allowed, unevaluated))
    };
    let answered: Vec<(Access, bool, Option<String>)> = stream::iter(accesses)
        .map(ask)
        .buffer_unordered(MOST)
        .try_collect()
        .await?;
    let mut answers = BTreeMap::new();
    let mut unevaluated = BTreeSet::new();
    for (access, is_allowed, error) in answered {
        answers.insert(access, is_allowed);
        unevaluated.extend(error.filter(|_| !is_allowed));
    }
    let commands: Vec<CommandRights> = commands
        .iter()
        .map(|(command, permissions)| {
            of_command(command, permissions.iter().copied(), place, &answers)
        })
        .collect();
    let user = cluster.who_am_i().await?.found().cloned();
    let namespace = place.namespace.unwrap_or_default().to_owned();
    Ok(Checked {
        report: Report {
            user,
            namespace,
            commands,
        },
        unevaluated,
    })
}
