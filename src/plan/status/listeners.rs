//! Listeners whose newest configuration a proxy rejects.

use std::collections::BTreeSet;

use super::hosts::Host;
use super::{Finding, check, proxies, rejected};
use crate::plan::probe::{self, Ways};
use crate::plan::{Observed, Reconciled};
use crate::resources::ingress::pod_name;

/// The finding on proxies that keep an old listener because they reject the new one.
pub(super) fn rejected(
    host: &Host,
    ways: &Ways,
    observed: &Observed,
) -> Reconciled<Option<Finding>> {
    let rejecting: Vec<_> = probe::rejecting(ways, observed).collect();
    // Where the host's own server Secret is the cause, its finding is reported instead.
    if rejecting.is_empty() || server_secret_is_cause(host, ways, observed)? {
        return Ok(None);
    }
    let pods: Vec<String> = rejecting.iter().map(|(pod, _)| pod_name(pod)).collect();
    let reasons: BTreeSet<&str> = rejecting
        .iter()
        .flat_map(|(_, listeners)| listeners.iter().map(String::as_str))
        .collect();
    let is_for_a_secret = reasons.iter().copied().any(is_for_a_secret);
    let reasons: Vec<&str> = reasons.into_iter().collect();
    let verb = if pods.len() == 1 { "rejects" } else { "reject" };
    let seen = format!(
        "{} {verb} a listener: {}",
        pods.join(", "),
        reasons.join("; ")
    );
    let check = &check::PROXY_LISTENER_REJECTED;
    let finding = |remedy: &str| Finding::new(check, seen, remedy);
    Ok(Some(if is_for_a_secret {
        // Envoy's message does not name the Secret, and Envoy does not retry a rejected listener by itself.
        finding(&format!(
            "repair the Secret with that key or certificate (`{CREDENTIALS}` names those of all Gateways); then istiod must send the listeners \
             again: `{}`",
            proxies::restart_of_istiod(host, observed)?
        ))
    } else {
        finding(check.remedy)
    }))
}

/// The command that lists the server Secrets of all Gateways.
const CREDENTIALS: &str = "kubectl get gateways.networking.istio.io -A -o \
                           custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,SECRETS:.spec.servers[*].tls.credentialName";

/// Whether a listener is rejected for the key or certificate of a server, in Envoy's words (`source/common/tls/context_impl.cc`).
fn is_for_a_secret(reason: &str) -> bool {
    reason.contains("Failed to load private key")
        || reason.contains("Failed to load certificate chain")
}

/// Whether proxies reject a listener because of the host's own server Secret: until it is repaired, they load no later change.
pub(super) fn server_secret_is_cause(
    host: &Host,
    ways: &Ways,
    observed: &Observed,
) -> Reconciled<bool> {
    let mut rejected = probe::rejecting(ways, observed).flat_map(|(_, listeners)| listeners);
    let is_for_a_secret = rejected.any(|reason| is_for_a_secret(reason));
    Ok(is_for_a_secret && !rejected::rejecting_server(host, ways, observed)?.is_empty())
}
