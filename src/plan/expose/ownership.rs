//! What others own: fields that they wrote, which an option that says so takes over from kubectl and `--force-conflicts` from
//! anybody, and whole objects, which stop the run.

use super::target::Target;
use super::wanted::Wanted;
use crate::error::Failure;
use crate::plan::Write;
use crate::resources::field_managers::{Claim, claims, keeper};
use crate::resources::names::GATEWAY_ANNOTATION;
use crate::resources::{Object, ObjectRef};

/// Whose fields may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Nobody's.
    Nobody,
    /// Those that a person wrote with kubectl.
    Kubectl,
    /// Everybody's.
    Anybody,
}

/// How an object is applied over the live one.
pub(super) fn apply(object: Object, live: &Object, from: From) -> Result<Write, Failure> {
    let claims = claims(&object, live);
    let is_kept = keeper(live).is_some() || !claims.iter().all(Claim::is_kubectls);
    match from {
        _ if claims.is_empty() => Ok(Write::Apply(object)),
        From::Anybody => Ok(Write::TakeOver(object)),
        From::Kubectl if !is_kept => Ok(Write::TakeOver(object)),
        _ => Err(refusal(live, &claims)),
    }
}

/// Refuses where an object that is put in the place of the live one changes fields of others.
pub(super) fn check(object: &Object, live: &Object, from: From) -> Result<(), Failure> {
    apply(object.clone(), live, from).map(|_| ())
}

/// Every object that is applied over a live one.
pub(super) fn settle<'a>(
    wanted: &mut [Wanted],
    from: From,
    live: impl Fn(&ObjectRef) -> Option<&'a Object>,
) -> Result<(), Failure> {
    for wanted in wanted {
        if let Some(Write::Apply(object)) = &wanted.write
            && let Some(live) = live(object.reference())
        {
            wanted.write = Some(apply(object.clone(), live, from)?);
        }
    }
    Ok(())
}

fn refusal(live: &Object, claims: &[Claim]) -> Failure {
    let lines: Vec<String> = claims
        .iter()
        .map(|claim| format!("`{}` wrote `{}`", claim.manager, claim.field))
        .collect();
    let keeper = keeper(live).map_or(String::new(), |keeper| format!(", and {keeper} keeps it"));
    Failure::refused(format!(
        "{} differs from what kubectl-mtls wrote, and somebody else changed it: {}{keeper}",
        live.reference(),
        lines.join(", ")
    ))
    .hint("change it there, or take these fields over with `--force-conflicts`; whoever keeps them may write them again")
    .hint("`--dry-run=client` with `--force-conflicts` shows what would change")
}

/// Refuses an object that says that it belongs to another Gateway.
pub(super) fn refuse_other_gateway(target: &Target, object: &Object) -> Result<(), Failure> {
    let ours = target.gateway.to_string();
    match object.annotation(GATEWAY_ANNOTATION) {
        Some(other) if other != ours => Err(Failure::refused(format!(
            "{} belongs to the Gateway `{other}`, not to `{ours}`",
            object.reference()
        ))
        .hint(format!("`--gateway {other}` uses that Gateway; `--host` makes another one with clients of its own"))),
        _ => Ok(()),
    }
}

/// Refuses an object that somebody else made by our name.
pub(super) fn refuse_foreign(live: Option<&Object>) -> Result<(), Failure> {
    match live {
        Some(object) if !object.is_ours() => Err(Failure::refused(format!(
            "{} was not made by this plugin",
            object.reference()
        ))
        .hint("rename or remove it")),
        _ => Ok(()),
    }
}
