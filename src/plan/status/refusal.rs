//! Whether the gateway refuses clients without certificate, and asks for those of the CAs in the Secret.

use std::collections::BTreeSet;

use super::hosts::Host;
use super::way::Looked;
use super::{Link, Mark};
use crate::plan::gateway_look::Expected;
use crate::plan::look::{Outcome, Sighting};
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
    let observed = looked.group(|sighting| observe(host, sighting, trusted.as_ref()));
    for (observed, vias) in observed {
        tell(observed, &vias, link);
    }
    if looked.each().next().is_none() {
        link.was_not_seen();
    }
}

/// What one handshake showed that it should not have.
#[derive(Debug, PartialEq)]
enum Observed {
    Admitted(String),
    NotAsked(String),
    OtherCas(String),
    NotRefused(String),
    /// The server certificate, which is a link of its own, tells why the refusal says nothing.
    Nothing,
}

fn observe(
    host: &Host,
    sighting: &Sighting,
    trusted: Option<&BTreeSet<Vec<u8>>>,
) -> Option<Observed> {
    let shown: BTreeSet<Vec<u8>> = sighting.offered.iter().flatten().cloned().collect();
    let expected = Expected {
        host: &host.probe,
        // Where the Secret could not be read, whatever is asked for may be right.
        offered: trusted.unwrap_or(&shown),
    };
    let missed = expected.misses(sighting)?;
    let covers = |sighting: &Sighting| {
        let server = sighting.server.as_ref();
        server.is_some_and(|server| server.covers_host(&host.probe))
    };
    Some(match &sighting.outcome {
        Outcome::Answered(_) => Observed::Admitted(missed),
        _ if sighting.server.is_none() => Observed::Nothing,
        Outcome::Denied(_) | Outcome::NotForwarded(_) | Outcome::Broken(_) => {
            Observed::NotRefused(missed)
        }
        Outcome::Refused(_) if !covers(sighting) => {
            if &shown == expected.offered && sighting.offered.is_some() {
                return None;
            }
            Observed::Nothing
        }
        Outcome::Refused(_) if sighting.offered.is_none() => Observed::NotAsked(missed),
        Outcome::Refused(_) => Observed::OtherCas(missed),
    })
}

fn tell(observed: Observed, vias: &str, link: &mut Link) {
    match observed {
        Observed::Admitted(missed) => link.find(
            Mark::Error,
            format!("through {vias}, {missed}"),
            "another Gateway serves this host without mutual TLS, or clients' certificates are optional",
        ),
        Observed::NotAsked(missed) => link.find(
            Mark::Error,
            format!("through {vias}, {missed}"),
            "another Gateway serves this host without mutual TLS, or the gateway has not taken its client CA yet",
        ),
        Observed::OtherCas(missed) => link.find(
            Mark::Error,
            format!("through {vias}, the gateway does not trust what the Secret holds: {missed}"),
            "wait a moment; if it stays, look at the proxy's and istiod's logs",
        ),
        Observed::NotRefused(missed) => link.find(
            Mark::Unknown,
            format!("the refusal of a client without certificate was not seen through {vias}: {missed}"),
            "run `kubectl mtls status` again; if it stays, look at the proxy's logs",
        ),
        Observed::Nothing => link.was_not_seen(),
    }
}
