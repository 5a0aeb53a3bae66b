//! The Service in front of a Gateway's proxies, which has their HTTPS port and the load balancer's addresses.

use super::{HTTPS, ingress_service, pods};
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::ingress::IngressGateway;
use crate::resources::service::Service;
use crate::resources::{Kind, Object, ObjectRef};

/// What must be read to find them, one query for each namespace of the proxies.
pub fn service_queries(ingress: &IngressGateway) -> Vec<Query> {
    ingress.parts().map(|part| service_query(&part)).collect()
}

/// Of proxies in one namespace: for Istio's default ingress its own Service, for another one those that may select its Pods.
fn service_query(ingress: &IngressGateway) -> Query {
    if ingress.is_default() {
        Query::Get(ingress_service())
    } else {
        Query::within(Kind::Service, &ingress.namespace)
    }
}

/// The Service to which clients are sent, and which one it is: that of the first namespace, unless only that of another one has a load
/// balancer with an address.
pub fn service(
    observed: &Observed,
    ingress: &IngressGateway,
) -> Reconciled<(ObjectRef, Seen<Service>)> {
    let mut first = None;
    for part in ingress.parts() {
        let (reference, seen) = service_of(observed, &part)?;
        let is_reached = seen
            .found()
            .is_some_and(|service| !service.load_balancer.is_empty());
        if is_reached {
            return Ok((reference, seen));
        }
        first.get_or_insert((reference, seen));
    }
    let nameless = || ObjectRef::new(Kind::Service, &ingress.namespace, "of the gateway");
    Ok(first.unwrap_or_else(|| (nameless(), Seen::Missing)))
}

/// The Service in front of the proxies of one namespace, and which one it is.
pub fn service_of(
    observed: &Observed,
    ingress: &IngressGateway,
) -> Reconciled<(ObjectRef, Seen<Service>)> {
    if ingress.is_default() {
        let reference = ingress_service();
        let seen = observed
            .try_get(&reference)?
            .read_as(|object| Service::read(object));
        if !matches!(seen, Seen::Missing) {
            return Ok((reference, seen));
        }
        // A Service of another name may stand in front of these proxies.
        let (other, found) = in_front(observed, ingress)?;
        return Ok(match found {
            Seen::Found(service) => (other, Seen::Found(service)),
            _ => (reference, Seen::Missing),
        });
    }
    in_front(observed, ingress)
}

/// The Service for HTTPS that selects proxies of one namespace.
fn in_front(
    observed: &Observed,
    ingress: &IngressGateway,
) -> Reconciled<(ObjectRef, Seen<Service>)> {
    let nameless = ObjectRef::new(Kind::Service, &ingress.namespace, "of the gateway");
    let services = Query::within(Kind::Service, &ingress.namespace);
    let listed = observed.try_list(&services)?;
    let Some(objects) = listed.found().copied() else {
        let unseen = listed.read_as(|_| Err::<Service, _>(""));
        return Ok((nameless, unseen));
    };
    let pods = observed.try_list(&pods(ingress))?;
    let pods = pods.found().copied().unwrap_or_default();
    let in_front = objects.iter().filter_map(|object| {
        let service = Service::read(object).ok()?;
        let has_https = service.ports.iter().any(|port| port.port == HTTPS);
        (has_https && selects(&service, pods)).then_some((object, service))
    });
    // Of several, one that clients outside can reach.
    let reachable = in_front.max_by_key(|(_, service)| !service.load_balancer.is_empty());
    Ok(match reachable {
        Some((object, service)) => (object.reference().clone(), Seen::Found(service)),
        None => (nameless, Seen::Missing),
    })
}

/// Whether a Service selects at least one of the Pods.
pub fn selects(service: &Service, pods: &[Object]) -> bool {
    let labels = || service.selector.iter();
    !service.selector.is_empty()
        && pods
            .iter()
            .any(|pod| labels().all(|(key, value)| pod.label(key) == Some(value)))
}
