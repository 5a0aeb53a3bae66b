//! Whether a host guard is wanted or needed, and whether the guards can be written at all.

use std::collections::BTreeSet;

use super::super::target::Target;
use super::super::{Allow, Request};
use super::change::unstoppable;
use crate::error::Failure;
use crate::plan::command_line;
use crate::resources::guard::{Clients, Listener, OtherServer, other_servers};

/// The clients of a host guard, if one is wanted or needed.
pub(super) fn required(
    request: &Request,
    target: &Target,
    clients: Option<Clients>,
    headers: &BTreeSet<String>,
    listener: &Listener,
) -> Result<Option<Clients>, Failure> {
    let clients = match (clients, request.access.guard) {
        (Some(Clients::Listed(_)), Some(false)) => {
            return Err(Failure::usage(format!(
                "`--guard=false` contradicts the allow-list of `{}`",
                target.host
            ))
            .hint("`--allow-any --guard=false` removes both"));
        }
        (Some(Clients::Any), Some(false)) => None,
        (None, Some(true)) => Some(Clients::Any),
        (clients, _) => clients,
    };
    let others = target.existing.as_ref().map_or_else(Vec::new, |existing| {
        other_servers(&existing.gateway, &existing.server, &target.host, listener)
    });
    if let Some(other) = others.iter().find(|other| !other.is_stopped) {
        return Err(served_otherwise(target, other).hint(unstoppable(other)));
    }
    match (clients, others.first()) {
        (None, Some(other)) => Err(served_otherwise(target, other).hint(format!(
            "or deny its requests for this host: kubectl mtls expose {} -n {} --guard",
            target.service, target.namespace
        ))),
        (None, None) if !headers.is_empty() && request.access.guard == Some(false) => Err(
            Failure::usage("`--guard=false` would let clients choose the headers of `--header`")
                .hint("leave out `--guard=false`, or the headers"),
        ),
        (None, None) if !headers.is_empty() => Ok(Some(Clients::Any)),
        (clients, _) => Ok(clients),
    }
}

fn served_otherwise(target: &Target, other: &OtherServer<'_>) -> Failure {
    Failure::refused(format!(
        "{} of the Gateway `{}` serves `{}` to {}",
        other.server.describe(),
        target.gateway,
        target.host,
        other.admits
    ))
    .hint(format!(
        "remove the other server: {}",
        command_line::edit(&target.gateway.reference())
    ))
}

/// Refuses if a TCP server asks clients for certificates under server names of these listeners: a rule for verified clients would close
/// its connections, and a rule that exempts its names would exempt clients of the host too.
pub(super) fn refuse_shared_names(
    request: &Request,
    target: &Target,
    listeners: &[Listener],
) -> Result<(), Failure> {
    // A user who may write Gateways must not keep an administrator from removing a client.
    let only_removes = matches!(&request.access.allow, Allow::Change { add, remove } if add.is_empty() && !remove.is_empty());
    if only_removes {
        return Ok(());
    }
    let mut shared = listeners.iter().filter_map(Listener::shares_names_with);
    shared.next().map_or(Ok(()), |server| {
        Err(Failure::refused(format!(
            "the TCP {server} asks clients for certificates under server names of the Gateway `{}`, so the guards cannot tell its connections from requests for `{}`",
            target.gateway, target.host
        ))
        .hint("give that server other host names, or another port"))
    })
}
