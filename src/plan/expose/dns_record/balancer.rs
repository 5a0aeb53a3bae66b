//! Where a record leads: the load balancer in front of the gateway's proxies.

use super::super::Request;
use super::super::target::Target;
use crate::error::Failure;
use crate::plan::{DryRun, Effect, Observed, Query, Reconciled, Seen, Wait, probe};
use crate::resources::dns_entry;
use crate::resources::service::IpStack;

/// The addresses of the load balancer, as far as they are there; else why a record cannot lead there now.
pub(super) fn known(
    target: &Target,
    observed: &Observed,
) -> Reconciled<Result<(Vec<String>, IpStack), String>> {
    let (reference, seen) = probe::service(observed, &target.ingress)?;
    Ok(match seen {
        Seen::Found(service) if service.load_balancer.is_empty() => {
            Err(format!("{reference}: its load balancer has no address yet"))
        }
        Seen::Found(service) => {
            let targets = dns_entry::targets(&service.load_balancer);
            targets
                .map(|targets| (targets, service.ip_stack))
                .map_err(|why| format!("{reference}: {why}"))
        }
        Seen::Missing => Err(format!("{reference} does not exist")),
        other => Err(format!(
            "{reference} could not be read: {}",
            other.unknown().unwrap_or_default()
        )),
    })
}

/// Where the record leads; the cloud may take minutes to give the load balancer an address.
pub(super) fn awaited(
    request: &Request,
    target: &Target,
    observed: &Observed,
) -> Reconciled<(Vec<String>, IpStack)> {
    let (reference, seen) = probe::service(observed, &target.ingress)?;
    let service = match seen {
        Seen::Found(service) => service,
        Seen::Missing => {
            return Err(Failure::refused(format!("{reference} does not exist"))
                .hint("a record must lead to its load balancer")
                .into());
        }
        Seen::Denied(denial) => {
            return Err(
                Failure::refused(format!("forbidden: cannot read {reference}: {denial}"))
                    .for_want_of_rights()
                    .into(),
            );
        }
        other => {
            let reason = other.unknown().unwrap_or_default();
            return Err(Failure::failed(format!("could not read {reference}: {reason}")).into());
        }
    };
    let refused = |why: String| Failure::refused(format!("{reference}: {why}"));
    if !service.load_balancer.is_empty() {
        let targets = dns_entry::targets(&service.load_balancer).map_err(refused)?;
        return Ok((targets, service.ip_stack));
    }
    let line = format!("{reference}: its load balancer has no address yet");
    if request.dry_run != DryRun::None {
        return Err(Failure::refused(line)
            .hint("a record can be shown once there is one")
            .into());
    }
    if !request.wait {
        return Err(Failure::refused(line)
            .hint("a record must lead to it: without `--no-wait` it is waited for")
            .into());
    }
    if observed.waited() >= request.timeout {
        return Err(Failure::timed_out(format!(
            "timed out after {} s, waiting for {line}",
            request.timeout.as_secs()
        ))
        .hint("the cloud gives it one; run the same command again to continue")
        .into());
    }
    Err(Effect::Wait(Wait {
        reread: vec![Query::Get(reference)],
        progress: vec![line],
    })
    .into())
}
