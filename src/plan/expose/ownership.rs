//! Conflicts of ownership: fields that others wrote, which some options take over from kubectl and `--force-conflicts` from anybody, and
//! objects that others made, which stop the run.

use super::target::Target;
use crate::error::Failure;
use crate::plan::{Write, commit};
use crate::resources::field_managers::{Claim, claims, keeper};
use crate::resources::names::GATEWAY_ANNOTATION;
use crate::resources::{Object, ObjectRef};

/// The fields of others that may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// No fields of others.
    Nobody,
    /// Fields that a person wrote with kubectl.
    Kubectl,
    /// All fields.
    Anybody,
}

/// How an object is applied over the live one. Refuses to change one that a tool manages, also where only a mark says so.
pub(super) fn apply(object: Object, live: &Object, from: From) -> Result<Write, Failure> {
    let claims = claims(&object, live);
    let is_kept = keeper(live).is_some() || !claims.iter().all(Claim::is_kubectls);
    if claims.is_empty() && !object.is_contained_in(live) {
        commit::refuse_kept(live, from == From::Anybody)?;
    }
    match from {
        _ if claims.is_empty() => Ok(Write::Apply(object)),
        From::Anybody => Ok(Write::TakeOver(object)),
        From::Kubectl if !is_kept => Ok(Write::TakeOver(object)),
        _ => Err(refusal(live, &claims)),
    }
}

/// Refuses to replace an object if that changes fields of others.
pub(super) fn check(object: &Object, live: &Object, from: From) -> Result<(), Failure> {
    apply(object.clone(), live, from).map(|_| ())
}

fn refusal(live: &Object, claims: &[Claim]) -> Failure {
    let lines: Vec<String> = claims
        .iter()
        .map(|claim| format!("`{}` wrote `{}`", claim.manager, claim.field))
        .collect();
    let keeper = keeper(live).map_or(String::new(), |keeper| format!(", and {keeper} manages it"));
    Failure::refused(format!(
        "{} differs from what kubectl-mtls wrote, and somebody else changed it: {}{keeper}",
        live.reference(),
        lines.join(", ")
    ))
    .hint("change the object there, or take these fields over with `--force-conflicts`; their manager may write them again")
    .hint("`--dry-run=client` with `--force-conflicts` shows what would change")
}

/// Refuses an object whose annotation names another Gateway.
pub(super) fn refuse_other_gateway(target: &Target, object: &Object) -> Result<(), Failure> {
    let ours = target.gateway.to_string();
    match object.annotation(GATEWAY_ANNOTATION) {
        Some(other) if other != ours => Err(Failure::refused(format!(
            "{} belongs to the Gateway `{other}`, not to `{ours}`",
            object.reference()
        ))
        .hint(format!("`--gateway {other}` uses that Gateway; `--host` makes another Gateway with clients of its own"))),
        _ => Ok(()),
    }
}

/// Refuses an object with the expected name that somebody else made.
pub(super) fn refuse_foreign(live: Option<&Object>) -> Result<(), Failure> {
    match live {
        Some(object) if !object.is_ours() => Err(Failure::refused(format!(
            "{} was not created by kubectl-mtls",
            object.reference()
        ))
        .hint("rename or remove the existing object")),
        _ => Ok(()),
    }
}

/// The error on an object that somebody else `changed` or deleted after this run had written it.
pub(super) fn changed_by_others(object: &ObjectRef, changed: &str) -> Failure {
    Failure::refused(format!(
        "{object} was {changed} by somebody else after this run wrote it"
    ))
    .hint("see who may call the host now: kubectl mtls status")
    .hint("then run the same command again")
}
