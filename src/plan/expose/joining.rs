//! Namespaces whose Pods get the labels of the ingress gateway after the host was exposed.

use std::collections::BTreeSet;

use super::Request;
use crate::error::Failure;
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::guard::headers_reference;
use crate::resources::ingress::{IngressGateway, noted_namespaces};
use crate::resources::names::{GatewayName, INGRESS_ANNOTATION};
use crate::resources::{Kind, Object};

/// The namespaces of proxies for which the host was exposed before.
///
/// A Gateway configures every router with its labels, also one that somebody starts in a namespace of their own. So a namespace that
/// joins later gets the key of the server certificate, and access to the Service, only where the user names its Service.
pub(super) struct Known(Vec<String>);

impl Known {
    /// What the Gateway, if it is ours, and the route noted when the run began; of a new exposure nothing is known.
    pub fn of(
        gateway: &GatewayName,
        route: Option<&Object>,
        observed: &Observed,
    ) -> Reconciled<Self> {
        let reference = gateway.reference();
        let mut gateways = observed.list(&Query::everywhere(Kind::Gateway))?.iter();
        let own = gateways.find(|object| *object.reference() == reference && object.is_ours());
        let noted = |object: &Object| noted_namespaces(object.annotation(INGRESS_ANNOTATION));
        Ok(Self(own.into_iter().chain(route).flat_map(noted).collect()))
    }

    /// The proxies without those of new namespaces that the user does not name, and the names of these namespaces. The namespace that was
    /// noted first leads, unless the user names others. Refuses where all are new, unless the Gateway's header guard is there, so that only
    /// the note was lost.
    pub fn admitted(
        &self,
        (request, gateway): (&Request, &GatewayName),
        mut ingress: IngressGateway,
        observed: &Observed,
    ) -> Reconciled<(IngressGateway, BTreeSet<String>)> {
        let Self(known) = self;
        if known.is_empty() {
            return Ok((ingress, BTreeSet::new()));
        }
        let is_new = |namespace: &str| {
            let mut named = request.ingress.iter().map(|service| &service.namespace);
            known
                .iter()
                .chain(&mut named)
                .all(|known| known != namespace)
        };
        let is_there = |known: &&String| ingress.namespaces().any(|there| there == **known);
        if let Some(first) = known.iter().find(is_there)
            && request.ingress.is_empty()
        {
            ingress = ingress.led_by(first);
        }
        let is_guarded = || -> Reconciled<bool> {
            let guard = observed.try_get(&headers_reference(&ingress.namespace, gateway))?;
            Ok(guard.found().is_some_and(|guard| guard.is_ours()))
        };
        if is_new(&ingress.namespace) && !is_guarded()? {
            return Err(Failure::refused(format!(
                "the Pods with the labels `{}` run in `{}`, for which the host was not exposed",
                ingress.labels(),
                ingress.namespace
            ))
            .hint(format!(
                "if they belong to your ingress gateway, name the Service in front of them: `--ingress {}/SERVICE`",
                ingress.namespace
            ))
            .into());
        }
        let further = std::mem::take(&mut ingress.further).into_iter();
        let (left_out, admitted) = further.partition(|namespace| is_new(namespace));
        ingress.further = admitted;
        Ok((ingress, left_out))
    }
}
