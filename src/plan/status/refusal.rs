//! Whether the gateway rejects clients without a certificate, and requests those of the trust bundle's CAs.

use std::collections::BTreeSet;

use super::hosts::Host;
use super::probes::Handshakes;
use super::{Link, check};
use crate::plan::probe::{ExpectedRefusal, Observation, Outcome, Ways};
use crate::resources::ObjectRef;
use crate::resources::client_ca::ClientCa;
use crate::resources::ingress::pod_name;

/// `client_ca` is the trust bundle, if it is known; `outdated` proxies are reported already.
pub(super) fn faults(
    host: &Host,
    handshakes: &Handshakes<'_>,
    (client_ca, outdated): (Option<&ClientCa>, &BTreeSet<String>),
    link: &mut Link,
) {
    let trusted: Option<BTreeSet<Vec<u8>>> = client_ca.map(|client_ca| {
        let subjects = client_ca.bundle.subjects_der().into_iter();
        subjects.map(<[u8]>::to_vec).collect()
    });
    let symptom = handshakes.group(|observation| observe(host, observation, trusted.as_ref()));
    let is_only = symptom.len() == 1;
    for (symptom, vias) in symptom {
        let mut pods = vias.split(", ");
        let is_told =
            matches!(symptom, Symptom::OtherCas(_)) && pods.all(|pod| outdated.contains(pod));
        if !is_told {
            let some = is_only.then(|| of_some(&handshakes.ways, &vias)).flatten();
            tell(host, some, symptom, &vias, link);
        }
    }
    if handshakes.each().next().is_none() {
        link.was_not_seen();
    }
}

/// The difference of one handshake from the expected rejection.
#[derive(Debug, PartialEq)]
enum Symptom {
    Admitted(String),
    NotAsked(String),
    OtherCas(String),
    NotRefused(String),
    /// No difference, or one that the server certificate explains, which has a link of its own.
    Nothing,
}

fn observe(
    host: &Host,
    observation: &Observation,
    trusted: Option<&BTreeSet<Vec<u8>>>,
) -> Option<Symptom> {
    let shown: BTreeSet<Vec<u8>> = observation.offered.iter().flatten().cloned().collect();
    let expected = ExpectedRefusal {
        host: &host.probe,
        // Where the Secret could not be read, whatever is asked for may be right.
        offered: trusted.unwrap_or(&shown),
    };
    let missed = expected.misses(observation)?;
    let covers = |observation: &Observation| {
        let server = observation.server.as_ref();
        server.is_some_and(|server| server.covers_host(&host.probe))
    };
    Some(match &observation.outcome {
        Outcome::Answered(_) => Symptom::Admitted(missed),
        _ if observation.server.is_none() => Symptom::Nothing,
        // The request for a certificate comes before the server's own: this one will not come.
        Outcome::Broken(_) if covers(observation) && observation.offered.is_none() => {
            Symptom::NotAsked(format!(
                "the proxy requests no client certificate, {missed}"
            ))
        }
        Outcome::Denied(_)
        | Outcome::NotForwarded(_)
        | Outcome::Broken(_)
        | Outcome::Unreachable(_) => Symptom::NotRefused(missed),
        Outcome::Refused(_) if !covers(observation) => {
            if &shown == expected.offered && observation.offered.is_some() {
                return None;
            }
            Symptom::Nothing
        }
        Outcome::Refused(_) if observation.offered.is_none() => Symptom::NotAsked(missed),
        Outcome::Refused(_) => Symptom::OtherCas(missed),
    })
}

fn tell(host: &Host, some: Option<String>, symptom: Symptom, vias: &str, link: &mut Link) {
    let remedy = some.unwrap_or_else(|| GATEWAYS.to_owned());
    let (check, missed, remedy) = match symptom {
        Symptom::Admitted(missed) => (&check::PROXY_ACCEPTS_EVERYBODY, missed, remedy),
        Symptom::NotAsked(missed) => (&check::PROXY_REQUESTS_NO_CERTIFICATE, missed, remedy),
        Symptom::OtherCas(missed) => (&check::PROXY_OUTDATED_BUNDLE, missed, remedy),
        Symptom::NotRefused(missed) => (
            &check::PROXY_NOT_CHECKED,
            missed,
            "kubectl mtls status -v 6".to_owned(),
        ),
        Symptom::Nothing => return link.was_not_seen(),
    };
    link.find(
        check,
        format!("`{}` through {vias}: {missed}", host.probe),
        remedy,
    );
}

/// The command that restarts these proxies, if they are at most half of them: the others have the same configuration and are correct, so no
/// object in the cluster is the cause.
fn of_some(ways: &Ways, vias: &str) -> Option<String> {
    let named: BTreeSet<&str> = vias.split(", ").collect();
    let pods: Vec<&ObjectRef> = ways.pods().collect();
    let (odd, others): (Vec<&ObjectRef>, Vec<&ObjectRef>) =
        pods.iter().partition(|pod| named.contains(&*pod_name(pod)));
    let namespace = &odd.first()?.namespace;
    let names: Vec<&str> = odd.iter().map(|pod| pod.name.as_str()).collect();
    let is_some = others.len() >= odd.len()
        && odd.len() == named.len()
        && odd.iter().all(|pod| pod.namespace == *namespace);
    is_some.then(|| format!("kubectl delete pods -n {namespace} {}", names.join(" ")))
}

/// The command that shows whether another Gateway serves the host.
const GATEWAYS: &str = "kubectl get gateways.networking.istio.io -A";
