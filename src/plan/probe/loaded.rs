//! The client CA that proxies have loaded, as their own configuration says.

use super::served::Served;
use super::{know_pods, queries, ways};
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::ObjectRef;
use crate::resources::client_ca::{self, Material};
use crate::resources::proxy_config::{self, Part, has_loaded, has_taken_all, loaded};

/// Whether a proxy has loaded the material that is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// It has loaded the same trust bundle and the same revocation lists.
    Current,
    /// It has loaded another trust bundle.
    OtherBundle,
    /// It has loaded the trust bundle, and other revocation lists.
    OtherCrl,
}

/// Whether a proxy has loaded the client CA; `None` if that, or the client CA, is not known, or if the proxy has loaded nothing, which its
/// handshakes show.
pub fn load(source: &ObjectRef, pod: &ObjectRef, observed: &Observed) -> Reconciled<Option<Load>> {
    load_as(&client_ca::field(source), source, pod, observed)
}

/// The same for a client CA that proxies know by this name.
pub(super) fn load_as(
    name: &str,
    source: &ObjectRef,
    pod: &ObjectRef,
    observed: &Observed,
) -> Reconciled<Option<Load>> {
    let seen = observed.try_get(source)?;
    let material = seen.found().and_then(|object| Material::read(object).ok());
    let said = observed.proxy_config(pod, &Part::ClientCas)?;
    let (Some(material), Some(lines)) = (material, said.found()) else {
        return Ok(None);
    };
    let has = |part, bytes: &[u8]| lines.contains(&loaded(name, part, bytes));
    let (bundle, crl) = (proxy_config::Material::Bundle, proxy_config::Material::Crl);
    if !has_loaded(lines, name, bundle) {
        return Ok(None);
    }
    let has_crl = match &material.crl {
        Some(bytes) => has(crl, bytes),
        None => !has_loaded(lines, name, crl),
    };
    Ok(Some(if !has(bundle, &material.bundle) {
        Load::OtherBundle
    } else if has_crl {
        Load::Current
    } else {
        Load::OtherCrl
    }))
}

/// The parts of a proxy's configuration that show which client CA it uses.
const PARTS: [Part; 4] = [
    Part::ClientCas,
    Part::TrustedSecrets,
    Part::RejectedUpdates,
    Part::AcceptedSecrets,
];

/// Whether every proxy of a Gateway checks its clients by exactly the trust bundle and revocation lists that are in the cluster. False where
/// the proxies cannot be asked one by one.
pub fn is_loaded_everywhere(
    at: &Served,
    connect_to: Option<&str>,
    observed: &Observed,
) -> Reconciled<bool> {
    if connect_to.is_some() {
        return Ok(false);
    }
    observed.prefetch(queries(&at.ingress))?;
    know_pods(observed, &at.ingress, connect_to)?;
    let ways = ways(observed, &at.ingress, connect_to)?;
    if ways.replicas_unknown.is_some() || ways.pods().next().is_none() {
        return Ok(false);
    }
    let own = Query::Get(at.client_ca.clone());
    let asked = ways
        .pods()
        .flat_map(|pod| PARTS.map(|part| Query::Proxy(pod.clone(), part)));
    observed.prefetch(asked.chain([own]))?;
    for pod in ways.pods() {
        if !uses(pod, at, observed)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a proxy uses the client CA that is in the cluster: a listener names it, the proxy was sent what is there, and has taken it.
fn uses(pod: &ObjectRef, at: &Served, observed: &Observed) -> Reconciled<bool> {
    let name = &at.resource;
    let named = observed.proxy_config(pod, &Part::TrustedSecrets)?;
    let rejected = observed.proxy_config(pod, &Part::RejectedUpdates)?;
    let accepted = observed.proxy_config(pod, &Part::AcceptedSecrets)?;
    let (Some(named), Some(rejected), Some(accepted)) =
        (named.found(), rejected.found(), accepted.found())
    else {
        return Ok(false);
    };
    Ok(named.contains(name)
        && has_taken_all(name, rejected, accepted)
        && load_as(name, &at.client_ca, pod, observed)? == Some(Load::Current))
}
