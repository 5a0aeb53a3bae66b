//! Secrets and client CAs whose newest content a proxy rejected.

use super::hosts::Host;
use crate::plan::probe::Ways;
use crate::plan::{Observed, Reconciled};
use crate::resources::client_ca;
use crate::resources::field_managers::written_at;
use crate::resources::proxy_config::{self, Part};
use crate::resources::{Object, ObjectRef};

/// Whether a proxy rejected the newest content of a Secret or client CA, by the name that Gateways give it. False where it is not known.
fn has_rejected(
    pod: &ObjectRef,
    name: &str,
    object: Option<&Object>,
    observed: &Observed,
) -> Reconciled<bool> {
    let rejected = observed.proxy_config(pod, &Part::RejectedUpdates)?;
    let accepted = observed.proxy_config(pod, &Part::AcceptedSecrets)?;
    let written = object.and_then(|object| written_at(&["data"], object));
    Ok(match (written, rejected.found(), accepted.found()) {
        (Some(written), Some(rejected), Some(accepted)) => {
            proxy_config::has_rejected(name, written, rejected, accepted)
        }
        _ => false,
    })
}

/// Whether a proxy rejected the newest client CA.
pub(super) fn has_rejected_client_ca(
    pod: &ObjectRef,
    source: &ObjectRef,
    observed: &Observed,
) -> Reconciled<bool> {
    let object = observed.try_get(source)?;
    let object = object.found().copied();
    has_rejected(pod, &client_ca::field(source), object, observed)
}

/// Whether a proxy rejected the newest content of a host's server Secret, which only some users may look at.
pub(super) fn has_rejected_server(
    pod: &ObjectRef,
    host: &Host,
    observed: &Observed,
) -> Reconciled<bool> {
    let credential = host.server.credential.as_str();
    if credential.is_empty() {
        return Ok(false);
    }
    let secret = observed.try_get_metadata_if_allowed(&host.server.secret(credential))?;
    has_rejected(pod, credential, secret.found().copied(), observed)
}

/// The proxies that rejected the newest content of a host's server Secret.
pub(super) fn rejecting_server<'a>(
    host: &Host,
    ways: &'a Ways,
    observed: &Observed,
) -> Reconciled<Vec<&'a ObjectRef>> {
    let mut pods = Vec::new();
    for pod in ways.pods() {
        if has_rejected_server(pod, host, observed)? {
            pods.push(pod);
        }
    }
    Ok(pods)
}
