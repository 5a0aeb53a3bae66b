//! Who may call the host, as an object beside the host guard notes it: the route, or the header guard where the route is somebody else's.

use super::super::Request;
use super::super::target::Target;
use super::super::view::View;
use crate::error::Failure;
use crate::resources::Object;
use crate::resources::guard::{self, Clients, effective};
use crate::resources::names::CLIENTS_ANNOTATION;

/// The clients that may call the host now: those of the guard; those of the annotation if the guard is lost or was opened.
pub(super) fn current(
    (request, target): (&Request, &Target),
    view: &View<'_>,
) -> Result<Option<Clients>, Failure> {
    let policy = view.host_guard.and_then(Clients::of_policy);
    let current = effective(policy, noted(target, view));
    match (view.host_guard, &current) {
        (Some(guard), None) if request.access.allow.says_nothing() => Err(Failure::refused(
            format!(
                "{} was changed, and no longer shows which clients may call the host",
                guard.reference()
            ),
        )
        .hint(
            "set the list again: `--allow CLIENT` lists clients, `--allow-any` admits every client",
        )),
        _ => Ok(current),
    }
}

/// Whether the header guard notes the clients: where the route is somebody else's, and where it did so before, whatever became of that
/// route.
pub(super) fn is_noting(view: &View<'_>, target: &Target) -> bool {
    let route = view.route.as_ref();
    let is_theirs = route.is_some_and(|(route, _)| !route.is_ours());
    let noted =
        |live: &Object| guard::noted_on(live, &target.service_reference(), &target.host).is_some();
    is_theirs || view.header_guard.is_some_and(noted)
}

/// The noted clients.
fn noted(target: &Target, view: &View<'_>) -> Option<Clients> {
    match &view.route {
        Some((route, _)) if route.is_ours() => {
            Clients::of_annotation(route.annotation(CLIENTS_ANNOTATION)?)
        }
        _ => guard::noted_on(
            view.header_guard?,
            &target.service_reference(),
            &target.host,
        ),
    }
}

/// The header guard with the clients, where it [notes](is_noting) them: without a list only where it noted one before.
pub(super) fn noting(
    header_guard: Object,
    view: &View<'_>,
    target: &Target,
    clients: Option<&Clients>,
) -> Object {
    let (service, host) = (target.service_reference(), &target.host);
    let has_note = |live: &Object| guard::has_note_on(live, &service, host);
    let is_known = clients.is_some() || view.header_guard.is_some_and(has_note);
    if is_noting(view, target) && is_known {
        guard::noting(header_guard, (&service, host), clients)
    } else {
        header_guard
    }
}
