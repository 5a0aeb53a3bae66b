//! The Gateways that read an authority, at which its changes must be verified.

use std::collections::{BTreeMap, BTreeSet};

use super::kubernetes::{self, kubernetes_gateways};
use super::ways::Ways;
use crate::plan::authority::follower;
use crate::plan::{Observed, Query, Reconciled, Seen, ingress, placement};
use crate::resources::authority::AuthorityState;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::ingress::IngressGateway;
use crate::resources::names::{CredentialNames, GatewayName};
use crate::resources::{Kind, Object, ObjectRef, client_ca, gateway_api};

/// A Gateway, and the names for a handshake with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The Gateway's kind: Istio's, or that of the Kubernetes Gateway API.
    pub kind: Kind,
    /// The Gateway's name.
    pub gateway: GatewayName,
    /// A host of the Gateway's server: the server name of the handshake.
    pub host: String,
    /// The object from which the server reads its client CA.
    pub client_ca: ObjectRef,
    /// The name by which its proxies ask istiod for the client CA (SDS).
    pub resource: String,
    /// The Gateway's proxies.
    pub ingress: IngressGateway,
    /// The namespaces in which they may have no server Secret: those that show no certificate there serve nobody.
    pub may_lack: BTreeSet<String>,
    /// The SHA-256 fingerprints of the server certificates that the proxies of a namespace must show, where they are known.
    pub certificates: BTreeMap<String, String>,
}

impl Served {
    /// A host that selects a server: the exact host, or one below the wildcard.
    pub fn probe(pattern: &str) -> String {
        pattern.replacen('*', "kubectl-mtls-probe", 1)
    }

    /// The servers of a Gateway that read the authority.
    fn all(gateway: &Gateway, state: &AuthorityState) -> Vec<Self> {
        let servers = gateway.tls_servers();
        let reading = servers.filter(|server| {
            let host = server.hosts.first().map(|host| Self::probe(host));
            // Of two servers with the same host string istiod drops the later one.
            reads(server, state) && host.and_then(|host| gateway.server_for(&host)) == Some(*server)
        });
        reading
            .filter_map(|server| Self::of(gateway, server))
            .collect()
    }

    /// Whether nothing can be probed of a Gateway of the Kubernetes Gateway API, which [is reported](super::kubernetes_unprobed) and no error.
    pub fn is_only_reported(&self, ways: &Ways) -> bool {
        self.kind == Kind::KubernetesGateway && ways.ways.is_empty()
    }

    /// Whether this is a server of a Gateway.
    pub fn is_of(&self, gateway: &ObjectRef) -> bool {
        let named = ObjectRef::new(self.kind, &self.gateway.namespace, &self.gateway.name);
        named == *gateway
    }

    fn of(gateway: &Gateway, server: &Server) -> Option<Self> {
        let client_ca = server.client_ca_source();
        Some(Self {
            kind: Kind::Gateway,
            gateway: gateway.name.clone(),
            host: Self::probe(server.hosts.first()?),
            resource: client_ca::field(&client_ca),
            client_ca,
            ingress: gateway.ingress.clone(),
            may_lack: gateway.ingress.further.clone(),
            certificates: BTreeMap::new(),
        })
    }
}

/// Every server that reads the authority, or the Secret with its content, of the Gateway that the state names and of any other: each has a
/// TLS context of its own in the proxies, and one of them may be stuck. Gateways of the Kubernetes Gateway API are among them.
///
/// If the Gateways of all namespaces may not be listed, the others are not known.
pub fn served(state: &AuthorityState, observed: &Observed) -> Reconciled<Vec<Served>> {
    let named: Option<GatewayName> = state.gateway.as_deref().and_then(|name| name.parse().ok());
    let everywhere = Query::everywhere(Kind::Gateway);
    let own = named.as_ref().map(|name| Query::Get(name.reference()));
    let all = [everywhere.clone(), kubernetes_gateways()];
    observed.prefetch(all.into_iter().chain(own))?;
    let own = match &named {
        Some(name) => observed.get(&name.reference())?,
        None => None,
    };
    let others = match observed.try_list(&everywhere)? {
        Seen::Found(objects) => objects,
        // Without Istio's kinds there is no such Gateway.
        Seen::NotServed => &[],
        _ if named.is_some() => &[],
        _ => observed.list(&everywhere)?,
    };
    let is_other = |object: &&Object| own.is_none_or(|own| own.reference() != object.reference());
    let objects = own.into_iter().chain(others.iter().filter(is_other));
    let gateways = objects.filter_map(|object| Gateway::read(object).ok());
    let may_read = |gateway: &Gateway| {
        let mut servers = gateway.tls_servers();
        servers.any(|server| may_read(server, state))
    };
    let readers = gateways.filter(may_read);
    let readers = placement::located(readers.collect(), observed)?;
    let all = |gateway: &Gateway| Served::all(gateway, state);
    let mut served: Vec<Served> = readers.iter().flat_map(all).collect();
    let kubernetes = kubernetes::readers(state, observed)?;
    served.extend(kubernetes.iter().flat_map(all).map(|at| Served {
        kind: Kind::KubernetesGateway,
        resource: gateway_api::client_ca_resource(&at.client_ca),
        ..at
    }));
    Ok(served)
}

/// The note on Gateways that [`served`] could not find, because not all may be listed.
pub fn others_unknown(observed: &Observed) -> Option<String> {
    let listed = observed.already_listed(&Query::everywhere(Kind::Gateway))?;
    let is_known = matches!(listed, Seen::Found(_) | Seen::NotServed);
    (!is_known).then(|| {
        "Gateways of other namespaces may not be listed: whether one of them reads the same CAs was not checked"
            .to_owned()
    })
}

/// What was not seen of proxies in further namespaces, where Pods of all namespaces may not be listed.
pub fn proxies_unknown<'a>(
    ingresses: impl IntoIterator<Item = &'a IngressGateway>,
    observed: &Observed,
) -> Option<String> {
    let mut ingresses = ingresses.into_iter();
    ingresses
        .find_map(|ingress| ingress::unseen_elsewhere(&ingress.selector, observed))
        .map(|reason| {
            format!("whether proxies of other namespaces have the Gateway's labels too was not checked: {reason}")
        })
}

/// Whether any server of a Gateway checks its clients by an authority, or by the Secret with its content.
pub fn is_reader(gateway: &Gateway, state: &AuthorityState) -> bool {
    let mut servers = gateway.servers.iter();
    servers.any(|server| reads(server, state))
}

/// Whether a server reads an authority, or a Secret with the name of the one with its content, in
/// whatever namespace.
fn may_read(server: &Server, state: &AuthorityState) -> bool {
    let source = server.client_ca_source();
    let is_by_name = |secret: ObjectRef| source.kind == Kind::Secret && source.name == secret.name;
    reads(server, state) || (server.is_mutual() && follower(state).is_some_and(is_by_name))
}

/// Whether a server checks its clients by an authority, or by the Secret with its content.
pub fn reads(server: &Server, state: &AuthorityState) -> bool {
    let source = server.client_ca_source();
    let own = CredentialNames::of_authority(&state.authority).state();
    server.is_mutual() && (source == own || Some(source) == follower(state))
}
