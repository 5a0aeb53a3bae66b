//! Verification that every gateway has loaded the revocation lists.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::{Case, Evidence, Shown};
use crate::error::Failure;
use crate::plan::authority::follower;
use crate::plan::probe::{self, Expectation, ProbeOptions, Served, Ways};
use crate::plan::{Observed, Query, Reconciled, revocations};

impl Case<'_> {
    /// Whether the lists are published as they must be, and every proxy has loaded them: then a run that revokes nothing publishes nothing.
    /// Without a Gateway that reads them, nothing has to be loaded.
    pub(super) fn is_published(&self, served: &[Served], observed: &Observed) -> Reconciled<bool> {
        let state = &self.found.state;
        let is_uncertain = self.was_edited || state.unproven.is_some();
        // Every change removes the dropped CAs that are back in the bundle.
        let is_uncertain = is_uncertain || !state.readmitted.is_empty();
        // A Secret with a copy of the authority may lag behind it.
        if is_uncertain || follower(state).is_some() {
            return Ok(false);
        }
        let connect_to = self.request.connect_to.as_deref();
        for at in served {
            if !probe::is_loaded_everywhere(at, connect_to, observed)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Probes until every gateway rejects the revoked canary of every CA, and accepts the other one. After a run that published nothing
    /// the lists in the proxies are the evidence: no list contains canaries of this run, which may have some because another run was
    /// faster to revoke the same certificates.
    pub(super) fn look(
        &self,
        served: &[Served],
        observed: &Observed,
        now: OffsetDateTime,
    ) -> Reconciled<Vec<Shown>> {
        let published = &self.found.published;
        let offered: BTreeSet<Vec<u8>> = published
            .bundle
            .subjects_der()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        let (evidence, clients) = match observed.change_of(self.found.object.reference()) {
            Some(_) => {
                let cas = published.bundle.certificates();
                let clients = revocations::verdicts(cas, observed, now);
                (Evidence::Handshakes, clients)
            }
            None => (Evidence::LoadedLists, Vec::new()),
        };
        let expectations: Vec<Expectation<'_>> = served
            .iter()
            .map(|at| Expectation {
                at,
                offered: &offered,
                clients: &clients,
                since: self.found.last_publication(observed),
            })
            .collect();
        // A rotation that begins or ends meanwhile changes whom gateways ask for.
        let own = Query::Get(self.found.object.reference().clone());
        let reread: Vec<Query> = std::iter::once(own)
            .chain(follower(&self.found.state).map(Query::Get))
            .collect();
        let options = ProbeOptions {
            timeout: self.request.timeout,
            connect_to: self.request.connect_to.as_deref(),
            afterwards: "the revocation is published; run the same command again to verify that every proxy has loaded it",
            reread: &reread,
            may_send_again: true,
        };
        let ways = probe::until_seen(&expectations, &options, observed)
            .map_err(|stop| revocations::unless_expired(stop, observed, options.afterwards, now))?;
        let shown: Vec<Shown> = served
            .iter()
            .zip(ways)
            .filter(|(at, ways)| !at.is_only_reported(ways))
            .map(|(at, ways)| shown(at, &ways, evidence))
            .collect();
        let blind: Vec<&Shown> = shown.iter().filter(|at| at.through.is_empty()).collect();
        if blind.is_empty() {
            return Ok(shown);
        }
        let failure = Failure::failed(
            "the revocation is published, but not verified: the gateway cannot be probed",
        );
        let lines = blind.iter().map(|at| {
            let why = at
                .replicas_unknown
                .as_deref()
                .unwrap_or("no address is known");
            format!("{}: {why}", at.gateway)
        });
        Err(failure
            .hints(lines)
            .hint("`--connect-to HOST[:PORT]` names an address; run the same command again")
            .into())
    }
}

fn shown(at: &Served, ways: &Ways, evidence: Evidence) -> Shown {
    Shown {
        gateway: at.gateway.to_string(),
        ingress: at.ingress.clone(),
        host: at.host.clone(),
        evidence,
        through: ways.ways.iter().map(ToString::to_string).collect(),
        replicas_unknown: ways.why_unknown(),
    }
}
