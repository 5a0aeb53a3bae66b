//! The kind of cluster, determined once from the resources that it serves.

use super::{Request, get};
use crate::plan::{Observed, Reconciled, Seen};
use crate::resources::names::CredentialNames;
use crate::resources::route::Routing;
use crate::resources::{Kind, certificate};

/// The cluster's capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Environment {
    /// `APIRule` if Kyma serves it, else `VirtualService`.
    pub routing: Routing,
    /// Whether Gardener issues certificates in this cluster.
    pub has_gardener: bool,
    /// Whether cert-manager issues certificates, as far as that may be read.
    pub has_cert_manager: bool,
}

impl Environment {
    /// The capabilities that are known before the ingress gateway is: how Services are routed.
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

    /// Adds the certificate issuers of the proxies' namespace, the only one in which a user may have rights.
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

    /// The kinds of Certificates that the cluster serves.
    pub fn certificates(self) -> Vec<Kind> {
        let has = |kind: &Kind| match kind {
            Kind::CertManagerCertificate => self.has_cert_manager,
            _ => self.has_gardener,
        };
        certificate::KINDS.into_iter().filter(has).collect()
    }
}
