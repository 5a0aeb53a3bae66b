//! The reads that several parts of a report need.

use super::{
    AUTHORITY_LABEL, AUTHORITY_NAMESPACE, BTreeSet, CLIENTS_NAMESPACE, Host, INGRESS_NAMESPACE,
    ISTIO_NAMESPACE, Kind, Observed, Query, Reconciled, control_plane, forwarding, probe, witness,
};

/// The reads that find the hosts, and those that all hosts share.
pub(super) fn everything() -> Vec<Query> {
    let shared = vec![
        Query::everywhere(Kind::Gateway),
        Query::everywhere(Kind::VirtualService),
        Query::everywhere(Kind::ApiRule),
        Query::within(Kind::Certificate, INGRESS_NAMESPACE),
        Query::within(Kind::CertManagerCertificate, INGRESS_NAMESPACE),
        Query::Get(probe::ingress_service()),
        states(),
        inventory(),
        witnesses(),
        policies(ISTIO_NAMESPACE),
    ];
    shared.into_iter().chain(forwarding::queries()).collect()
}

/// All policies of a namespace: the guards in that of the proxies, and the policies of the whole mesh in its root namespace.
pub(super) fn policies(namespace: &str) -> Query {
    Query::within(Kind::AuthorizationPolicy, namespace)
}

pub(super) fn states() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(AUTHORITY_NAMESPACE.to_owned()),
        selector: Some(AUTHORITY_LABEL.to_owned()),
        metadata_only: false,
    }
}

pub(super) fn witnesses() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(CLIENTS_NAMESPACE.to_owned()),
        selector: Some(witness::LABEL.to_owned()),
        metadata_only: true,
    }
}

pub(super) fn inventory() -> Query {
    Query::List {
        kind: Kind::ConfigMap,
        namespace: Some(CLIENTS_NAMESPACE.to_owned()),
        selector: Some(AUTHORITY_LABEL.to_owned()),
        metadata_only: true,
    }
}

/// The hosts of which more than a client's view can be looked at.
pub(super) fn looked_at(hosts: &[Host]) -> impl Iterator<Item = &Host> {
    hosts.iter().filter(|host| !host.is_from_outside)
}

/// The mesh configurations of their gateways.
pub(super) fn control_planes(hosts: &[Host], observed: &Observed) -> Reconciled<Vec<Query>> {
    let mut configs = BTreeSet::new();
    for host in looked_at(hosts) {
        configs.extend(control_plane::mesh_configs(
            &host.gateway.ingress,
            observed,
        )?);
    }
    Ok(configs.into_iter().map(Query::Get).collect())
}
