//! The ways to an ingress gateway: a port-forward to every proxy, or the addresses in front of them.

use std::fmt;

use super::{HTTPS, pods, service_of};
use crate::plan::ingress::service_queries;
use crate::plan::probe::{Client, Outcome, Probe, Via};
use crate::plan::{Effect, Observed, Query, Reconciled, Seen, command_line};
use crate::resources::address::with_port;
use crate::resources::ingress::{self, IngressGateway};
use crate::resources::service::Service;
use crate::resources::{Object, ObjectRef};

/// The ways to a gateway, and whether each leads to one proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// The ways, all of which are probed.
    pub ways: Vec<Via>,
    /// Why replicas cannot be told apart; `None` when each way leads to one proxy.
    pub replicas_unknown: Option<ReplicasUnknown>,
}

/// Why the replicas of a gateway cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicasUnknown {
    /// `--connect-to` gives an address.
    ConnectTo,
    /// Port-forward is not permitted.
    Denied,
    /// The port-forwards to these Pods failed, each with its reason.
    NotForwarded(Vec<(String, String)>),
    /// The Pods or their port are not known.
    PodsUnknown {
        /// Why they are not known.
        reason: String,
        /// The command that prints the missing Roles, or looks for the cause.
        remedy: String,
    },
}

impl fmt::Display for ReplicasUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectTo => f.write_str("`--connect-to` leads to one address"),
            Self::Denied => f.write_str("port-forward is not permitted"),
            Self::NotForwarded(failures) => {
                let lines: Vec<String> = failures
                    .iter()
                    .map(|(pod, reason)| format!("the port-forward to `{pod}` failed: {reason}"))
                    .collect();
                f.write_str(&lines.join("; "))
            }
            Self::PodsUnknown { reason, .. } => f.write_str(reason),
        }
    }
}

impl ReplicasUnknown {
    /// The command or hint that makes it possible to probe each proxy.
    pub fn remedy(&self) -> &str {
        match self {
            Self::ConnectTo => {
                "without `--connect-to` (and `KUBECTL_MTLS_CONNECT_TO`) each proxy is probed through a port-forward"
            }
            Self::NotForwarded(_) => {
                "check that `kubectl port-forward` reaches the gateway's Pods; until then only the gateway's addresses can be probed"
            }
            Self::Denied => "kubectl mtls rbac status",
            Self::PodsUnknown { remedy, .. } => remedy,
        }
    }
}

impl Ways {
    /// The Pods of the proxies that have a way of their own.
    pub fn pods(&self) -> impl Iterator<Item = &ObjectRef> {
        self.ways.iter().filter_map(|via| match via {
            Via::Proxy(proxy) => Some(&proxy.pod),
            Via::Address(_) => None,
        })
    }

    /// Why replicas cannot be told apart, as text.
    pub fn why_unknown(&self) -> Option<String> {
        self.replicas_unknown.as_ref().map(ToString::to_string)
    }

    fn through(ways: Vec<Via>, why: ReplicasUnknown) -> Self {
        Self {
            ways,
            replicas_unknown: Some(why),
        }
    }
}

/// The reads before a probe.
pub fn queries(ingress: &IngressGateway) -> Vec<Query> {
    let pods = ingress.parts().map(|part| pods(&part));
    pods.chain(service_queries(ingress)).collect()
}

/// Reads the Pods again if this run has changed something since, or if a port-forward to one of them failed: proxies come and go.
pub fn know_pods(
    observed: &Observed,
    ingress: &IngressGateway,
    connect_to: Option<&str>,
) -> Reconciled<()> {
    if connect_to.is_some() {
        return Ok(());
    }
    let mut stale = Vec::new();
    for part in ingress.parts() {
        let listed = pods(&part);
        let is_stale = |via: &Via| {
            matches!(failure(observed, via), Some(Outcome::NotForwarded(_)))
                && !observed.was_listed_after_probe(&listed, via)
        };
        let known = proxies(observed, &part)?.unwrap_or_default();
        let mut changes = observed.changes().last().into_iter();
        if known.iter().any(is_stale)
            || changes.any(|last| observed.was_listed_before(&listed, last))
        {
            stale.push(listed);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(Effect::Read(stale).into())
}

/// The ways to the gateway: the address that the user names; else every proxy of every namespace through a port-forward. Where one
/// fails or is not permitted, each address of the load balancer of its namespace is looked at too.
///
/// Without an address, proxies whose port-forward fails stay among the ways, as unobserved.
pub fn ways(
    observed: &Observed,
    ingress: &IngressGateway,
    connect_to: Option<&str>,
) -> Reconciled<Ways> {
    if let Some(address) = connect_to {
        return Ok(Ways::through(
            vec![Via::Address(address.to_owned())],
            ReplicasUnknown::ConnectTo,
        ));
    }
    let mut all = Ways::default();
    for part in ingress.parts() {
        // Where no proxy is left in a further namespace, nobody is served there.
        let is_further = part.namespace != ingress.namespace;
        if is_further && matches!(observed.try_list(&pods(&part))?, Seen::Found([])) {
            continue;
        }
        let Ways {
            ways,
            replicas_unknown,
        } = ways_in(observed, &part)?;
        all.ways.extend(ways);
        all.replicas_unknown = all.replicas_unknown.or(replicas_unknown);
    }
    Ok(all)
}

/// The ways to the proxies of one namespace.
fn ways_in(observed: &Observed, ingress: &IngressGateway) -> Reconciled<Ways> {
    let addresses = addresses(&service_of(observed, ingress)?.1);
    let proxies = match proxies(observed, ingress)? {
        Ok(proxies) => proxies,
        Err(unknown) => return Ok(Ways::through(addresses, unknown)),
    };
    let failures: Vec<(&Via, &Outcome)> = proxies
        .iter()
        .filter_map(|via| Some((via, failure(observed, via)?)))
        .collect();
    let not_forwarded: Vec<(String, String)> = failures
        .iter()
        .filter_map(|(via, outcome)| match outcome {
            Outcome::NotForwarded(reason) => Some((via.to_string(), reason.clone())),
            _ => None,
        })
        .collect();
    let is_denied = not_forwarded.len() < failures.len();
    let nothing_else = addresses.is_empty() && !(is_denied && failures.len() == proxies.len());
    if failures.is_empty() || nothing_else {
        return Ok(Ways {
            ways: proxies,
            replicas_unknown: None,
        });
    }
    let is_open = |via: &&Via| failures.iter().all(|(failed, _)| failed != via);
    let open = proxies.iter().filter(is_open).cloned();
    let why = if is_denied {
        ReplicasUnknown::Denied
    } else {
        ReplicasUnknown::NotForwarded(not_forwarded)
    };
    Ok(Ways::through(open.chain(addresses).collect(), why))
}

/// The port-forward to every proxy; else why the proxies are not known.
fn proxies(
    observed: &Observed,
    ingress: &IngressGateway,
) -> Reconciled<Result<Vec<Via>, ReplicasUnknown>> {
    let (reference, service) = service_of(observed, ingress)?;
    let unknown =
        |reason: String, remedy: String| Ok(Err(ReplicasUnknown::PodsUnknown { reason, remedy }));
    if let Some(reason) = service.unknown() {
        let reason = format!("{reference} could not be read: {reason}");
        return unknown(reason, service.remedy("status"));
    }
    let ports = service.found().map(|service| service.ports.iter());
    let mut ports = ports.into_iter().flatten();
    let Some(https) = ports.find(|port| port.port == HTTPS) else {
        let get = command_line::kubectl("get", &reference);
        return unknown(format!("{reference} has no port {HTTPS}"), get + " -o yaml");
    };
    let listed = observed.try_list(&pods(ingress))?;
    if let Some(reason) = listed.unknown() {
        let reason = format!("the gateway's Pods could not be listed: {reason}");
        return unknown(reason, listed.remedy("status"));
    }
    let pods: &[Object] = listed.found().copied().unwrap_or_default();
    let ways: Vec<Via> = pods
        .iter()
        .filter_map(|pod| ingress::proxy(pod, https))
        .map(Via::Proxy)
        .collect();
    if ways.is_empty() {
        let (namespace, labels) = (&ingress.namespace, ingress.labels());
        let get = format!("kubectl get pods -n {namespace} -l {labels}");
        return unknown("no Pod of the gateway is running".to_owned(), get);
    }
    Ok(Ok(ways))
}

/// The reason why a port-forward to a proxy failed.
fn failure<'a>(observed: &'a Observed, via: &'a Via) -> Option<&'a Outcome> {
    let mut outcomes = observed
        .probes_via(via)
        .map(|observation| &observation.outcome);
    outcomes.find(|outcome| matches!(outcome, Outcome::Denied(_) | Outcome::NotForwarded(_)))
}

/// The load balancer's addresses.
fn addresses(service: &Seen<Service>) -> Vec<Via> {
    let known = service
        .found()
        .map(|service| service.load_balancer.as_slice())
        .unwrap_or_default();
    let known = known.iter().map(|address| with_port(address, HTTPS));
    known.map(Via::Address).collect()
}

/// The same probe through every way.
pub fn probes(ways: &Ways, host: &str, client: &Client) -> impl Iterator<Item = Probe> {
    ways.ways.iter().map(move |via| Probe {
        via: via.clone(),
        host: host.to_owned(),
        client: client.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Blocked;
    use crate::plan::Event;
    use crate::plan::probe::Observation;
    use crate::resources::Kind;
    use serde_json::json;

    const REFUSED: &str = "certificate_required";

    fn gateway() -> IngressGateway {
        IngressGateway::default()
    }

    fn observed(pods: &[&str], balancer: &[&str]) -> Observed {
        let mut observed = Observed::default();
        let ingress: Vec<_> = balancer.iter().map(|ip| json!({"ip": ip})).collect();
        let service = Object::new(super::super::ingress_service())
            .with(
                "spec",
                json!({"ports": [{"name": "https", "port": 443, "targetPort": 8443}]}),
            )
            .with("status", json!({"loadBalancer": {"ingress": ingress}}));
        let [query] = service_queries(&gateway()).try_into().unwrap();
        observed.saw(query, Seen::Found(vec![service]));
        list(&mut observed, pods);
        observed
    }

    fn list(observed: &mut Observed, pods: &[&str]) {
        let pod = |name: &&str| {
            Object::new(ObjectRef::new(Kind::Pod, "istio-system", *name))
                .with("status", json!({"phase": "Running"}))
        };
        let objects = pods.iter().map(pod).collect();
        observed.saw(super::pods(&gateway()), Seen::Found(objects));
    }

    fn seen(observed: &mut Observed, pod: &str, outcome: Outcome) {
        let ways = proxies(observed, &gateway()).unwrap().unwrap();
        let via = ways.iter().find(|via| via.to_string() == pod).unwrap();
        let probe = Probe {
            via: via.clone(),
            host: "a.example.com".to_owned(),
            client: Client::Nobody,
        };
        let observation = Observation {
            offered: None,
            server: None,
            chain: Vec::new(),
            outcome,
            proxy_protocol: false,
        };
        observed.apply(Event::Probed(vec![(probe, vec![observation])]));
    }

    fn names(ways: &Ways) -> Vec<String> {
        ways.ways.iter().map(ToString::to_string).collect()
    }

    fn of(observed: &Observed) -> (Vec<String>, Option<String>) {
        let ways = ways(observed, &gateway(), None).unwrap();
        (names(&ways), ways.why_unknown())
    }

    #[test]
    fn an_address_that_the_user_names_is_the_only_way() {
        let observed = observed(&["gw-1", "gw-2"], &["192.0.2.1"]);
        let ways = ways(&observed, &gateway(), Some("gateway:8443")).unwrap();
        assert_eq!(names(&ways), ["gateway:8443"]);
        assert_eq!(
            ways.why_unknown().unwrap(),
            "`--connect-to` leads to one address"
        );
    }

    #[test]
    fn where_one_port_forward_fails_the_addresses_are_looked_at_beside_the_other_proxies() {
        let mut observed = observed(&["gw-1", "gw-2"], &["192.0.2.1"]);
        seen(&mut observed, "gw-1", Outcome::Refused(REFUSED.to_owned()));
        assert_eq!(of(&observed), (vec!["gw-1".into(), "gw-2".into()], None));
        let failed = "the API server answered with HTTP 502 Bad Gateway";
        seen(
            &mut observed,
            "gw-2",
            Outcome::NotForwarded(failed.to_owned()),
        );
        let (ways, why) = of(&observed);
        assert_eq!(ways, ["gw-1", "192.0.2.1:443"]);
        assert_eq!(
            why.unwrap(),
            format!("the port-forward to `gw-2` failed: {failed}")
        );
    }

    #[test]
    fn a_pod_that_is_gone_is_no_proxy_any_more_and_no_reason_to_look_at_addresses() {
        let mut observed = observed(&["gw-1", "gw-2"], &["192.0.2.1"]);
        assert!(know_pods(&observed, &gateway(), None).is_ok());
        let gone = Outcome::NotForwarded("HTTP 404 Not Found".to_owned());
        seen(&mut observed, "gw-2", gone.clone());
        let Err(Blocked::On(step)) = know_pods(&observed, &gateway(), None) else {
            panic!("the Pods are not read again");
        };
        assert!(matches!(*step, Effect::Read(queries) if queries == [super::pods(&gateway())]));
        list(&mut observed, &["gw-1", "gw-3"]);
        assert!(know_pods(&observed, &gateway(), None).is_ok());
        assert_eq!(of(&observed), (vec!["gw-1".into(), "gw-3".into()], None));
    }

    #[test]
    fn without_an_address_a_proxy_that_is_not_reached_stays_to_be_looked_at() {
        let mut observed = observed(&["gw-1", "gw-2"], &[]);
        seen(&mut observed, "gw-2", Outcome::NotForwarded("x".to_owned()));
        assert_eq!(of(&observed).0, ["gw-1", "gw-2"]);
        seen(&mut observed, "gw-2", Outcome::Denied("x".to_owned()));
        assert_eq!(of(&observed).0, ["gw-1", "gw-2"]);
        // Where none may be reached at all there is no way.
        seen(&mut observed, "gw-1", Outcome::Denied("x".to_owned()));
        let (ways, why) = of(&observed);
        assert!(ways.is_empty());
        assert_eq!(why.unwrap(), "port-forward is not permitted");
    }
}
