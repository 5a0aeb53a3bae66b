//! The Secrets from which gateways read their client CA where an authority does not exist yet.

use std::collections::BTreeSet;

use crate::plan::{Observed, Query, Reconciled, Seen, placement};
use crate::resources::gateway::Gateway;
use crate::resources::names::{CredentialNames, INGRESS_NAMESPACE};
use crate::resources::{Kind, ObjectRef, client_ca};

/// The Secrets with an authority's names that may hold external CAs: those beside the proxies of every Gateway that reads one of them.
/// Where no such Gateway is seen, those in `istio-system`.
pub fn earlier_secrets(names: &CredentialNames, observed: &Observed) -> Reconciled<Vec<ObjectRef>> {
    let known = [names.earlier_client_ca(), names.derived_client_ca()];
    let everywhere = Query::everywhere(Kind::Gateway);
    observed.prefetch([everywhere.clone()])?;
    let listed = observed.try_list(&everywhere)?;
    let objects = listed.found().copied().unwrap_or_default();
    let gateways = objects.iter().filter_map(|one| Gateway::read(one).ok());
    let reads_one = |gateway: &Gateway| {
        gateway.tls_servers().any(|server| {
            let source = server.client_ca_source();
            let is_secret = source.kind == Kind::Secret;
            server.is_mutual() && is_secret && known.contains(&source.name)
        })
    };
    let readers = placement::located(gateways.filter(reads_one).collect(), observed)?;
    let namespaces = readers.iter().flat_map(|one| one.ingress.namespaces());
    let mut namespaces: BTreeSet<&str> = namespaces.collect();
    if namespaces.is_empty() {
        namespaces.insert(INGRESS_NAMESPACE);
    }
    let secrets = namespaces.into_iter().flat_map(|namespace| {
        let secret = |name: &String| client_ca::secret(namespace, name);
        known.iter().map(secret).collect::<Vec<_>>()
    });
    Ok(secrets.collect())
}

/// The reason why the Gateways of all namespaces could not be listed, if [`earlier_secrets`] listed them: its result may be incomplete.
pub fn earlier_secrets_unknown(observed: &Observed) -> Option<String> {
    match observed.already_listed(&Query::everywhere(Kind::Gateway))? {
        Seen::NotServed => None,
        listed => listed.unknown(),
    }
}
