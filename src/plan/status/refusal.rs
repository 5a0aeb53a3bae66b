//! Whether the gateway refuses clients without certificate, and asks for those of the CAs in the Secret.

use std::collections::BTreeSet;

use super::hosts::Host;
use super::probes::Looked;
use super::{Link, check};
use crate::plan::probe::ExpectedRefusal;
use crate::plan::probe::{Observation, Outcome};
use crate::resources::client_ca::ClientCa;

/// `client_ca` is what the Secret holds, where that is known.
pub(super) fn faults(
    host: &Host,
    looked: &Looked<'_>,
    client_ca: Option<&ClientCa>,
    link: &mut Link,
) {
    let trusted: Option<BTreeSet<Vec<u8>>> = client_ca.map(|client_ca| {
        let subjects = client_ca.bundle.subjects_der().into_iter();
        subjects.map(<[u8]>::to_vec).collect()
    });
    let symptom = looked.group(|observation| observe(host, observation, trusted.as_ref()));
    for (symptom, vias) in symptom {
        tell(symptom, &vias, link);
    }
    if looked.each().next().is_none() {
        link.was_not_seen();
    }
}

/// What one handshake showed that it should not have.
#[derive(Debug, PartialEq)]
enum Symptom {
    Admitted(String),
    NotAsked(String),
    OtherCas(String),
    NotRefused(String),
    /// The server certificate, which is a link of its own, tells why the refusal says nothing.
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
        Outcome::Denied(_) | Outcome::NotForwarded(_) | Outcome::Broken(_) => {
            Symptom::NotRefused(missed)
        }
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

fn tell(symptom: Symptom, vias: &str, link: &mut Link) {
    match symptom {
        Symptom::Admitted(missed) => link.find(
            &check::PROXY_ACCEPTS_EVERYBODY,
            format!("through {vias}, {missed}"),
            "another Gateway serves this host without mutual TLS, or clients' certificates are optional",
        ),
        Symptom::NotAsked(missed) => link.find(
            &check::PROXY_REQUESTS_NO_CERTIFICATE,
            format!("through {vias}, {missed}"),
            "another Gateway serves this host without mutual TLS, or the gateway has not taken its client CA yet",
        ),
        Symptom::OtherCas(missed) => link.find(
            &check::PROXY_OUTDATED_BUNDLE,
            format!("through {vias}, the gateway does not trust what the Secret holds: {missed}"),
            "wait a moment; if it stays, look at the proxy's and istiod's logs",
        ),
        Symptom::NotRefused(missed) => link.find(
            &check::PROXY_NOT_CHECKED,
            format!("the refusal of a client without certificate was not seen through {vias}: {missed}"),
            "run `kubectl mtls status` again; if it stays, look at the proxy's logs",
        ),
        Symptom::Nothing => link.was_not_seen(),
    }
}
