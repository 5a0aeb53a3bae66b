//! What kind of cluster this is, decided once from what was read: which kinds it serves.

use super::{Request, get, ingress, workload_policy};
use crate::plan::{Blocked, Observed, Query, Reconciled, Seen};
use crate::resources::names::CredentialNames;
use crate::resources::route::Routing;
use crate::resources::{ObjectRef, certificate};

/// What the cluster has to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Environment {
    /// Kyma's `APIRule` where it is served, else a `VirtualService`.
    pub routing: Routing,
    /// Whether Gardener issues certificates here.
    pub has_gardener: bool,
}

impl Environment {
    pub fn of(request: &Request, observed: &Observed) -> Reconciled<Self> {
        let is_served = |object: &ObjectRef| {
            let seen = observed.try_get(object)?;
            Ok::<_, Blocked>(!matches!(seen, Seen::NotServed))
        };
        let rule = Routing::ApiRule.reference(&request.namespace, &request.service);
        let certificate = certificate::reference(
            &ingress::guess(request).namespace,
            &CredentialNames::first().certificate,
        );
        Ok(Self {
            routing: if is_served(&rule)? {
                Routing::ApiRule
            } else {
                Routing::VirtualService
            },
            has_gardener: is_served(&certificate)?,
        })
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
