//! The guards of the host: they deny requests that bypass its certificate check, and clients that
//! are not on the allow-list.

mod change;
mod clients;
mod noted;
mod required;

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::ownership::{self, changed_by_others};
use super::target::Target;
use super::view::{Site, View};
use super::wanted::{Wanted, check_rights};
use super::{Request, get};
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled, Write, command_line, probe};
use crate::resources::guard::{
    Clients, HeaderGuard, HostGuard, IDENTITY_HEADERS, Listener, MOST_SEPARATORS, arranged, faults,
    has_few_spellings, headers_reference, host_reference, is_enforced, repaired, traces,
};
use crate::resources::names::GatewayName;
use crate::resources::route::Routing;
use crate::resources::{Object, ObjectRef};
use change::{before, changes, limits, notes, warning};

/// The guards to write.
pub(super) struct Guards {
    /// Both of them beside the proxies of each namespace, as far as they are wanted; before the Gateway and the route.
    pub wanted: Vec<Wanted>,
    /// Host guards that are wanted no more; deleted after the route.
    pub lifted: Vec<Wanted>,
    /// The names of all guards, wanted or not.
    names: Vec<ObjectRef>,
    /// The clients that may call the host, if a host guard is wanted; the route's annotation
    /// repeats them.
    pub clients: Option<Clients>,
    /// Identities that may call the host from now on.
    pub added: Vec<String>,
    /// Identities that may no longer call the host.
    pub removed: Vec<String>,
    /// The warning to print before anything is written.
    pub warning: Option<String>,
    /// Notes to print at the end.
    pub notes: Vec<String>,
}

impl Guards {
    /// Whether some client loses access: then the route's annotation is written before the guard, so that a guard which is lost in between
    /// is never restored with that client.
    pub fn narrow(&self) -> bool {
        !self.removed.is_empty()
    }

    /// Whether only listed clients may call the host.
    pub fn is_listed(&self) -> bool {
        self.clients.as_ref().and_then(Clients::listed).is_some()
    }

    /// Whether this run has written a guard of a host that has a host guard: some requests may be admitted no longer.
    pub fn have_excluded(&self, observed: &Observed) -> bool {
        let mut wanted = self.wanted.iter().map(|guard| guard.object.reference());
        self.clients.is_some() && wanted.any(|name| observed.change_of(name).is_some())
    }

    /// The reads that repeat the observation of the guards.
    pub fn queries(&self) -> impl Iterator<Item = Query> {
        self.wanted
            .iter()
            .map(|guard| Query::Get(guard.object.reference().clone()))
    }

    /// Whether a proxy of a namespace that shows these policies enforces the guards that are wanted there, and no other one of their
    /// names.
    pub fn are_enforced(&self, namespace: &str, policies: &BTreeSet<String>) -> bool {
        let mut names = self.names.iter().filter(|name| name.namespace == namespace);
        names.all(|name| {
            let mut wanted = self.wanted.iter();
            let wanted = wanted.find(|guard| guard.object.reference() == name);
            let expected = wanted.map_or_else(BTreeSet::new, |guard| traces(&guard.object));
            is_enforced(name, &expected, policies)
        })
    }
}

/// The reads of the guards.
pub(super) fn queries(
    proxy_namespace: &str,
    request: &Request,
    gateway: &GatewayName,
) -> [Query; 2] {
    [
        get(host_reference(
            proxy_namespace,
            &request.namespace,
            &request.service,
        )),
        get(headers_reference(proxy_namespace, gateway)),
    ]
}

/// The existing host guard and header guard.
pub(super) fn observe<'a>(
    target: &Target,
    observed: &'a Observed,
) -> Reconciled<[Option<&'a Object>; 2]> {
    Ok([
        observed.get(&target.host_guard())?,
        observed.get(&target.header_guard())?,
    ])
}

/// Refuses to write a guard if somebody else made a policy with its name.
pub(super) fn conflicts(view: &View<'_>) -> Result<(), Failure> {
    ownership::refuse_foreign(view.host_guard)?;
    ownership::refuse_foreign(view.header_guard)
}

/// Decides on the guards, and asks before the first write whether they may be written.
///
/// Who may call the host is decided once, and the same beside the proxies of each namespace.
pub(super) fn desired(
    request: &Request,
    target: &Target,
    sites: &[Site<'_>],
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Guards> {
    observed.prefetch(probe::queries(&target.ingress))?;
    // Where a guard of the first namespace is lost, that of another one names the clients that may call the host.
    let has_host_guard = |site: &&Site<'_>| site.view.host_guard.is_some();
    let has_header_guard = |site: &&Site<'_>| site.view.header_guard.is_some();
    let mut each = sites.iter();
    let guarded = each.clone().find(has_host_guard);
    let guarded = guarded.or_else(|| each.find(has_header_guard));
    let view = &guarded.unwrap_or(&sites[0]).view;
    let current = noted::current((request, target), view)?;
    // An earlier run may have left the list half-written.
    let is_begun = sites.iter().any(|Site { target, view }| {
        let listed = view.host_guard.and_then(Clients::of_policy);
        observed.change_of(&target.host_guard()).is_some() || (sites.len() > 1 && listed != current)
    });
    let clients = clients::decide(
        request,
        (current.as_ref(), is_begun),
        target,
        view,
        observed,
        now,
    )?;
    let headers = guarded_headers(target, view)?;
    let proxies = probe::IngressProxies::of(observed, &target.ingress)?;
    let (listener, all_listeners) = listeners(target, &proxies);
    required::refuse_shared_names(request, target, &all_listeners)?;
    let clients = required::required(request, target, clients, &headers, &listener)?;
    let revision = proxies.revision();
    let plan =
        |object: Object, live: Option<&Object>| plan(request, object, live, revision.as_deref());

    let (mut wanted, mut lifted) = (Vec::new(), Vec::new());
    for Site { target, view } in sites {
        let header_guard = HeaderGuard {
            gateway: &target.gateway,
            ingress: &target.ingress,
            listeners: &all_listeners,
        };
        let header_guard = noted::noting(header_guard.object(), view, target, clients.as_ref());
        wanted.push(plan(header_guard, view.header_guard)?);
        if let Some(clients) = &clients {
            if let Some(fault) = listener.fault() {
                return Err(Failure::refused(format!(
                    "no host guard can be written for `{}`: {fault}",
                    target.host
                ))
                .for_want_of_rights()
                .into());
            }
            let guard = HostGuard {
                host: &target.host,
                clients,
                headers: &headers,
                gateway: &target.gateway,
                ingress: &target.ingress,
                listener: &listener,
            };
            wanted.push(plan(guard.object(target.host_guard()), view.host_guard)?);
        } else if let Some(live) = view.host_guard {
            lifted.push(Wanted {
                object: live.clone().manifest(),
                write: Some(Write::Delete(live.clone())),
                exists: true,
            });
        }
    }
    let view = &sites[0].view;
    check_rights(
        request.dry_run,
        &wanted,
        "the host is not exposed without its guards",
        observed,
    )?;
    refuse_others_changes(&wanted, observed)?;
    let before = before(view.host_guard, &target.host_guard(), observed);
    let after = match observed.change_of(&target.host_guard()) {
        Some(written) => Clients::of_policy(&written.answer),
        None => clients.clone(),
    };
    let before_clients = before.and_then(Clients::of_policy);
    let [added, removed] = changes(before_clients.as_ref(), after.as_ref());
    let mut notes = notes(target, view, clients.as_ref(), before, &removed, observed);
    notes.extend(limits(target, &proxies, &listener, clients.is_some()));
    notes.extend(forgeable(target, view));
    if removed.is_empty() && noted::is_noting(view, target) {
        // What notes the clients comes last then: a guard that is lost in between is never restored with a client that was removed.
        wanted.sort_by_key(|guard| guard.object.reference().name == target.header_guard().name);
    }
    Ok(Guards {
        warning: warning(&wanted, &lifted, observed),
        notes,
        wanted,
        lifted,
        names: sites
            .iter()
            .flat_map(|site| [site.target.host_guard(), site.target.header_guard()])
            .collect(),
        clients,
        added,
        removed,
    })
}

/// The listener of the host's own server, and those of all mutual-TLS servers of the Gateway.
fn listeners(target: &Target, proxies: &probe::IngressProxies<'_>) -> (Listener, Vec<Listener>) {
    let gateways = proxies.all_gateways(&target.gateways);
    let own = target.server();
    let listener = proxies.listener([&own], &gateways);
    let all = match &target.existing {
        Some(existing) => proxies.mutual_listeners(&existing.gateway, &own, &gateways),
        None => vec![listener.clone()],
    };
    (listener, all)
}

/// The headers of `--header` that a client could send itself, because an `APIRule` does not remove them; a `VirtualService` does, in
/// every spelling.
fn guarded_headers(target: &Target, view: &View<'_>) -> Result<BTreeSet<String>, Failure> {
    let names = target
        .options
        .headers
        .keys()
        .map(|name| name.to_lowercase());
    let headers: BTreeSet<String> = names
        .filter(|name| !IDENTITY_HEADERS.contains(&name.as_str()))
        .collect();
    let is_route = target.environment.routing == Routing::VirtualService;
    let standing = if is_route {
        unspelt_headers(view)
    } else {
        BTreeSet::new()
    };
    let mut unspelt = headers.iter().filter(|name| !has_few_spellings(name));
    match unspelt.find(|name| !standing.contains(*name)) {
        Some(name) => Err(Failure::usage(format!(
            "the header `{name}` has more than {MOST_SEPARATORS} `-` and `_`, so clients could send it in too many spellings to deny them all"
        ))
        .hint("choose a shorter name in `--header`")),
        None if is_route => Ok(BTreeSet::new()),
        None => Ok(headers),
    }
}

/// Headers with too many spellings that the route sets already, in lower case: earlier versions wrote such `VirtualServices`.
fn unspelt_headers(view: &View<'_>) -> BTreeSet<String> {
    let route = view.route.as_ref().map(|(_, route)| route);
    let headers = route.and_then(|route| Some(&route.options()?.headers));
    let names = headers.into_iter().flatten();
    names
        .map(|(name, _)| name.to_lowercase())
        .filter(|name| !has_few_spellings(name))
        .collect()
}

/// The note on headers of the route that a client can send in a spelling of its own.
fn forgeable(target: &Target, view: &View<'_>) -> Option<String> {
    let headers = unspelt_headers(view);
    let is_set = |name: &&String| {
        let mut set = target.options.headers.keys();
        set.any(|set| set.eq_ignore_ascii_case(name))
    };
    let name = headers.iter().find(is_set)?;
    Some(format!(
        "clients can send the header `{name}` in other spellings, because it has more than {MOST_SEPARATORS} `-` and `_`; replace it by a shorter one: {}",
        command_line::edit(&target.route())
    ))
}

/// Applies a guard that does not exist: a Role can limit that to the guard's name, but not a POST. Replaces one that differs, by PUT under
/// the resourceVersion that was read: so no other change is lost, and settings that disable a guard are removed.
fn plan(
    request: &Request,
    object: Object,
    live: Option<&Object>,
    revision: Option<&str>,
) -> Result<Wanted, Failure> {
    let object = match live {
        Some(live) => arranged(object, live),
        None => object,
    };
    let write = match live {
        None => Some(Write::Apply(object.clone())),
        Some(live)
            if faults(live, &object, revision).is_empty() && object.is_contained_in(live) =>
        {
            None
        }
        Some(live) => {
            ownership::check(&object, live, request.takes_over())?;
            let repaired = repaired(live, &object, revision);
            Some(Write::Replace(repaired.replacing(live)))
        }
    };
    Ok(Wanted {
        object,
        write,
        exists: live.is_some(),
    })
}

/// Ends a run whose guard somebody else has changed since: it would wait for an outdated state.
fn refuse_others_changes(wanted: &[Wanted], observed: &Observed) -> Result<(), Failure> {
    let is_changed = |wanted: &&Wanted| {
        wanted.write.is_some() && observed.change_of(wanted.object.reference()).is_some()
    };
    wanted.iter().find(is_changed).map_or(Ok(()), |guard| {
        Err(changed_by_others(guard.object.reference(), "changed"))
    })
}
