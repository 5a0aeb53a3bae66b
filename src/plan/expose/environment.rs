//! What kind of cluster this is, decided once from what was read: which kinds it serves.

use super::{Request, get, ingress, workload_policy};
use crate::plan::{Blocked, Observed, Query, Reconciled, Seen};
use crate::resources::names::CredentialNames;
use crate::resources::route::Routing;
use crate::resources::{Kind, ObjectRef, certificate};

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
    pub fn of(request: &Request, observed: &Observed) -> Reconciled<Self> {
        let is_served = |object: &ObjectRef| {
            let seen = observed.try_get(object)?;
            Ok::<_, Blocked>(!matches!(seen, Seen::NotServed))
        };
        // A kind that is of no use to most may be missing in a user's Roles.
        let is_readable = |object: &ObjectRef| match observed.try_get(object)? {
            Seen::NotServed | Seen::Denied(_) => Ok::<_, Blocked>(false),
            _ => observed.get(object).map(|_| true),
        };
        let rule = Routing::ApiRule.reference(&request.namespace, &request.service);
        let certificate = |kind| {
            let name = CredentialNames::first().certificate;
            certificate::reference(kind, &ingress::guess(request).namespace, &name)
        };
        Ok(Self {
            routing: if is_served(&rule)? {
                Routing::ApiRule
            } else {
                Routing::VirtualService
            },
            has_gardener: is_served(&certificate(Kind::Certificate))?,
            has_cert_manager: is_readable(&certificate(Kind::CertManagerCertificate))?,
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
