//! A default record that no provider accepts: it is removed again if the host resolves without it.

use super::super::Request;
use super::super::target::Target;
use super::super::wanted::Wanted;
use super::{Dns, PATIENCE, WITHOUT};
use crate::error::Failure;
use crate::plan::{Action, Effect, Observed, Query, Reconciled, Wait, Write};
use crate::resources::dns_entry::DnsEntry;
use crate::resources::names::DNS_ANNOTATION;
use crate::resources::{Kind, ObjectRef};

/// Waits until a provider has accepted the record; adds a note otherwise.
pub(in crate::plan::expose) fn settle(
    request: &Request,
    target: &Target,
    dns: &Dns,
    wanted: &[Wanted],
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let Some(record) = dns.record.as_ref().filter(|record| !record.is_asked) else {
        return Ok(None);
    };
    let reference = record.object.reference();
    let Some(live) = observed.try_get(reference)?.found().copied() else {
        return Ok(None);
    };
    let entry = DnsEntry::read(live).map_err(|error| Failure::failed(error.to_string()))?;
    if entry.progress.is_ready() {
        return Ok(None);
    }
    let state = entry.progress.said();
    let is_waited_for = observed.waited() < PATIENCE.min(request.timeout);
    if !entry.is_refused() && is_waited_for {
        return Err(Effect::Wait(Wait {
            reread: vec![Query::Get(reference.clone())],
            progress: vec![format!("{reference}: {state}")],
        })
        .into());
    }
    if !entry.is_untaken() {
        return Ok(Some(format!(
            "{reference} is not in effect ({state}): `{}` is hidden while the issuer renews the server certificate",
            target.gateway_host
        )));
    }
    let host = Query::Resolve(target.host.clone());
    observed.prefetch([host])?;
    let addresses = observed.addresses_of(&target.host)?;
    let resolves = addresses.found().is_some_and(|found| !found.is_empty());
    if !resolves {
        return Ok(Some(format!(
            "no DNS provider accepts {reference}, which leads to the gateway ({state})"
        )));
    }
    // The mark first: without it the next run would write the record again.
    if let Some(gateway) = unmarked(target, wanted, observed) {
        return Err(gateway.into());
    }
    Err(Effect::Write(Write::Delete(live.clone())).into())
}

/// Records in the Gateway's annotation that its host has no record.
fn unmarked(target: &Target, wanted: &[Wanted], observed: &Observed) -> Option<Effect> {
    let reference = target.gateway.reference();
    let existing = target.existing.as_ref();
    if existing.is_some_and(|existing| existing.gateway.servers.len() > 1) {
        return None;
    }
    let known = existing.map(|existing| &existing.object);
    let live = observed
        .change_of(&reference)
        .map(|written| &written.answer)
        .or(known)?;
    if !live.is_ours() || live.annotation(DNS_ANNOTATION) == Some(WITHOUT) {
        return None;
    }
    let gateway = wanted
        .iter()
        .find(|wanted| *wanted.object.reference() == reference)?;
    let marked = gateway
        .object
        .clone()
        .with_annotation(DNS_ANNOTATION, WITHOUT);
    debug_assert_eq!(reference.kind, Kind::Gateway);
    Some(Effect::Write(Write::Apply(marked)))
}

/// The note on a record that this run removed again.
pub(super) fn removed(
    target: &Target,
    reference: &ObjectRef,
    observed: &Observed,
) -> Option<String> {
    let written = observed.change_of(reference)?;
    (written.action == Action::Deleted).then(|| {
        format!(
            "no DNS provider accepts a record for `{}`, so {reference} was removed again; the host resolves without it, except while the issuer renews the server certificate",
            target.gateway_host
        )
    })
}
