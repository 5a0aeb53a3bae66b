//! The expected answers of gateways before a command continues, and the probes that have not shown them yet.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use super::again::{self, Behind};
use super::{
    ExpectedRefusal, Ways, advice, know_pods, late_rejections, pods, probes, queries, rejected,
    ways,
};
use crate::error::Failure;
use crate::pki::inspect::id_of;
use crate::plan::probe::{Client, Observation, Outcome, Probe, Via};
use crate::plan::{Effect, Observed, Probes, Query, Reconciled, Written};
use crate::resources::ingress::IngressGateway;

use super::served::Served;

/// The expected answer of a gateway to a client with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedAnswer {
    /// TLS succeeds, with any HTTP answer.
    LetIn,
    /// The TLS alert of this IANA name.
    Refused(&'static str),
}

impl ExpectedAnswer {
    /// Why a handshake differs from the expected answer; `None` if it does not.
    fn misses(self, observation: &Observation) -> Option<String> {
        match (self, &observation.outcome) {
            (Self::LetIn, Outcome::Answered(_)) => None,
            (
                _,
                Outcome::Broken(_)
                | Outcome::Unreachable(_)
                | Outcome::Denied(_)
                | Outcome::NotForwarded(_),
            ) => Some(format!("the handshake {}", observation.outcome)),
            (Self::LetIn, outcome) => {
                Some(format!("a client with a valid certificate was {outcome}"))
            }
            (Self::Refused(alert), Outcome::Refused(seen)) if alert == seen => None,
            (Self::Refused("unknown_ca"), outcome @ Outcome::Answered(_)) => Some(format!(
                "a client of a CA that is not trusted was {outcome}"
            )),
            (Self::Refused(alert), outcome) => Some(format!(
                "a client that must be rejected with `{alert}` was {outcome}"
            )),
        }
    }
}

/// The expected answers of one Gateway.
#[derive(Debug, Clone)]
pub struct Expectation<'a> {
    /// The Gateway, and the names for a handshake with it.
    pub at: &'a Served,
    /// The DER names of the CAs that the gateway must request; a client without a certificate must be rejected.
    pub offered: &'a BTreeSet<Vec<u8>>,
    /// The expected answers to clients with a certificate.
    pub clients: &'a [(Client, ExpectedAnswer)],
    /// The change that the gateway must have loaded: earlier handshakes prove nothing.
    pub since: Option<&'a Written>,
}

/// Timeout and address of a gateway probe.
#[derive(Debug, Clone)]
pub struct ProbeOptions<'a> {
    /// Time limit for all waiting.
    pub timeout: Duration,
    /// Address of the gateway to use instead of the load balancer, `HOST:PORT`.
    pub connect_to: Option<&'a str>,
    /// The hint after a timeout: what is left behind, and what to do.
    pub afterwards: &'a str,
    /// Objects that are read again with each round of probes, because another run may change them meanwhile.
    pub reread: &'a [Query],
    /// Whether this run may write what the gateways read.
    pub may_send_again: bool,
}

/// A probe that has not shown the expected answer.
struct Unseen<'a> {
    probe: Probe,
    at: &'a Served,
    reason: String,
}

/// Probes every Gateway through every way until all show the expected answers; returns the ways.
///
/// What proxies have missed is sent to them again.
/// After the timeout, the error names each way without the expected answer, with the expectation and the observation.
pub fn until_seen(
    expectations: &[Expectation<'_>],
    options: &ProbeOptions<'_>,
    observed: &Observed,
) -> Reconciled<Vec<Ways>> {
    let is_named = options.connect_to.is_some();
    for expectation in expectations.iter().filter(|_| !is_named) {
        observed.prefetch(queries(&expectation.at.ingress))?;
        know_pods(observed, &expectation.at.ingress, options.connect_to)?;
    }
    let all: Vec<Ways> = expectations
        .iter()
        .map(|expectation| ways(observed, &expectation.at.ingress, options.connect_to))
        .collect::<Reconciled<_>>()?;
    let unseen: Vec<Unseen<'_>> = expectations
        .iter()
        .zip(&all)
        .flat_map(|(expectation, ways)| expectation.unseen(ways, observed))
        .collect();
    if unseen.is_empty() {
        return Ok(all);
    }
    if observed.waited() >= options.timeout {
        return Err(timed_out(&unseen, &all, options, observed).into());
    }
    let behind = unseen.iter().filter(|_| options.may_send_again);
    let behind: Vec<Behind<'_>> = behind
        .map(|unseen| Behind {
            at: unseen.at,
            via: &unseen.probe.via,
        })
        .collect();
    again::send(&behind, observed)?;
    let ingresses = expectations
        .iter()
        .map(|expectation| &expectation.at.ingress);
    let parts = ingresses
        .filter(|_| !is_named)
        .flat_map(IngressGateway::parts);
    let reread: BTreeSet<Query> = parts.map(|part| pods(&part)).collect();
    let asked = all.iter().flat_map(|ways| late_rejections(ways, observed));
    let progress = unseen.iter().map(|unseen| {
        format!(
            "Gateway {} through {}: {}",
            unseen.at.gateway, unseen.probe.via, unseen.reason
        )
    });
    let progress = progress.chain(rejected(&all, observed));
    Err(Effect::Probe(Probes {
        progress: progress.collect(),
        probes: unseen.into_iter().map(|unseen| unseen.probe).collect(),
        reread: reread
            .into_iter()
            .chain(options.reread.iter().cloned())
            .chain(asked)
            .collect(),
    })
    .into())
}

impl<'a> Expectation<'a> {
    /// The probes without the expected answer, and the differences.
    fn unseen(&self, ways: &Ways, observed: &Observed) -> Vec<Unseen<'a>> {
        let expected = ExpectedRefusal {
            host: &self.at.host,
            offered: self.offered,
        };
        let nobody = (&Client::Nobody, None);
        let shown = self
            .clients
            .iter()
            .map(|(client, answer)| (client, Some(answer)));
        let wanted = std::iter::once(nobody).chain(shown);
        let all = wanted.flat_map(|(client, answer)| {
            probes(ways, &self.at.host, client).map(move |probe| (probe, answer))
        });
        all.filter_map(|(probe, answer)| {
            let observations = observed.observations_since(&probe, self.since);
            let reason = if observations.is_empty() {
                "no handshake was made".to_owned()
            } else {
                let counts =
                    |observation: &&Observation| !self.is_without_server(&probe, observation);
                let mut counting = observations.iter().filter(counts);
                counting.find_map(|observation| match answer {
                    None => expected
                        .misses(observation)
                        .or_else(|| self.at.shows_another(&probe.via, observation)),
                    Some(answer) => answer.misses(observation),
                })?
            };
            Some(Unseen {
                probe,
                at: self.at,
                reason,
            })
        })
        .collect()
    }
}

impl Expectation<'_> {
    /// Whether a handshake shows that a proxy serves nobody, where it may have no server Secret.
    fn is_without_server(&self, probe: &Probe, observation: &Observation) -> bool {
        let Via::Proxy(proxy) = &probe.via else {
            return false;
        };
        let is_shut = matches!(
            observation.outcome,
            Outcome::Broken(_) | Outcome::Unreachable(_)
        );
        is_shut && observation.server.is_none() && self.at.may_lack.contains(&proxy.pod.namespace)
    }
}

impl Served {
    /// Why the server certificate of a handshake is not the expected one.
    fn shows_another(&self, via: &Via, observation: &Observation) -> Option<String> {
        let shown = observation.server.as_ref()?.fingerprint();
        let mut expected = self.certificates.iter().filter(|(namespace, _)| match via {
            Via::Proxy(proxy) => proxy.pod.namespace == **namespace,
            Via::Address(_) => true,
        });
        let (_, first) = expected.clone().next()?;
        (!expected.any(|(_, known)| *known == shown)).then(|| {
            format!(
                "the proxy shows another server certificate than the Secret: {}, expected {}",
                id_of(&shown),
                id_of(first)
            )
        })
    }
}

fn timed_out(
    unseen: &[Unseen<'_>],
    all: &[Ways],
    options: &ProbeOptions<'_>,
    observed: &Observed,
) -> Failure {
    let mut lines: Vec<String> = unseen
        .iter()
        .map(|unseen| {
            format!(
                "{} of {}: {}",
                unseen.probe.via, unseen.at.gateway, unseen.reason
            )
        })
        .collect();
    let blind = all.iter().filter_map(Ways::why_unknown);
    let blind: BTreeSet<String> = blind.collect();
    lines.extend(
        blind
            .into_iter()
            .map(|reason| format!("replicas were not checked one by one: {reason}")),
    );
    lines.extend(rejected(all, observed));
    let mut said = BTreeSet::new();
    lines.retain(|line| said.insert(line.clone()));
    Failure::timed_out(format!(
        "timed out after {} s: the gateway has not loaded the change",
        options.timeout.as_secs()
    ))
    .hints(lines)
    .hints(advice(all, observed).map(str::to_owned))
    .hint(format!(
        "`kubectl mtls status` checks everything between DNS and the client; {}",
        options.afterwards
    ))
}
