//! The record that is written by default: only if all its prerequisites exist, and without conflicts.

use super::super::target::Target;
use super::super::wanted::is_missing;
use super::super::{Request, get};
use super::{Dns, balancer, front, is_kept, observe, record};
use crate::plan::{DryRun, Effect, Observed, Query, Reconciled, Seen, ServerDryRun, Write};
use crate::resources::dns_entry::{self, DnsEntry};
use crate::resources::{Kind, Object, environment};

/// Decides on the default record if this plugin has not written one yet. A Gateway that was made by hand, or to which servers were added,
/// keeps its DNS as it is: its annotation could not record that no provider accepted the record.
pub(super) fn desired(
    request: &Request,
    target: &Target,
    without: Dns,
    observed: &Observed,
) -> Reconciled<Dns> {
    let is_by_hand = target
        .existing
        .as_ref()
        .is_some_and(|existing| !existing.gateway.is_ours || existing.gateway.servers.len() > 1);
    let reference = dns_entry::reference(&target.gateway, &target.names.certificate);
    let left_out = |without: Dns, reason: String| {
        let note = format!(
            "no DNS record was written for `{}`, which is hidden while the issuer renews the server certificate: {reason}",
            target.gateway_host
        );
        Ok(Dns {
            notes: vec![note],
            ..without
        })
    };
    observed.prefetch([get(environment::shoot_info())])?;
    let shoot = observed.try_get(&environment::shoot_info())?;
    let shoot = shoot.found().copied();
    match observe(target, observed)? {
        _ if is_by_hand => return Ok(without),
        Seen::NotServed => return Ok(without),
        Seen::Missing => {}
        Seen::Found(theirs) if is_for(theirs, &target.gateway_host) => return Ok(without),
        Seen::Found(theirs) => {
            let other = format!("{} is for another host", theirs.reference());
            return left_out(without, other);
        }
        other => return left_out(without, other.unknown().unwrap_or_default()),
    }
    if !matches!(is_kept(target, shoot, observed)?, Seen::Found(true)) {
        return Ok(without);
    }
    let everywhere = Query::everywhere(Kind::DnsEntry);
    observed.prefetch([everywhere.clone()])?;
    // Where they may not be listed, the controller tells of another one.
    let entries = observed.try_list(&everywhere)?;
    let entries = entries.found().copied().unwrap_or_default();
    let is_another =
        |entry: &&Object| *entry.reference() != reference && is_for(entry, &target.gateway_host);
    if entries.iter().any(|entry| is_another(&entry)) {
        return Ok(without);
    }
    observed.prefetch(front(target))?;
    let (targets, ip_stack) = match balancer::known(target, observed)? {
        Ok(known) => known,
        Err(reason) => return left_out(without, reason),
    };
    let record = record(request, target, None, targets, ip_stack, shoot.is_some())?;
    if request.dry_run != DryRun::Client && !is_missing(&target.gateway.namespace, observed) {
        match observed.tried(&reference, true) {
            None => {
                return Err(Effect::DryRun(ServerDryRun {
                    write: Write::Apply(record.object),
                    strict: true,
                })
                .into());
            }
            Some(Seen::Denied(denial)) => {
                return left_out(without, format!("not permitted: {denial}"));
            }
            Some(_) => {}
        }
    }
    Ok(Dns {
        record: Some(record),
        ..without
    })
}

fn is_for(entry: &Object, host: &str) -> bool {
    DnsEntry::read(entry).is_ok_and(|entry| entry.host == host)
}
