//! The clients on an allow-list: names of the authority's clients, or URI SANs, and their identities.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::super::target::Target;
use super::super::view::View;
use super::super::{Allow, Request};
use crate::error::Failure;
use crate::pki::names::{ClientName, check_uri_san, default_uri};
use crate::plan::command_line::quoted;
use crate::plan::list_clients::{entries, inventory};
use crate::plan::witness::{self, Fault};
use crate::plan::{Observed, Reconciled, Seen, spelling};
use crate::resources::guard::Clients;
use crate::resources::inventory::{Entry, EntryState};

const SPIFFE: &str = "spiffe://";

/// The clients that may call the host in the end, where their number is limited; `current` is the list that counts now, and whether
/// this run or an earlier one has begun to write another.
pub(super) fn decide(
    request: &Request,
    (current, is_begun): (Option<&Clients>, bool),
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Option<Clients>> {
    let directory = || Directory::read(target, view, observed);
    match &request.access.allow {
        Allow::Keep => Ok(current.cloned()),
        // A guard without a list is lifted by `--guard=false` only.
        Allow::Any => Ok(current.filter(|current| **current == Clients::Any).cloned()),
        Allow::Only(names) => {
            let directory = directory()?;
            let listed = directory.identities("allow", names, request.access.allow_unknown, now)?;
            Ok(Some(Clients::Listed(listed)))
        }
        Allow::Change { add, remove } => {
            let Some(Clients::Listed(current)) = current else {
                return Err(no_list(target).into());
            };
            let directory = directory()?;
            let mut listed = current.clone();
            // Once the list was written, who is to go is not on it any more.
            for uri in directory.listed("allow-remove", remove, current, is_begun)? {
                listed.remove(&uri);
            }
            listed.extend(directory.identities(
                "allow-add",
                add,
                request.access.allow_unknown,
                now,
            )?);
            if listed.is_empty() {
                return Err(Failure::refused(format!(
                    "no client could call `{}` any more",
                    target.host
                ))
                .hint(format!(
                    "stop exposing the Service: kubectl mtls unexpose {} -n {}",
                    target.service, target.namespace
                ))
                .hint("`--allow CLIENT` lists another client, `--allow-any` removes the list")
                .into());
            }
            Ok(Some(Clients::Listed(listed)))
        }
    }
}

fn no_list(target: &Target) -> Failure {
    Failure::refused(format!(
        "the host `{}` has no allow-list: every client may call it",
        target.host
    ))
    .hint("`--allow CLIENT` begins a list with exactly these clients")
}

/// The authority's clients, by name.
struct Directory<'a> {
    /// The authority's name; `None` if CAs that it does not hold are trusted.
    authority: Option<&'a str>,
    entries: Vec<Entry>,
    /// Why the inventory was not read.
    unseen: Option<String>,
    /// What was lost of the inventory, which may have held a client that is not found.
    lost: Option<Fault>,
}

impl<'a> Directory<'a> {
    fn read(target: &'a Target, view: &'a View<'_>, observed: &Observed) -> Reconciled<Self> {
        let authority = match &view.state {
            Some((_, state)) => Some(state.authority.as_str()),
            // It is made in this run, unless CAs are trusted already.
            None if view.client_cas.is_empty() => Some(target.names.authority.as_str()),
            None => None,
        };
        let Some(name) = authority else {
            return Ok(Self {
                authority: None,
                entries: Vec::new(),
                unseen: None,
                lost: None,
            });
        };
        let state = view.state.as_ref().map(|(_, state)| state);
        let lost = state.map(|state| witness::fault_of_inventory(state, observed));
        let query = inventory(name);
        observed.prefetch([query.clone()])?;
        let listed = observed.try_list(&query)?;
        let (entries, _) = entries(listed.found().copied().unwrap_or_default());
        Ok(Self {
            authority,
            entries,
            unseen: match listed {
                Seen::Found(_) | Seen::Missing => None,
                other => other.unknown(),
            },
            lost: lost.transpose()?.flatten(),
        })
    }

    /// The identities of clients to add to the list.
    fn identities(
        &self,
        flag: &str,
        names: &[String],
        allow_unknown: bool,
        now: OffsetDateTime,
    ) -> Result<BTreeSet<String>, Failure> {
        let mut identities = BTreeSet::new();
        for name in names {
            if name.contains("://") {
                identities.insert(uri(flag, name)?);
                continue;
            }
            let (name, authority) = self.client(flag, name)?;
            let uris = self.uris(&name, now);
            if !uris.is_empty() {
                identities.extend(uris);
            } else if allow_unknown {
                identities.insert(default_uri(authority, &name));
            } else {
                return Err(self.unknown(&name));
            }
        }
        Ok(identities)
    }

    /// The identities of clients that are on the list already.
    fn listed(
        &self,
        flag: &str,
        names: &[String],
        current: &BTreeSet<String>,
        may_lack: bool,
    ) -> Result<BTreeSet<String>, Failure> {
        let mut identities = BTreeSet::new();
        for name in names {
            let uris = if name.contains("://") {
                [uri(flag, name)?].into()
            } else {
                let (name, authority) = self.client(flag, name)?;
                let mut uris: BTreeSet<String> = [default_uri(authority, &name)].into();
                let of_name = self
                    .entries
                    .iter()
                    .filter(|entry| entry.name == name.as_str());
                uris.extend(of_name.flat_map(Entry::uris).map(str::to_owned));
                uris
            };
            let on_list: Vec<String> = uris.intersection(current).cloned().collect();
            // A known client that is not on the list is no error: an earlier run may have removed it.
            let mut known = self.entries.iter().flat_map(Entry::uris);
            let is_known = known.any(|uri| uris.contains(uri));
            if on_list.is_empty() && !may_lack && !is_known {
                let known = self.names_of(current);
                return Err(
                    Failure::refused(format!("`{name}` is not on the allow-list"))
                        .hint(spelling::meant(name, known.values().map(String::as_str))),
                );
            }
            identities.extend(on_list);
        }
        Ok(identities)
    }

    /// The URIs of a client's certificates that the gateway accepts.
    fn uris(&self, name: &ClientName, now: OffsetDateTime) -> BTreeSet<String> {
        let live = self
            .entries
            .iter()
            .filter(|entry| entry.name == name.as_str() && entry.is_live(now));
        live.map(|entry| entry.uri.clone())
            .filter(|uri| !uri.is_empty())
            .collect()
    }

    fn client(&self, flag: &str, name: &str) -> Result<(ClientName, &str), Failure> {
        let refused = || Failure::usage(format!("`--{flag} {name}` names no client"));
        let client: ClientName = name
            .parse()
            .map_err(|error: crate::pki::names::Error| refused().caused_by(error))?;
        let authority = self.authority.ok_or_else(|| {
            refused().hint(
                "the gateway trusts CAs that no authority of kubectl-mtls holds; give the clients' `spiffe://` URIs instead of names",
            )
        })?;
        Ok((client, authority))
    }

    fn unknown(&self, name: &ClientName) -> Failure {
        if let Some(reason) = &self.unseen {
            return Failure::refused(format!(
                "cannot tell whether `{name}` has a certificate: {reason}"
            ))
            .hint("`--allow-unknown` lists clients without looking them up")
            .for_want_of_rights();
        }
        if let (Some(fault), Some(authority)) = (&self.lost, self.authority) {
            return fault.refusal(authority).hint(format!(
                "`--allow-unknown` lists the client `{name}` anyway"
            ));
        }
        let of_name: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.name == name.as_str())
            .collect();
        let failure = if of_name.is_empty() {
            let known = self.entries.iter().map(|entry| entry.name.as_str());
            Failure::refused(format!("no client named `{name}`"))
                .hint(spelling::meant(name.as_str(), known))
        } else {
            let is_revoked = of_name
                .iter()
                .any(|entry| entry.state == EntryState::Revoked);
            let became = if is_revoked { "revoked" } else { "expired" };
            Failure::refused(format!("every certificate of client `{name}` is {became}"))
        };
        failure
            .hint(format!(
                "issue a certificate first: kubectl mtls issue-client {}{}",
                quoted(name.as_str()),
                self.flag()
            ))
            .hint("`--allow-unknown` lists the client anyway")
    }

    fn flag(&self) -> String {
        match self.authority {
            Some(authority) if authority != crate::resources::names::FIRST_AUTHORITY => {
                format!(" --authority {authority}")
            }
            _ => String::new(),
        }
    }

    /// The client name of each listed identity, if it has one.
    fn names_of(&self, uris: &BTreeSet<String>) -> BTreeMap<String, String> {
        let prefix = self
            .authority
            .map(|authority| format!("{SPIFFE}{authority}-clients/"));
        let name = |uri: &String| {
            let own = prefix.as_ref().and_then(|prefix| uri.strip_prefix(prefix));
            own.unwrap_or(uri).to_owned()
        };
        uris.iter().map(|uri| (uri.clone(), name(uri))).collect()
    }
}

/// A URI SAN that can be listed.
fn uri(flag: &str, name: &str) -> Result<String, Failure> {
    let refused = || Failure::usage(format!("`--{flag} {name}` names no client"));
    if !name.starts_with(SPIFFE) {
        return Err(refused().hint("only identities that start with `spiffe://` can be listed"));
    }
    // Any name will do: whose URI it is, is not the question here, only whether it is one.
    let anybody: ClientName = "x"
        .parse()
        .map_err(|error: crate::pki::names::Error| refused().caused_by(error))?;
    check_uri_san(name, "", &anybody, &[]).map_err(|error| refused().caused_by(error))?;
    Ok(name.to_owned())
}
