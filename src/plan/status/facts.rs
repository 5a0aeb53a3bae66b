//! The facts that were read, sorted once. Every list stays [`Seen`]: a list that may not be read is not an empty one.

mod reading;

use reading::{certificates, located};
use std::collections::{BTreeMap, BTreeSet};

use time::Duration;

use super::entries::{ClientLinks, Entries};
pub(super) use super::listed::{Listed, blind, damaged, listed, readable};
use super::{Finding, Request, check, damage, policies, states, witnesses};
use crate::plan::authority::follower;
use crate::plan::check::Check;
use crate::plan::command_line;
use crate::plan::witness::Fault;
use crate::plan::{Observed, Query, Reconciled, Seen, control_plane, placement};
use crate::resources::api_rule::ApiRule;
use crate::resources::authority::AuthorityState;
use crate::resources::certificate::{Certificate, KINDS};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::{Gateway, Server};
use crate::resources::ingress::IngressGateway;
use crate::resources::istiod::REVISION;
use crate::resources::names::{
    AUTHORITY_NAMESPACE, CLIENT_CA_ANNOTATION, CredentialNames, GatewayName, INGRESS_NAMESPACE,
};
use crate::resources::virtual_service::VirtualService;
use crate::resources::witness::Witness;
use crate::resources::{Kind, Object, ObjectRef, Unreadable};

/// The kinds that determine the hosts.
const ROUTING: [Kind; 3] = [Kind::Gateway, Kind::ApiRule, Kind::VirtualService];

/// The facts that were read from the cluster.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub observed: &'a Observed,
    /// Expiry within this time is reported, whatever the lifetime.
    pub within: Duration,
    pub gateways: Listed<'a, Gateway>,
    /// The lists that could be read in the user's own namespace only, or not at all, and why.
    unlisted: Vec<Unlisted>,
    pub rules: Seen<Listed<'a, ApiRule>>,
    pub virtual_services: Seen<Listed<'a, VirtualService>>,
    /// The Certificates, by the namespace of the proxies that read their Secrets.
    certificates: BTreeMap<String, Certificates<'a>>,
    pub states: Seen<Listed<'a, AuthorityState>>,
    pub witnesses: Seen<Listed<'a, Witness>>,
    pub client_links: ClientLinks,
}

/// The Certificates of one namespace: Gardener's and cert-manager's.
pub(super) type Certificates<'a> = [Seen<Listed<'a, Certificate>>; 2];

/// A list over all namespaces that could not be read.
#[derive(Debug)]
struct Unlisted {
    kind: Kind,
    reason: String,
    /// What to do about it.
    remedy: String,
    /// The namespace that was read instead.
    instead: Option<String>,
}

/// The owner of the CAs in an object that gateways read.
#[derive(Debug)]
pub(super) enum Owner<'a> {
    /// An authority of this plugin.
    Ours(&'a AuthorityState),
    /// An authority of this plugin, whose state cannot be read.
    Damaged(Finding),
    /// An authority of this plugin, by its name, that has no state.
    Lost(String),
    /// The owner could not be read.
    Unknown(Finding),
    /// No authority of this plugin.
    Nobody,
}

impl<'a> Facts<'a> {
    /// Sorts the facts. A user who may not list Gateways and routes in all namespaces gets those of his own.
    pub fn of(observed: &'a Observed, request: &Request) -> Reconciled<Self> {
        let namespace = request.own_namespace.as_str();
        // A cluster without Istio has no hosts, and is told what brings them.
        let all = Query::everywhere(Kind::Gateway);
        if let Seen::NotServed = observed.try_list(&all)? {
            observed.list(&all)?;
        }
        let is_denied = |kind| {
            let seen = observed.try_list(&Query::everywhere(kind))?;
            Reconciled::Ok(matches!(seen, Seen::Denied(_)))
        };
        let mut instead = Vec::new();
        for kind in ROUTING {
            if !namespace.is_empty() && is_denied(kind)? {
                instead.push(Query::within(kind, namespace));
            }
        }
        observed.prefetch(instead)?;
        let mut unlisted = Vec::new();
        let mut narrowed = |kind| {
            let seen = observed.try_list(&Query::everywhere(kind))?;
            let Some(reason) = blind(&seen) else {
                return Ok(seen);
            };
            let remedy = remedy(&seen);
            let own = match seen {
                Seen::Denied(_) if !namespace.is_empty() => {
                    observed.try_list(&Query::within(kind, namespace))?
                }
                _ => seen.clone(),
            };
            let is_read = blind(&own).is_none();
            unlisted.push(Unlisted {
                kind,
                reason,
                remedy,
                instead: is_read.then(|| namespace.to_owned()),
            });
            Reconciled::Ok(own)
        };
        let gateways = narrowed(Kind::Gateway)?;
        let rules = narrowed(Kind::ApiRule)?;
        let virtual_services = narrowed(Kind::VirtualService)?;
        let gateways = gateways.found().copied().unwrap_or_default();
        let gateways = located(Listed::of(gateways, Gateway::read), observed)?;
        let certificates = certificates(&gateways, observed)?;
        Ok(Self {
            observed,
            within: request.expiring_within.unwrap_or_default(),
            gateways,
            unlisted,
            rules: rules.map(|&objects| Listed::of(objects, ApiRule::read)),
            virtual_services: virtual_services
                .map(|&objects| Listed::of(objects, VirtualService::read)),
            certificates,
            states: listed(observed, &states(), AuthorityState::read)?,
            witnesses: listed(observed, &witnesses(), Witness::read)?,
            client_links: ClientLinks::default(),
        })
    }

    /// The entries of all clients.
    pub fn entries(&self) -> Reconciled<Entries<'a>> {
        Ok(Entries(self.observed.inventory()?))
    }

    /// The finding on witnesses that could not be listed, unless another finding says that their namespace cannot be read.
    pub fn unseen_witnesses(&self) -> Reconciled<Option<Finding>> {
        let Some(reason) = blind(&self.witnesses) else {
            return Ok(None);
        };
        let is_told = self.entries()?.unread().is_some();
        Ok((!is_told).then(|| {
            Finding::new(
                &check::INVENTORY_NOT_CHECKED,
                format!("the witnesses of the authorities could not be listed: {reason}"),
                remedy(&self.witnesses),
            )
            .because(
                "whether an older copy of the authority or inventory was restored is not known",
            )
        }))
    }

    /// Whether routes of this kind, or Gateways, may exist that were not listed.
    pub fn is_partly_unseen(&self, kind: Kind) -> bool {
        self.unlisted.iter().any(|unlisted| unlisted.kind == kind)
    }

    /// Whether a Gateway may exist that was not read.
    pub fn may_exist(&self, gateway: &GatewayName) -> bool {
        let mut unlisted = self.unlisted.iter();
        unlisted.any(|unlisted| {
            unlisted.kind == Kind::Gateway && unlisted.instead.as_ref() != Some(&gateway.namespace)
        })
    }

    /// Whether no Gateway could be read at all.
    pub fn are_gateways_unseen(&self) -> bool {
        let mut unlisted = self.unlisted.iter();
        unlisted.any(|unlisted| unlisted.kind == Kind::Gateway && unlisted.instead.is_none())
    }

    /// The findings on Gateways and routes that could not be listed, whichever host they belong to.
    pub fn unlisted(&self) -> Vec<Finding> {
        let finding = |unlisted: &Unlisted| {
            let check = match unlisted.kind {
                Kind::Gateway => &check::GATEWAY_NOT_CHECKED,
                _ => &check::ROUTE_NOT_CHECKED,
            };
            let plural = unlisted.kind.plural();
            let seen = match &unlisted.instead {
                Some(namespace) => format!(
                    "the {plural} of other namespaces than `{namespace}` could not be listed: {}",
                    unlisted.reason
                ),
                None => format!("the {plural} could not be listed: {}", unlisted.reason),
            };
            Finding::new(check, seen, &unlisted.remedy)
        };
        self.unlisted.iter().map(finding).collect()
    }

    /// The owner of the CAs that a gateway reads, by the authorities' states and the object itself.
    pub fn owner(&self, source: &ObjectRef, client_ca: Option<&ClientCa>) -> Owner<'_> {
        if let Some(reason) = blind(&self.states) {
            return Owner::Unknown(Finding::new(
                &check::AUTHORITY_NOT_CHECKED,
                format!(
                    "the authorities in the namespace `{AUTHORITY_NAMESPACE}` could not be listed: {reason}"
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
                || object.annotation(CLIENT_CA_ANNOTATION) == Some(&client_ca::note(source))
                || shown == Some(object.name())
        };
        let damaged = damaged(&self.states);
        if let Some((object, error)) = damaged.iter().find(|(object, _)| is_it(object)) {
            return Owner::Damaged(damaged_state(object, error));
        }
        let lost = || {
            let is_authority =
                source.kind == Kind::ConfigMap && source.namespace == AUTHORITY_NAMESPACE;
            is_authority.then(|| source.name.clone())
        };
        let lost = shown.map(str::to_owned).or_else(lost);
        lost.map_or(Owner::Nobody, Owner::Lost)
    }

    /// The loss of an authority or its inventory, as far as the witnesses were read.
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

    /// The policies in the namespace of some proxies.
    pub fn policies(&self, namespace: &str) -> Reconciled<Seen<&'a [Object]>> {
        self.observed.try_list(&policies(namespace))
    }

    /// The policies that can act on an ingress gateway, as far as they were read.
    pub fn policies_on(&self, ingress: &IngressGateway) -> Reconciled<Vec<&'a Object>> {
        Ok(self.acting_on(Kind::AuthorizationPolicy, ingress)?.0)
    }

    /// The objects of a kind that can act on an ingress gateway, and the findings on lists that could not be read.
    pub fn acting_on(
        &self,
        kind: Kind,
        ingress: &IngressGateway,
    ) -> Reconciled<(Vec<&'a Object>, Vec<Finding>)> {
        let (mut found, mut unseen) = (Vec::new(), Vec::new());
        for namespace in acting(ingress, self.observed)? {
            let listed = self.observed.try_list(&Query::within(kind, namespace))?;
            unseen.extend(unlisted(&check::INGRESS_POLICY_NOT_CHECKED, kind, &listed));
            for object in listed.found().copied().unwrap_or_default() {
                if control_plane::is_read(object.label(REVISION), ingress, self.observed)? {
                    found.push(object);
                }
            }
        }
        Ok((found, unseen))
    }

    /// The ingress gateway that a Gateway configures; that of a default installation where the Gateway is gone.
    pub fn ingress(&self, gateway: &GatewayName) -> IngressGateway {
        let mut gateways = self.gateways.readable.iter();
        let known = gateways.find(|(_, known)| known.name == *gateway);
        known.map_or_else(IngressGateway::default, |(_, known)| known.ingress.clone())
    }

    /// The Certificates in the namespace of some proxies.
    pub fn certificates(&self, namespace: &str) -> &Certificates<'a> {
        let found = self.certificates.get(namespace);
        found.unwrap_or(&self.certificates[INGRESS_NAMESPACE])
    }

    /// The findings on objects that cannot be read, whichever host they belong to; of one namespace only, if one is given.
    pub fn damages(&self, namespace: Option<&str>) -> Vec<Finding> {
        let gateways = self.gateways.damaged.iter();
        let gateways = gateways.map(|damaged| (damaged, &check::GATEWAY_UNREADABLE));
        let routes = damaged(&self.rules)
            .iter()
            .chain(damaged(&self.virtual_services));
        let routes = routes.map(|damaged| (damaged, &check::ROUTE_UNREADABLE));
        let within =
            |object: &Object| namespace.is_none_or(|namespace| object.namespace() == namespace);
        let mut findings: Vec<Finding> = gateways
            .chain(routes)
            .filter(|((object, _), _)| within(object))
            .map(|((object, error), check)| {
                Finding::new(
                    check,
                    error.to_string(),
                    command_line::edit(object.reference()),
                )
            })
            .collect();
        if namespace.is_none() {
            let states = damaged(&self.states).iter();
            findings.extend(states.map(|(object, error)| damaged_state(object, error)));
        }
        findings
    }
}

/// The finding on a state that cannot be read.
fn damaged_state(object: &Object, error: &Unreadable) -> Finding {
    let remedy = if AuthorityState::check_format(object).is_ok() {
        command_line::restore(object.name())
    } else {
        "use the version of kubectl-mtls that wrote the object, or a newer one".to_owned()
    };
    // The trust bundle is what gateways read, and says best what is wrong.
    let bundle = object
        .at(&["data", "state.json"])
        .and_then(|_| damage::damage(object, ""));
    bundle.unwrap_or_else(|| Finding::new(&check::AUTHORITY_DAMAGED, error.to_string(), remedy))
}

/// The namespaces with objects that can act on the proxies of an ingress gateway in its first namespace: that one, and the root
/// namespaces of the mesh.
pub(super) fn acting(
    ingress: &IngressGateway,
    observed: &Observed,
) -> Reconciled<BTreeSet<String>> {
    let mut namespaces = control_plane::root_namespaces(ingress, observed)?;
    namespaces.insert(ingress.namespace.clone());
    Ok(namespaces)
}

/// The finding on a list that could not be read.
pub(super) fn unlisted<T>(check: &'static Check, kind: Kind, seen: &Seen<T>) -> Option<Finding> {
    let reason = blind(seen)?;
    let seen_not = format!("the {} could not be listed: {reason}", kind.resource());
    Some(Finding::new(check, seen_not, remedy(seen)))
}

/// The command that prints the Roles for `status`, in a default installation.
pub(super) const ROLES: &str = "kubectl mtls rbac status";

/// The remedy for a fact that could not be read.
pub(super) fn remedy<T>(seen: &Seen<T>) -> String {
    seen.remedy("status")
}
