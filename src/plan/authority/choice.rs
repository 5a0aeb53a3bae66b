//! The choice of the authority that a command uses: the named one, or that of a Gateway.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::error::Failure;
use crate::plan::reconcile::{join, tolerate};
use crate::plan::{Blocked, Observed, Query, Reconciled, Seen};
use crate::resources::gateway::{Gateway, Server};
use crate::resources::names::{FIRST_AUTHORITY, GatewayName, SERVICE_ANNOTATION};
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Kind, Object};

/// How the user chooses the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// By the authority's name.
    Named(String),
    /// By a Gateway that reads it.
    Gateway(GatewayName),
    /// By a host, whose Gateway reads it.
    Host {
        /// The host.
        host: String,
        /// The namespace to search when the Gateways of all namespaces may not be listed.
        namespace: String,
    },
    /// By the namespace of its Gateway, or of a Service for which its Gateway was made and whose route uses it; without one, the first
    /// authority.
    Namespace(String),
}

/// The authority that a command uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The authority's name.
    pub authority: String,
    /// Why this authority was chosen; `None` if the user named it.
    pub note: Option<String>,
}

impl Chosen {
    fn of_gateway(authority: &str, gateway: &GatewayName) -> Self {
        Self {
            authority: authority.to_owned(),
            note: Some(format!(
                "using the authority `{authority}` of the Gateway `{gateway}`"
            )),
        }
    }
}

/// The next step of a command, which gets the authority's name once it is known.
///
/// The Gateways are read together with the first reads for the cluster's first authority, which it usually is: so the choice takes no extra
/// time.
pub fn reconcile<T>(
    choice: &Choice,
    observed: &Observed,
    command: impl Fn(&Chosen) -> Reconciled<T>,
) -> Reconciled<T> {
    let unread = match tolerate(choice.resolve(observed)) {
        Ok(chosen) => return command(&chosen?),
        Err(unread) => unread,
    };
    let guess = Chosen {
        authority: FIRST_AUTHORITY.to_owned(),
        note: None,
    };
    let guessed = match command(&guess) {
        Err(on @ Blocked::On(_)) => Err(on),
        _ => Ok(()),
    };
    join(Err(unread), guessed).map(|(done, ())| done)
}

impl Choice {
    /// The chosen authority; blocks on reading the Gateways.
    fn resolve(&self, observed: &Observed) -> Reconciled<Chosen> {
        match self {
            Self::Named(name) => Ok(Chosen {
                authority: name.clone(),
                note: None,
            }),
            Self::Gateway(name) => of_gateway(name, observed),
            Self::Namespace(namespace) => of_namespace(namespace, observed),
            Self::Host { host, namespace } => of_host(host, namespace, observed),
        }
    }
}

/// The authority of a server that requests its clients' certificates.
fn authority_of(gateway: &Gateway, server: &Server) -> Option<String> {
    let names = || gateway.names(server).authority;
    (server.is_mutual() && !server.credential.is_empty()).then(names)
}

/// The authorities of a Gateway's servers, each once.
fn authorities(gateway: &Gateway) -> BTreeSet<String> {
    gateway
        .tls_servers()
        .filter_map(|server| authority_of(gateway, server))
        .collect()
}

fn of_gateway(name: &GatewayName, observed: &Observed) -> Reconciled<Chosen> {
    let seen = match observed.try_get(&name.reference())? {
        Seen::NotServed => Seen::Missing,
        seen => seen,
    };
    let object = match seen {
        Seen::Found(object) => object,
        Seen::Missing => {
            return Err(Failure::refused(format!("there is no Gateway `{name}`"))
                .hint(format!(
                    "`kubectl -n {} get gateways.networking.istio.io` lists the Gateways of that namespace",
                    name.namespace
                ))
                .into());
        }
        other => return Err(unknown(&format!("the Gateway `{name}`"), &other).into()),
    };
    let gateway = Gateway::read(object).map_err(|error| Failure::refused(error.to_string()))?;
    let authorities = authorities(&gateway);
    let mut each = authorities.iter();
    match (each.next(), each.next()) {
        (Some(authority), None) => Ok(Chosen::of_gateway(authority, name)),
        (None, _) => Err(no_mutual_tls(name).into()),
        _ => Err(Failure::refused(format!(
            "the servers of the Gateway `{name}` have several authorities: {}",
            quoted(&authorities)
        ))
        .hint("choose one with `--authority NAME`, or by a host with `--host HOST`")
        .into()),
    }
}

fn no_mutual_tls(name: &GatewayName) -> Failure {
    Failure::refused(format!(
        "the Gateway `{name}` has no server that asks clients for certificates of an authority"
    ))
    .hint("choose another Gateway, or name the authority with `--authority NAME`")
}

fn of_namespace(namespace: &str, observed: &Observed) -> Reconciled<Chosen> {
    let listed = observed.try_list(&Query::within(Kind::Gateway, namespace))?;
    let gateways = match &listed {
        Seen::Found(objects) => readable(*objects),
        Seen::Missing | Seen::NotServed => Vec::new(),
        other => {
            let what = format!("which Gateways are in the namespace `{namespace}`");
            return Err(unknown(&what, other).into());
        }
    };
    let inside = format!("the Gateways in the namespace `{namespace}`");
    if let Some(chosen) = of_gateways(&inside, &gateways)? {
        return Ok(chosen);
    }
    // Where Gateways configure proxies of their own namespace only, they lie there.
    let everywhere = observed.try_list(&Query::everywhere(Kind::Gateway))?;
    let objects: &[Object] = everywhere.found().copied().unwrap_or_default();
    let is_for_it = |object: &&Object| {
        let service = object.annotation(SERVICE_ANNOTATION);
        let service = service.and_then(|service| service.split_once('/'));
        object.is_ours() && service.is_some_and(|(of, _)| of == namespace)
    };
    let mut made_for_it = readable(objects.iter().filter(is_for_it));
    let unseen = everywhere
        .unknown()
        .filter(|_| everywhere != Seen::NotServed);
    // Anybody who may write Gateways in another namespace can set that annotation: a route of this namespace must use the Gateway.
    if !made_for_it.is_empty() {
        let routes = observed.try_list(&Query::within(Kind::VirtualService, namespace))?;
        let used = match &routes {
            Seen::Found(routes) => used(routes),
            Seen::Missing | Seen::NotServed => BTreeSet::new(),
            other => {
                let what = format!("which Gateways the routes of the namespace `{namespace}` use");
                return Err(unknown(&what, other).into());
            }
        };
        made_for_it.retain(|gateway| used.contains(&gateway.name.to_string()));
    }
    let outside = format!("the Gateways for Services of the namespace `{namespace}`");
    if let Some(chosen) = of_gateways(&outside, &made_for_it)? {
        return Ok(chosen);
    }
    let mut note = format!(
        "using the authority `{FIRST_AUTHORITY}`: no Gateway in the namespace `{namespace}` has mutual TLS"
    );
    if let Some(reason) = unseen {
        note.push_str(&format!(
            "; whether a Gateway in another namespace serves its Services was not checked ({reason}); choose another authority with `--authority NAME`"
        ));
    }
    Ok(Chosen {
        authority: FIRST_AUTHORITY.to_owned(),
        note: Some(note),
    })
}

/// The Gateways of the routes that `expose` made, or Kyma for it, as `NAMESPACE/NAME`.
fn used(routes: &[Object]) -> BTreeSet<String> {
    let services = routes.iter().filter_map(|object| {
        let service = VirtualService::read(object).ok()?;
        (object.is_ours() || service.made_for.is_some()).then_some(service.gateways)
    });
    services.flatten().collect()
}

/// The authority of these Gateways; `None` if none of them has mutual TLS.
fn of_gateways(which: &str, gateways: &[Gateway]) -> Result<Option<Chosen>, Failure> {
    let served: Vec<(&Gateway, BTreeSet<String>)> = gateways
        .iter()
        .map(|gateway| (gateway, authorities(gateway)))
        .filter(|(_, authorities)| !authorities.is_empty())
        .collect();
    let all: BTreeSet<&String> = served.iter().flat_map(|(_, each)| each).collect();
    match (served.as_slice(), all.len()) {
        ([], _) => Ok(None),
        ([(gateway, authorities), ..], 1) => {
            let authority = authorities.iter().next().map_or("", String::as_str);
            Ok(Some(Chosen::of_gateway(authority, &gateway.name)))
        }
        _ => Err(several(which, &served)),
    }
}

fn several(which: &str, served: &[(&Gateway, BTreeSet<String>)]) -> Failure {
    let failure = Failure::refused(format!("{which} have several authorities"));
    let lines = served.iter().map(|(gateway, authorities)| {
        format!(
            "`--gateway {}`: the authority {}",
            gateway.name,
            quoted(authorities)
        )
    });
    failure
        .hints(lines)
        .hint("choose one of them, or name the authority with `--authority NAME`")
}

fn of_host(host: &str, namespace: &str, observed: &Observed) -> Reconciled<Chosen> {
    let everywhere = observed.try_list(&Query::everywhere(Kind::Gateway))?;
    let is_denied = matches!(everywhere, Seen::Denied(_));
    let unseen = everywhere.unknown().filter(|_| is_denied);
    let listed = if is_denied {
        observed.try_list(&Query::within(Kind::Gateway, namespace))?
    } else {
        everywhere
    };
    let gateways = match &listed {
        Seen::Found(objects) => readable(*objects),
        Seen::Missing | Seen::NotServed => Vec::new(),
        other => return Err(unknown(&format!("which Gateway serves `{host}`"), other).into()),
    };
    let serving: Vec<(&Gateway, &Server)> = gateways
        .iter()
        .filter_map(|gateway| Some((gateway, gateway.server_for(host)?)))
        .collect();
    let length = |server: &Server| server.pattern_for(host).map(str::len);
    let closest = serving.iter().map(|(_, server)| length(server)).max();
    let serving: Vec<_> = serving
        .into_iter()
        .filter(|(_, server)| Some(length(server)) == closest)
        .collect();
    let authorities: BTreeSet<String> = serving
        .iter()
        .filter_map(|(gateway, server)| authority_of(gateway, server))
        .collect();
    let mut each = authorities.iter();
    match (serving.as_slice(), each.next(), each.next()) {
        ([(gateway, _), ..], Some(authority), None) => {
            let mut chosen = Chosen::of_gateway(authority, &gateway.name);
            if let (Some(note), Some(reason)) = (&mut chosen.note, unseen) {
                note.push_str(&format!(
                    "; whether a Gateway in another namespace serves the host too was not checked ({reason})"
                ));
            }
            Ok(chosen)
        }
        ([(gateway, _), ..], None, _) => Err(no_mutual_tls(&gateway.name).into()),
        ([], ..) => {
            let failure = Failure::refused(format!("no Gateway serves `{host}`"));
            let unseen = unseen.map(|reason| {
                format!(
                    "only the Gateways in the namespace `{namespace}` could be listed ({reason})"
                )
            });
            Err(failure
                .hints(unseen)
                .hint(
                    "`kubectl mtls status` shows the hosts; `--authority NAME` names the authority",
                )
                .into())
        }
        _ => Err(Failure::refused(format!(
            "several Gateways serve `{host}`, with the authorities {}",
            quoted(&authorities)
        ))
        .hint("choose one with `--gateway NAMESPACE/NAME`")
        .into()),
    }
}

/// Gateways that can be read; an unreadable Gateway has no server to choose.
fn readable<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<Gateway> {
    let objects = objects.into_iter();
    objects
        .filter_map(|object| Gateway::read(object).ok())
        .collect()
}

fn unknown<T>(what: &str, seen: &Seen<T>) -> Failure {
    let reason = seen.unknown().unwrap_or_default();
    let failure = Failure::refused(format!(
        "{what} could not be read, so the authority is not known: {reason}"
    ));
    let failure = match seen {
        Seen::Denied(_) => failure.for_want_of_rights(),
        _ => failure,
    };
    failure.hint("name the authority with `--authority NAME`")
}

fn quoted(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
