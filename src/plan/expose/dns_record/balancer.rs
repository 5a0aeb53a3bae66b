//! The target of a DNS record: the load balancer in front of the gateway's proxies.

use super::super::Request;
use super::super::target::Target;
use crate::error::Failure;
use crate::plan::{DryRun, Effect, Observed, Query, Reconciled, Seen, Wait, probe};
use crate::resources::dns_entry;
use crate::resources::service::IpStack;

/// The known addresses of the load balancer; else the reason why a record cannot be written now.
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

/// The target of the record; the cloud may take minutes to give the load balancer an address.
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
                .hint("the DNS record must lead to the load balancer of this Service")
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
            .hint("the DNS record can be shown once the load balancer has an address")
            .into());
    }
    if !request.wait {
        return Err(Failure::refused(line)
            .hint("the DNS record must lead to the load balancer: without `--no-wait` the command waits for its address")
            .into());
    }
    if observed.waited() >= request.timeout {
        return Err(Failure::timed_out(format!(
            "timed out after {} s, waiting for {line}",
            request.timeout.as_secs()
        ))
        .hint("the cloud provider assigns the address; run the same command again to continue")
        .into());
    }
    Err(Effect::Wait(Wait {
        reread: vec![Query::Get(reference)],
        progress: vec![line],
    })
    .into())
}
