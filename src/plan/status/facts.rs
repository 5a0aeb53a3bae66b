//! What was read, sorted once. Every list stays [`Seen`]: a list that may not be read is not an empty one.

use super::{Finding, check, guards, inventory, kubectl, states, witnesses};
use crate::plan::authority::follower;
use crate::plan::witness::Fault;
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::api_rule::ApiRule;
use crate::resources::authority::AuthorityState;
use crate::resources::certificate::Certificate;
use crate::resources::client_ca::ClientCa;
use crate::resources::gateway::Gateway;
use crate::resources::inventory::Entry;
use crate::resources::names::{
    AUTHORITY_LABEL, AUTHORITY_NAMESPACE, CLIENT_CA_ANNOTATION, CredentialNames, INGRESS_NAMESPACE,
};
use crate::resources::virtual_service::VirtualService;
use crate::resources::witness::Witness;
use crate::resources::{Kind, Object, ObjectRef, Unreadable};

/// The objects of one list.
#[derive(Debug)]
pub(super) struct Listed<'a, T> {
    pub readable: Vec<(&'a Object, T)>,
    /// Those that do not have the shape of their kind.
    pub damaged: Vec<(&'a Object, Unreadable)>,
}

impl<'a, T> Listed<'a, T> {
    fn of(objects: &'a [Object], read: impl Fn(&Object) -> Result<T, Unreadable>) -> Self {
        let mut listed = Self {
            readable: Vec::new(),
            damaged: Vec::new(),
        };
        for object in objects {
            match read(object) {
                Ok(value) => listed.readable.push((object, value)),
                Err(error) => listed.damaged.push((object, error)),
            }
        }
        listed
    }
}

/// The objects that were seen and have the shape of their kind; a kind that is not served has none.
pub(super) fn readable<'a, 'w, T>(seen: &'a Seen<Listed<'w, T>>) -> &'a [(&'w Object, T)] {
    seen.found().map_or(&[], |listed| &listed.readable)
}

/// The objects that were seen and do not have the shape of their kind.
pub(super) fn damaged<'a, 'w, T>(seen: &'a Seen<Listed<'w, T>>) -> &'a [(&'w Object, Unreadable)] {
    seen.found().map_or(&[], |listed| &listed.damaged)
}

/// Why it could not be seen what there is. A kind that is not served is seen: there is none of it.
pub(super) fn blind<T>(seen: &Seen<T>) -> Option<String> {
    match seen {
        Seen::NotServed => None,
        seen => seen.unknown(),
    }
}

/// What was read of the cluster.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub observed: &'a Observed,
    pub gateways: Listed<'a, Gateway>,
    pub rules: Seen<Listed<'a, ApiRule>>,
    pub virtual_services: Seen<Listed<'a, VirtualService>>,
    pub certificates: Seen<Listed<'a, Certificate>>,
    pub states: Seen<Listed<'a, AuthorityState>>,
    pub inventory: Seen<Listed<'a, Entry>>,
    pub witnesses: Seen<Listed<'a, Witness>>,
}

/// Whose the CAs of a client-CA Secret are.
#[derive(Debug)]
pub(super) enum Owner<'a> {
    /// An authority of ours.
    Ours(&'a AuthorityState),
    /// An authority of ours, whose state cannot be read.
    Damaged(&'a Unreadable),
    /// An authority of ours, by its name, that has no state.
    Lost(String),
    /// It could not be seen.
    Unknown(Finding),
    /// No authority of ours.
    Nobody,
}

impl<'a> Facts<'a> {
    /// Sorts what was read; without the Gateways there is nothing to report on.
    pub fn of(observed: &'a Observed) -> Reconciled<Self> {
        let gateways = Query::everywhere(Kind::Gateway);
        let gateways = observed.list(&gateways)?;
        let certificates = Query::within(Kind::Certificate, INGRESS_NAMESPACE);
        Ok(Self {
            observed,
            gateways: Listed::of(gateways, Gateway::read),
            rules: listed(observed, &Query::everywhere(Kind::ApiRule), ApiRule::read)?,
            virtual_services: listed(
                observed,
                &Query::everywhere(Kind::VirtualService),
                VirtualService::read,
            )?,
            certificates: listed(observed, &certificates, Certificate::read)?,
            states: listed(observed, &states(), AuthorityState::read)?,
            inventory: listed(observed, &inventory(), Entry::read)?,
            witnesses: listed(observed, &witnesses(), Witness::read)?,
        })
    }

    /// Whose the CAs are that a gateway reads, as the authorities' states and the object itself say.
    pub fn owner(&self, source: &ObjectRef, client_ca: Option<&ClientCa>) -> Owner<'_> {
        if let Some(reason) = blind(&self.states) {
            return Owner::Unknown(Finding::new(
                &check::AUTHORITY_NOT_CHECKED,
                format!(
                    "the states of the authorities in `{AUTHORITY_NAMESPACE}` could not be listed: {reason}"
                ),
                remedy(&self.states),
            ));
        }
        let shown = client_ca.and_then(|client_ca| client_ca.authority.as_deref());
        let states = readable(&self.states);
        let by_source = states.iter().find(|(object, state)| {
            object.reference() == source || follower(state).as_ref() == Some(source)
        });
        let by_label = || {
            let mut states = states.iter();
            states.find(|(_, state)| Some(state.authority.as_str()) == shown)
        };
        if let Some((_, state)) = by_source.or_else(by_label) {
            return Owner::Ours(state);
        }
        let is_it = |object: &Object| {
            object.reference() == source
                || object.annotation(CLIENT_CA_ANNOTATION) == Some(&source.name)
                || shown == Some(object.name())
        };
        let damaged = damaged(&self.states);
        if let Some((_, error)) = damaged.iter().find(|(object, _)| is_it(object)) {
            return Owner::Damaged(error);
        }
        let lost = || {
            let is_authority =
                source.kind == Kind::ConfigMap && source.namespace == AUTHORITY_NAMESPACE;
            is_authority.then(|| source.name.clone())
        };
        let lost = shown.map(str::to_owned).or_else(lost);
        lost.map_or(Owner::Nobody, Owner::Lost)
    }

    /// What was lost of an authority, or of its inventory, as far as the witnesses were seen.
    pub fn lost(&self, authority: &str, state: Option<&AuthorityState>) -> Option<Fault> {
        let witnesses = self.witnesses.found()?;
        let of_it = |witness: &&Witness| witness.authority == authority;
        let witness = witnesses
            .readable
            .iter()
            .map(|(_, witness)| witness)
            .find(of_it);
        match Fault::of(state, witness) {
            // Somebody may have changed both between the two lists; what a gateway reads was read after them.
            Some(Fault::RolledBack { .. }) => {
                let own = CredentialNames::of_authority(authority).state();
                let again = self.observed.already_read(&own);
                let again = again.map(|seen| seen.read_as(|object| AuthorityState::read(object)));
                let again = again.as_ref().and_then(Seen::found);
                Fault::of(again.or(state), witness)
            }
            fault => fault,
        }
    }

    /// The entries of an authority's clients that cannot be read.
    pub fn damaged_entries(
        &self,
        authority: &str,
    ) -> impl Iterator<Item = &(&'a Object, Unreadable)> {
        damaged(&self.inventory)
            .iter()
            .filter(move |(object, _)| object.label(AUTHORITY_LABEL) == Some(authority))
    }

    /// The policies beside the proxies.
    pub fn policies(&self) -> Reconciled<Seen<&'a [Object]>> {
        self.observed.try_list(&guards::query())
    }

    /// Findings about routes that could not be listed, where no host tells them.
    pub fn unseen_routes(&self) -> Vec<Finding> {
        let unseen = [
            (Kind::ApiRule, blind(&self.rules), remedy(&self.rules)),
            (
                Kind::VirtualService,
                blind(&self.virtual_services),
                remedy(&self.virtual_services),
            ),
        ];
        let told = unseen.into_iter().filter_map(|(kind, reason, remedy)| {
            let says = format!(
                "the {} could not be listed, so a route whose Gateway is gone could not be seen: {}",
                kind.plural(),
                reason?
            );
            Some(Finding::new(&check::ROUTE_NOT_CHECKED, says, remedy))
        });
        told.collect()
    }

    /// Findings about objects that cannot be read, whichever host they belong to; of one namespace only, where one is given.
    pub fn damages(&self, namespace: Option<&str>) -> Vec<Finding> {
        let gateways = self.gateways.damaged.iter().map(|(object, error)| {
            let says = format!("{error}: its hosts are not in this report");
            (&check::GATEWAY_UNREADABLE, object, says)
        });
        let routes = damaged(&self.rules)
            .iter()
            .chain(damaged(&self.virtual_services))
            .map(|(object, error)| {
                let says = format!("{error}: what it routes is not in this report");
                (&check::ROUTE_UNREADABLE, object, says)
            });
        let within =
            |object: &Object| namespace.is_none_or(|namespace| object.namespace() == namespace);
        let mut findings: Vec<Finding> = gateways
            .chain(routes)
            .filter(|(_, object, _)| within(object))
            .map(|(check, object, says)| {
                Finding::new(check, says, kubectl::edit(object.reference()))
            })
            .collect();
        if namespace.is_none() {
            let states = damaged(&self.states).iter();
            findings.extend(states.map(|(_, error)| damaged_state(error)));
        }
        findings
    }
}

/// The finding on a state that cannot be read.
pub(super) fn damaged_state(error: &Unreadable) -> Finding {
    Finding::new(
        &check::AUTHORITY_DAMAGED,
        format!("{error}: nothing can be issued, and whose clients get in is not known"),
        "`kubectl mtls ca-rotate --restore` mends it, and tells first what it will do with `--dry-run`",
    )
}

/// What to do about something that could not be seen.
pub(super) fn remedy<T>(seen: &Seen<T>) -> &'static str {
    match seen {
        Seen::Denied(_) => "`kubectl mtls rbac status` prints the Role that allows it",
        _ => "run `kubectl mtls status` again; `-v 6` shows the requests",
    }
}

fn listed<'a, T>(
    observed: &'a Observed,
    query: &Query,
    read: impl Fn(&Object) -> Result<T, Unreadable>,
) -> Reconciled<Seen<Listed<'a, T>>> {
    let seen = observed.try_list(query)?;
    Ok(seen.map(|&objects| Listed::of(objects, read)))
}
