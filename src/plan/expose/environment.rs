//! What kind of cluster this is, decided once from what was read: which kinds it serves.

use super::{Request, get, workload_policy};
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::names::CredentialNames;
use crate::resources::route::Routing;
use crate::resources::{Kind, certificate};

/// What the cluster has to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Environment {
    /// Kyma's `APIRule` where it is served, else a `VirtualService`.
    pub routing: Routing,
    /// Whether Gardener issues certificates here.
    pub has_gardener: bool,
    /// Whether cert-manager does, as far as that may be seen.
    pub has_cert_manager: bool,
}

impl Environment {
    /// What is known before the ingress gateway is: how Services are routed.
    pub fn of(request: &Request, observed: &Observed) -> Reconciled<Self> {
        let rule = Routing::ApiRule.reference(&request.namespace, &request.service);
        let routing = match observed.try_get(&rule)? {
            Seen::NotServed => Routing::VirtualService,
            _ => Routing::ApiRule,
        };
        Ok(Self {
            routing,
            has_gardener: false,
            has_cert_manager: false,
        })
    }

    /// The same with who issues certificates in the namespace of the proxies, the only one in which a user may have rights.
    pub fn with_issuers(self, proxy_namespace: &str, observed: &Observed) -> Reconciled<Self> {
        let certificate = |kind| {
            let name = CredentialNames::first().certificate;
            certificate::reference(kind, proxy_namespace, &name)
        };
        let [gardeners, cert_managers] = certificate::KINDS.map(certificate);
        observed.prefetch([&gardeners, &cert_managers].map(|one| get(one.clone())))?;
        // A kind that is of no use to most may be missing in a user's Roles.
        let has_cert_manager = match observed.try_get(&cert_managers)? {
            Seen::NotServed | Seen::Denied(_) => false,
            _ => observed.get(&cert_managers).map(|_| true)?,
        };
        Ok(Self {
            has_gardener: !matches!(observed.try_get(&gardeners)?, Seen::NotServed),
            has_cert_manager,
            ..self
        })
    }

    /// The kinds of Certificates that there are.
    pub fn certificates(self) -> Vec<Kind> {
        let has = |kind: &Kind| match kind {
            Kind::CertManagerCertificate => self.has_cert_manager,
            _ => self.has_gardener,
        };
        certificate::KINDS.into_iter().filter(has).collect()
    }

    /// What only a cluster without Kyma is asked for.
    pub fn queries(self, request: &Request, observed: &Observed) -> Reconciled<Vec<Query>> {
        if self.routing == Routing::ApiRule {
            return Ok(Vec::new());
        }
        let route = self.routing.reference(&request.namespace, &request.service);
        let mut queries = vec![get(route)];
        queries.extend(workload_policy::queries(request, observed)?);
        Ok(queries)
    }
}
