//! What istiod needs to read the authority: a version that reads a client CA from a `ConfigMap`, and a view of the authority's namespace.
//!
//! All istiods that configure the Gateway's proxies are checked. An older one ignores `configmap://`. One that does not see the namespace
//! treats the authority as missing: a proxy that starts then rejects every client, and one that runs keeps its client CAs and revocations
//! (<https://github.com/istio/istio>, `pilot/pkg/xds/sds.go` and `pkg/kube/namespace/filter.go`).

mod namespace;
#[cfg(test)]
mod tests;

use super::get;
use super::moving::Source;
use super::target::Target;
use super::wanted::Wanted;
use crate::error::Failure;
use crate::plan::control_plane::{Serving, istiods};
use crate::plan::{DryRun, Effect, Observed, Query, Reconciled, Write, ingress, probe};
use crate::resources::ObjectRef;
use crate::resources::control_plane::{cluster_of, managing_clusters};
use crate::resources::ingress::IngressGateway;
use crate::resources::istiod::Istiod;
use crate::resources::names::ISTIO_NAMESPACE;
use crate::resources::{environment, gateway_api};

/// The changes that istiod needs, and notes for the user.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// The authority's namespace with the labels by which istiod sees it, if they are missing.
    pub namespace: Option<Wanted>,
    pub notes: Vec<String>,
    /// Whether istiod is known to read the authority.
    pub is_certain: bool,
}

impl Needs {
    /// Creates the authority's namespace with labels if it is missing, so that istiod sees the authority at once.
    pub fn create_namespace(&self, observed: &Observed) -> Reconciled<()> {
        let write = self.namespace.as_ref().and_then(|it| it.write.as_ref());
        match write {
            Some(write @ Write::Create(object))
                if observed.change_of(object.reference()).is_none() =>
            {
                Err(Effect::Write(write.clone()).into())
            }
            _ => Ok(()),
        }
    }
}

/// A reason why istiod cannot read the authority, and what to do about it.
struct Fault {
    what: String,
    remedy: String,
    /// The lines that the hint refers to.
    lines: Vec<String>,
    is_for_want_of_rights: bool,
}

impl Fault {
    fn new(what: String, remedy: impl Into<String>, lines: Vec<String>) -> Self {
        Self {
            what,
            remedy: remedy.into(),
            lines,
            is_for_want_of_rights: false,
        }
    }

    fn refusal(self) -> Failure {
        let colon = if self.lines.is_empty() { "" } else { ":" };
        let failure = Failure::refused(self.what)
            .hint(format!("{}{colon}", self.remedy))
            .hints(self.lines);
        if self.is_for_want_of_rights {
            failure.for_want_of_rights()
        } else {
            failure
        }
    }

    fn note(&self) -> String {
        let Self { what, remedy, .. } = self;
        let lines: Vec<String> = self.lines.iter().map(|line| format!("`{line}`")).collect();
        let colon = if lines.is_empty() { "" } else { ": " };
        format!("{what}; {remedy}{colon}{}", lines.join(", "))
    }
}

/// The reads of the first round, on the guess that Istio is installed as by default.
pub(super) fn queries() -> [Query; 2] {
    [istiods(ISTIO_NAMESPACE), get(environment::mesh_config())]
}

/// The mesh configurations of the istiods that configure these proxies.
pub(super) fn mesh_configs(
    ingress: &IngressGateway,
    observed: &Observed,
) -> Reconciled<Vec<Query>> {
    let configs = Serving::of(ingress, observed)?.mesh_configs();
    Ok(configs.into_iter().map(get).collect())
}

/// Checks the needs of istiod, for a Gateway that reads the authority or will read it.
///
/// On a new Gateway, or one that is moved, an unmet need is a refusal; later it is a note.
pub(super) fn decide(
    dry_run: DryRun,
    target: &Target,
    source: &Source,
    observed: &Observed,
) -> Reconciled<Needs> {
    if !source.is_authority(target) {
        return Ok(Needs::default());
    }
    observed.prefetch(target.ingress.parts().map(|part| probe::pods(&part)))?;
    observed.prefetch(mesh_configs(&target.ingress, observed)?)?;
    let serving = Serving::of(&target.ingress, observed)?;
    let begins = target.existing.is_none() || source.gateway.is_some();
    let was_written = observed.change_of(&target.gateway.reference()).is_some();
    let mut needs = Needs::default();
    let mut unchecked = Vec::new();
    let mut faults: Vec<Fault> = serving
        .too_old()
        .and_then(|istiod| old(istiod, target, source))
        .into_iter()
        .collect();
    if serving.is_scoped() {
        faults.extend(scoped(target));
    } else if gateway_api::are_managed(&target.ingress) && serving.confines_managed() {
        faults.extend(managed(target));
    }
    faults.extend(remote(&serving, target, observed)?);
    if faults.is_empty()
        && let Some(reason) = serving.unchecked()
    {
        unchecked.push(format!(
            "it was not checked whether istiod is 1.28 or later, which reads a client CA from a ConfigMap, and whether it confines Gateways to the proxies of their namespace: {reason}"
        ));
    }
    match namespace::decide(&serving, dry_run, observed, &mut unchecked)? {
        Ok(wanted) => needs.namespace = wanted,
        Err(fault) => faults.push(fault),
    }
    needs.is_certain = faults.is_empty() && unchecked.is_empty();
    for fault in faults {
        if begins {
            return Err(fault.refusal().into());
        }
        needs.notes.push(fault.note());
    }
    if begins || was_written {
        needs.notes.extend(unchecked);
    }
    Ok(needs)
}

/// The fault of a Gateway that configures no proxy, because it is in another namespace than they
/// are.
fn scoped(target: &Target) -> Option<Fault> {
    let (gateway, proxies) = (&target.gateway, &target.ingress.namespace);
    if let Some(further) = target.ingress.further.first() {
        return Some(Fault::new(
            format!(
                "istiod runs with `PILOT_SCOPE_GATEWAY_TO_NAMESPACE`: the Gateway `{gateway}` does not configure the proxies of both `{proxies}` and `{further}`"
            ),
            "name one Service with `--ingress`; a Gateway for the other proxies takes a run of its own, with another `--gateway`",
            Vec::new(),
        ));
    }
    (gateway.namespace != *proxies).then(|| {
        Fault::new(
            format!(
                "istiod runs with `PILOT_SCOPE_GATEWAY_TO_NAMESPACE`: the Gateway `{gateway}` configures no proxy of the namespace `{proxies}`"
            ),
            format!("leave out `--gateway`, or name a Gateway beside the proxies: `--gateway {proxies}/NAME`"),
            Vec::new(),
        )
    })
}

/// The fault of a remote cluster: istiod of another one configures its proxies, and reads Gateways and authorities there.
fn remote(serving: &Serving, target: &Target, observed: &Observed) -> Reconciled<Option<Fault>> {
    let namespaces = serving.without_istiod();
    let references = namespaces.iter().map(|name| ObjectRef::namespace(*name));
    observed.prefetch(references.map(get))?;
    let pods = ingress::all_pods(&target.ingress, observed)?;
    let Some(own) = pods.into_iter().find_map(cluster_of) else {
        return Ok(None);
    };
    for namespace in namespaces {
        let seen = observed.try_get(&ObjectRef::namespace(namespace))?;
        let managing = seen.found().and_then(|object| managing_clusters(object));
        let managing: Vec<&str> = managing.map_or(Vec::new(), |all| all.split(',').collect());
        let is_elsewhere = managing
            .iter()
            .all(|cluster| *cluster != "*" && *cluster != own);
        if let (Some(first), true) = (managing.first(), is_elsewhere) {
            return Ok(Some(Fault::new(
                format!(
                    "this API server is not the config cluster of the mesh: no istiod runs in the cluster `{own}`, and its Namespace `{namespace}` says that the istiod of `{}` manages it, which reads Gateways and client CAs from its own API server",
                    managing.join("`, `")
                ),
                format!(
                    "run the same command against the API server of `{first}`, with `--context`"
                ),
                Vec::new(),
            )));
        }
    }
    Ok(None)
}

/// The fault of a Gateway in another namespace than proxies that istiod created for a Gateway of the Kubernetes Gateway API.
fn managed(target: &Target) -> Option<Fault> {
    let (gateway, proxies) = (&target.gateway, &target.ingress.namespace);
    (gateway.namespace != *proxies).then(|| {
        Fault::new(
            format!(
                "istiod deploys the proxies with the labels `{}` for a Gateway of the Kubernetes Gateway API, and from Istio 1.31 on lets only Gateways in `{proxies}` configure them, not `{gateway}`",
                target.ingress.labels()
            ),
            format!("leave out `--gateway`, or name a Gateway beside the proxies: `--gateway {proxies}/NAME`"),
            Vec::new(),
        )
    })
}

fn old(istiod: &Istiod, target: &Target, source: &Source) -> Option<Fault> {
    let version = &istiod.too_old()?.text;
    let moved = target
        .existing
        .as_ref()
        .filter(|_| source.gateway.is_some());
    let remedy = match moved {
        Some(existing) if !existing.gateway.is_ours => {
            "upgrade Istio to 1.28 or later (on Kyma: the `istio` module); without `--fail-closed`, the Gateway serves the Service as it is"
        }
        _ => {
            "upgrade Istio to 1.28 or later (on Kyma: the `istio` module), then run the same command again"
        }
    };
    Some(Fault::new(
        format!(
            "istiod `{}/{}`, which configures the proxies of the Gateway `{}`, is version {version}: it ignores `caCertCredentialName: {}`, so no client would get in",
            istiod.namespace,
            istiod.name,
            target.gateway,
            target.names.client_ca_field()
        ),
        remedy,
        Vec::new(),
    ))
}
