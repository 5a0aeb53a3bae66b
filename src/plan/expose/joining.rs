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
pub(super) struct Known(Option<BTreeSet<String>>);

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
        let known: BTreeSet<String> = own.into_iter().chain(route).flat_map(noted).collect();
        Ok(Self((!known.is_empty()).then_some(known)))
    }

    /// The proxies without those of new namespaces that the user does not name, and the names of these namespaces. A namespace that joins
    /// does not lead; refuses where all are new, unless the Gateway's header guard is there, so that only the note was lost.
    pub fn admitted(
        &self,
        (request, gateway): (&Request, &GatewayName),
        mut ingress: IngressGateway,
        observed: &Observed,
    ) -> Reconciled<(IngressGateway, BTreeSet<String>)> {
        let Self(Some(known)) = self else {
            return Ok((ingress, BTreeSet::new()));
        };
        let named = request.ingress.as_ref().map(|named| &named.namespace);
        let is_new = |namespace: &str| {
            !known.contains(namespace) && named.is_none_or(|named| named != namespace)
        };
        let is_known = |namespace: &&str| known.contains(*namespace);
        let first = ingress.namespaces().find(is_known).map(str::to_owned);
        if let Some(first) = first {
            ingress = ingress.led_by(&first);
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
