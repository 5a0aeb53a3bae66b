//! What the first reads of a report come to.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Certificate, Certificates, Gateway, INGRESS_NAMESPACE, KINDS, Listed, Observed, Query,
    Reconciled, Server, listed, placement,
};

/// The Gateways, those with mutual TLS with the namespaces of their proxies.
pub(super) fn located<'a>(
    mut listed: Listed<'a, Gateway>,
    observed: &Observed,
) -> Reconciled<Listed<'a, Gateway>> {
    let is_mutual = |gateway: &Gateway| gateway.tls_servers().any(Server::is_mutual);
    let mutual = || {
        listed
            .readable
            .iter()
            .filter(|(_, gateway)| is_mutual(gateway))
    };
    let found = mutual().map(|(_, gateway)| gateway.clone()).collect();
    let mut found = placement::located(found, observed)?.into_iter();
    for (_, gateway) in &mut listed.readable {
        if is_mutual(gateway)
            && let Some(found) = found.next()
        {
            *gateway = found;
        }
    }
    Ok(listed)
}

/// The Certificates in the namespaces of all Gateways' proxies.
pub(super) fn certificates<'a>(
    gateways: &Listed<'a, Gateway>,
    observed: &'a Observed,
) -> Reconciled<BTreeMap<String, Certificates<'a>>> {
    let gateways = gateways.readable.iter();
    let namespaces = gateways.flat_map(|(_, gateway)| gateway.ingress.namespaces());
    let namespaces: BTreeSet<&str> = namespaces.chain([INGRESS_NAMESPACE]).collect();
    let queries = |namespace: &str| KINDS.map(|kind| Query::within(kind, namespace));
    observed.prefetch(namespaces.iter().flat_map(|namespace| queries(namespace)))?;
    let lists = namespaces.into_iter().map(|namespace| {
        let [gardeners, cert_managers] = queries(namespace);
        let read = |query| listed(observed, query, Certificate::read);
        let found = [read(&gardeners)?, read(&cert_managers)?];
        Ok((namespace.to_owned(), found))
    });
    lists.collect()
}
