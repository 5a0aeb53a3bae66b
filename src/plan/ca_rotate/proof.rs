//! Probing every gateway before a step: the CAs that it requests, and canaries of each CA of the authority.

use std::collections::BTreeSet;

use time::Duration;

use super::Run;
use super::report::Looked;
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::plan::identity;
use crate::plan::probe::Client;
use crate::plan::probe::{self, Expectation, ExpectedAnswer, ProbeOptions, Served};
use crate::plan::{Generate, Reconciled, revocations};

/// A canary that ends within this time is generated again.
const ENDING: Duration = Duration::seconds(5);

/// The canaries, and the CAs for which none could be generated.
struct Canaries {
    clients: Vec<(Client, ExpectedAnswer)>,
    unmade: Vec<String>,
}

impl Run<'_> {
    /// Probes until every gateway requests all published CAs, accepts canaries of each trusted CA that has a key and has not expired, and
    /// rejects those of a CA that this run removed.
    pub(super) fn prove(&self) -> Reconciled<Looked> {
        let served = self.served()?;
        if served.is_empty() {
            return Ok(Looked::default());
        }
        let canaries = self.canaries()?;
        let offered: BTreeSet<Vec<u8>> = self
            .published()
            .iter()
            .map(|ca| ca.subject_der().to_vec())
            .collect();
        let since = self.standing.last_publication(self.observed);
        let expectations: Vec<Expectation<'_>> = served
            .iter()
            .map(|at| Expectation {
                at,
                offered: &offered,
                clients: &canaries.clients,
                since,
            })
            .collect();
        let own = self.own_reads();
        let options = ProbeOptions {
            timeout: self.request.timeout,
            connect_to: self.request.connect_to.as_deref(),
            afterwards: "nothing further was written; run the same command again to continue",
            reread: &own,
            may_send_again: true,
        };
        let ways = probe::until_seen(&expectations, &options, self.observed).map_err(|stop| {
            revocations::unless_expired(stop, self.observed, options.afterwards, self.now)
        })?;
        let mut looked = Looked {
            not_shown: canaries.unmade,
            ..Looked::default()
        };
        for (at, ways) in served.iter().zip(ways) {
            if at.is_only_reported(&ways) {
                continue;
            }
            if ways.ways.is_empty() {
                return Err(unreachable(at, ways.why_unknown().as_deref()).into());
            }
            looked.gateways.push(at.gateway.to_string());
            let through = ways.ways.iter().map(ToString::to_string);
            looked.through.extend(through);
            looked.replicas_unknown = looked.replicas_unknown.or(ways.why_unknown());
        }
        looked.gateways.dedup();
        looked.through.sort();
        looked.through.dedup();
        Ok(looked)
    }

    /// The Gateways that read this authority's trust bundle.
    pub(super) fn served(&self) -> Reconciled<Vec<Served>> {
        let all = probe::served(&self.standing.state, self.observed)?;
        Ok(probe::reached(&all, self.request.connect_to.as_deref()))
    }

    /// Notes on Gateways of the Kubernetes Gateway API that were not probed.
    pub(super) fn unprobed(&self) -> Reconciled<Vec<String>> {
        let state = &self.standing.state;
        let all = probe::served(state, self.observed)?;
        let connect_to = self.request.connect_to.as_deref();
        probe::kubernetes_unprobed(state, &all, connect_to, self.observed)
    }

    fn canaries(&self) -> Reconciled<Canaries> {
        let state = &self.standing.state;
        let mut clients = Vec::new();
        let mut unmade = Vec::new();
        let mut wanted = Vec::new();
        let has_key = |ca: &Certificate| -> Reconciled<bool> {
            Ok(self.keys()?.is_some_and(|keys| keys.of(ca).is_some()))
        };
        // Whatever a gateway has loaded, it refuses the clients of a CA that has expired.
        for ca in state.trusted.iter().filter(|ca| !ca.is_expired(self.now)) {
            let canary = if has_key(ca)? {
                identity::canary(&state.authority, &self.signer(ca)?, self.now)?
            } else {
                None
            };
            let Some(canary) = canary else {
                unmade.push(ca.subject().to_owned());
                continue;
            };
            let label = ca.key_id_hex();
            clients.push((Client::shown(&label), ExpectedAnswer::LetIn));
            if !self.is_at_hand(&label) {
                wanted.push((label, canary));
            }
        }
        if !wanted.is_empty() {
            return Err(Generate::Canaries(wanted).into());
        }
        let was_made = |ski: &&String| self.observed.canary(ski).is_some();
        let gone = state.retired.iter().filter(was_made);
        clients.extend(gone.map(|ski| (Client::shown(ski), ExpectedAnswer::Refused("unknown_ca"))));
        // Where this run has written revocation lists: a proxy may still have those before.
        clients.extend(revocations::verdicts(
            self.published(),
            self.observed,
            self.now,
        ));
        Ok(Canaries { clients, unmade })
    }

    fn is_at_hand(&self, label: &str) -> bool {
        let identity = self.observed.canary(label);
        identity.is_some_and(|identity| identity.certificate.not_after() > self.now + ENDING)
    }
}

fn unreachable(at: &Served, reason: Option<&str>) -> Failure {
    Failure::refused(format!(
        "the Gateway `{}` cannot be probed: {}",
        at.gateway,
        reason.unwrap_or("no address is known")
    ))
    .hint("`--connect-to HOST[:PORT]` gives an address of the Gateway; nothing further was written")
}
