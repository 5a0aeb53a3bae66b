//! Who may call the host, as an object beside the host guard notes it: the route, or the header guard where the route is somebody else's.

use super::super::view::View;
use super::super::{Request, service};
use crate::error::Failure;
use crate::resources::Object;
use crate::resources::guard::{self, Clients, effective};
use crate::resources::names::CLIENTS_ANNOTATION;

/// The clients that may call the host now: those of the guard; those of the route's annotation if the guard is lost or was opened.
pub(super) fn current(request: &Request, view: &View<'_>) -> Result<Option<Clients>, Failure> {
    let policy = view.host_guard.and_then(Clients::of_policy);
    let current = effective(policy, noted(request, view));
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

/// Whether the route is somebody else's.
pub(super) fn is_theirs(view: &View<'_>) -> bool {
    let route = view.route.as_ref();
    route.is_some_and(|(route, _)| !route.is_ours())
}

/// The noted clients.
fn noted(request: &Request, view: &View<'_>) -> Option<Clients> {
    match &view.route {
        Some((route, _)) if route.is_ours() => {
            Clients::of_annotation(route.annotation(CLIENTS_ANNOTATION)?)
        }
        _ => guard::noted_on(view.header_guard?, &service::reference(request)),
    }
}

/// The header guard, which notes the clients where the route is somebody else's, and nobody where it did once.
pub(super) fn noting(
    header_guard: Object,
    view: &View<'_>,
    request: &Request,
    clients: Option<&Clients>,
) -> Object {
    let service = service::reference(request);
    let live = view.header_guard;
    let is_noted = live.is_some_and(|live| guard::noted_on(live, &service).is_some());
    let clients = clients.filter(|_| is_theirs(view));
    if clients.is_some() || is_noted {
        guard::noting(header_guard, &service, clients)
    } else {
        header_guard
    }
}
