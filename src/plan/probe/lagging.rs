//! Waiting until every proxy that can be asked shows a change in its own configuration.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{SOON, Ways, advice, late_rejections, rejected};
use crate::error::Failure;
use crate::plan::{Effect, Observed, Query, Reconciled, Seen, Wait};
use crate::resources::ObjectRef;
use crate::resources::ingress::pod_name;
use crate::resources::proxy_config::Part;

/// The failure after a timeout, with what was waited for.
pub fn late(timeout: Duration, lines: &[String]) -> Failure {
    Failure::timed_out(format!(
        "timed out after {} s, waiting for {}",
        timeout.as_secs(),
        lines.join("; ")
    ))
}

/// The proxies that do not show a change yet, and the reads that tell when they do.
#[derive(Debug, Default)]
pub struct Lagging {
    lines: Vec<String>,
    reread: BTreeSet<Query>,
    unknown: Option<String>,
}

impl Lagging {
    /// Asks a proxy for a part of its configuration. A proxy that `lags` is waited for, with these words.
    pub fn ask(
        &mut self,
        pod: &ObjectRef,
        part: &Part,
        observed: &Observed,
        lags: impl FnOnce(&BTreeSet<String>) -> bool,
        words: &str,
    ) -> Reconciled<()> {
        let said = observed.proxy_config(pod, part)?;
        if let Seen::Failed(reason) = &said
            && observed.waited() < SOON
        {
            // It may answer in a moment.
            self.lines.push(format!("{}: {reason}", pod_name(pod)));
            self.reread.insert(Query::Proxy(pod.clone(), part.clone()));
            return Ok(());
        }
        self.unknown = self.unknown.take().or(said.unknown());
        if said.found().is_some_and(|said| lags(said)) {
            self.lines.push(format!("{}: {words}", pod_name(pod)));
            self.reread.insert(Query::Proxy(pod.clone(), part.clone()));
        }
        Ok(())
    }

    /// Whether any proxy is waited for.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Reads this again, too, before the proxies are asked again.
    pub fn reread(&mut self, queries: impl IntoIterator<Item = Query>) {
        self.reread.extend(queries);
    }

    /// Waits until no proxy lags; then tells why some of those behind these ways could not be asked. Fails after `timeout`.
    pub fn until_none(
        mut self,
        ways: &[Ways],
        timeout: Duration,
        observed: &Observed,
    ) -> Reconciled<Option<String>> {
        if self.lines.is_empty() {
            let blind = || ways.iter().find_map(Ways::why_unknown);
            return Ok(self.unknown.or_else(blind));
        }
        self.lines.extend(rejected(ways, observed));
        if observed.waited() >= timeout {
            return Err(late(timeout, &self.lines)
                .hints(advice(ways, observed).map(str::to_owned))
                .into());
        }
        let late = ways.iter().flat_map(|ways| late_rejections(ways, observed));
        self.reread.extend(late);
        Err(Effect::Wait(Wait {
            progress: self.lines,
            reread: self.reread.into_iter().collect(),
        })
        .into())
    }
}
