//! The control planes that configure the proxies of an ingress gateway, as its Pods name them: of several revisions while Istio is
//! upgraded.

use std::collections::BTreeSet;

use super::{Observed, Query, Reconciled, Seen, ingress};
use crate::resources::authority::AuthorityState;
use crate::resources::control_plane::ControlPlane;
use crate::resources::environment::{trusts_forwarded_headers, trusts_forwarded_headers_itself};
use crate::resources::ingress::IngressGateway;
use crate::resources::istiod::{self, Istiod};
use crate::resources::names::ISTIO_NAMESPACE;
use crate::resources::workload_access::authorizer;
use crate::resources::{Kind, Object, ObjectRef, environment};

/// The Deployments of istiod in a namespace.
pub fn istiods(namespace: &str) -> Query {
    Query::List {
        kind: Kind::Deployment,
        namespace: Some(namespace.to_owned()),
        selector: Some(istiod::SELECTOR.to_owned()),
        metadata_only: false,
    }
}

/// The control planes that the Pods of an ingress gateway name; none if no Pod was read.
pub fn named(ingress: &IngressGateway, observed: &Observed) -> Reconciled<BTreeSet<ControlPlane>> {
    let pods = ingress::all_pods(ingress, observed)?;
    Ok(pods.into_iter().map(ControlPlane::of).collect())
}

/// The revisions of the istiods of an ingress gateway: of those that read an object with this label `istio.io/rev`, and of those that the
/// label hides it from (<https://github.com/istio/istio>, `pkg/config/model.go`, `LabelsInRevision`).
pub fn readers(
    label: Option<&str>,
    ingress: &IngressGateway,
    observed: &Observed,
) -> Reconciled<(BTreeSet<String>, BTreeSet<String>)> {
    let planes = named(ingress, observed)?.into_iter();
    let revisions = planes.map(|plane| plane.revision);
    Ok(revisions.partition(|revision| label.is_none_or(|label| label == revision)))
}

/// Whether an istiod of an ingress gateway reads an object with this label `istio.io/rev`; unknown counts as yes.
pub fn is_read(
    label: Option<&str>,
    ingress: &IngressGateway,
    observed: &Observed,
) -> Reconciled<bool> {
    if label.is_none() {
        return Ok(true);
    }
    let (reading, others) = readers(label, ingress, observed)?;
    Ok(!reading.is_empty() || others.is_empty())
}

/// As [`named`], with the control plane of a default installation if no Pod was read.
fn presumed(ingress: &IngressGateway, observed: &Observed) -> Reconciled<BTreeSet<ControlPlane>> {
    let mut planes = named(ingress, observed)?;
    if planes.is_empty() {
        planes.insert(ControlPlane::default());
    }
    Ok(planes)
}

/// The mesh configurations of the control planes of an ingress gateway.
pub fn mesh_configs(
    ingress: &IngressGateway,
    observed: &Observed,
) -> Reconciled<BTreeSet<ObjectRef>> {
    let planes = presumed(ingress, observed)?;
    Ok(planes.iter().map(ControlPlane::mesh_config).collect())
}

/// Whether a proxy of an ingress gateway takes `X-Forwarded-Proto` of clients for true, so that the redirect to HTTPS of a plain server is
/// bypassed by that header (<https://github.com/envoyproxy/envoy>, `source/common/http/conn_manager_utility.cc`). A configuration
/// that cannot be read does not count.
pub fn passes_redirects(ingress: &IngressGateway, observed: &Observed) -> Reconciled<bool> {
    let configs = read_configs(ingress, observed)?;
    let by_mesh = configs.into_iter().any(trusts_forwarded_headers);
    let pods = ingress::all_pods(ingress, observed)?;
    let trusts = |pod: &Object| trusts_forwarded_headers_itself(pod).unwrap_or(by_mesh);
    Ok(if pods.is_empty() {
        by_mesh
    } else {
        pods.into_iter().any(trusts)
    })
}

/// The namespaces from which policies act on the whole mesh: those that the mesh configurations name, else those of istiod.
pub fn root_namespaces(
    ingress: &IngressGateway,
    observed: &Observed,
) -> Reconciled<BTreeSet<String>> {
    let planes = presumed(ingress, observed)?;
    observed.prefetch(planes.iter().map(|plane| Query::Get(plane.mesh_config())))?;
    let root = |plane: ControlPlane| {
        let config = observed.try_get(&plane.mesh_config())?;
        let said = config
            .found()
            .and_then(|config| environment::root_namespace(config));
        Ok(said.unwrap_or(plane.namespace))
    };
    planes.into_iter().map(root).collect()
}

/// The mesh configurations of an ingress gateway that were read.
pub fn read_configs<'a>(
    ingress: &IngressGateway,
    observed: &'a Observed,
) -> Reconciled<Vec<&'a Object>> {
    let configs = mesh_configs(ingress, observed)?;
    observed.prefetch(configs.iter().cloned().map(Query::Get))?;
    let mut read = Vec::new();
    for config in &configs {
        read.extend(observed.try_get(config)?.found().copied());
    }
    Ok(read)
}

/// The mesh configuration of an ingress gateway that does not define the external authorizer of a policy. None where istiod may have it from
/// another `ConfigMap`.
pub fn without_authorizer(
    policy: &Object,
    ingress: &IngressGateway,
    observed: &Observed,
) -> Reconciled<Option<ObjectRef>> {
    let name = authorizer(policy);
    let serving = Serving::of(ingress, observed)?;
    let is_known = serving.unlisted.is_none() && serving.each().next().is_some();
    if !is_known || serving.each().any(|istiod| istiod.shares_mesh_config) {
        return Ok(None);
    }
    let configs = read_configs(ingress, observed)?;
    let lacks = |config: &&Object| {
        environment::authorizers(config).is_some_and(|defined| !defined.contains(name))
    };
    let config = configs.into_iter().find(lacks);
    Ok(config.map(|config| config.reference().clone()))
}

/// The address of a control plane outside of the cluster, where nothing in the cluster tells how it is configured.
pub fn unseen_outside(ingress: &IngressGateway, observed: &Observed) -> Reconciled<Option<String>> {
    for plane in named(ingress, observed)? {
        let config = observed.try_get(&plane.mesh_config())?;
        if plane.outside.is_some() && config.found().is_none() {
            return Ok(plane.outside);
        }
    }
    Ok(None)
}

/// The trust domains of the meshes whose gateways read an authority, and why one of these meshes was not read.
pub fn trust_domains(
    state: Option<&AuthorityState>,
    observed: &Observed,
) -> Reconciled<(Vec<String>, Option<String>)> {
    let noted = state.and_then(|state| state.mesh_configs.as_deref());
    let configs: Vec<ObjectRef> = match noted {
        Some(noted) => of_note(noted).collect(),
        None => vec![environment::mesh_config()],
    };
    observed.prefetch(configs.iter().cloned().map(Query::Get))?;
    let (mut found, mut unread) = (Vec::new(), None);
    for config in &configs {
        match observed.try_get(config)? {
            Seen::Found(object) => found.push(object),
            Seen::Missing if noted.is_some() => {
                let found_by = "`kubectl mtls expose SERVICE` notes the present one";
                unread = Some(format!("{config} does not exist; {found_by}"));
            }
            Seen::Denied(reason) => unread = Some(reason),
            _ => {}
        }
    }
    Ok((environment::trust_domains(found), unread))
}

/// How an authority notes the mesh configurations of its gateways; `known` where no Pod is seen.
pub fn note(
    known: Option<&str>,
    ingress: &IngressGateway,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    let planes = named(ingress, observed)?;
    if planes.is_empty() {
        return Ok(known.map(str::to_owned));
    }
    let is_default = |plane: &ControlPlane| *plane == ControlPlane::default();
    if planes.iter().all(is_default) {
        return Ok(None);
    }
    let configs = planes.iter().map(ControlPlane::mesh_config);
    let noted = configs.map(|config| format!("{}/{}", config.namespace, config.name));
    Ok(Some(noted.collect::<Vec<_>>().join(",")))
}

fn of_note(noted: &str) -> impl Iterator<Item = ObjectRef> {
    let names = noted.split(',').filter_map(|name| name.split_once('/'));
    names.map(|(namespace, name)| ObjectRef::new(Kind::ConfigMap, namespace, name))
}

/// The istiods that configure the proxies of an ingress gateway.
pub struct Serving {
    /// The istiods with the revisions of the proxies' Pods.
    certain: Vec<Istiod>,
    /// All other istiods, if a Pod has a revision that none of them has, or no Pod is known.
    possible: Vec<Istiod>,
    /// The control planes that the Pods name.
    named: BTreeSet<ControlPlane>,
    /// Why the istiods of a namespace could not be listed.
    unlisted: Option<String>,
}

impl Serving {
    /// Reads the Deployments of istiod.
    pub fn of(ingress: &IngressGateway, observed: &Observed) -> Reconciled<Self> {
        let named = named(ingress, observed)?;
        let inside = named.iter().filter(|plane| plane.outside.is_none());
        let mut namespaces: BTreeSet<&str> = inside.map(|plane| plane.namespace.as_str()).collect();
        if named.is_empty() {
            namespaces.insert(ISTIO_NAMESPACE);
        }
        observed.prefetch(namespaces.iter().map(|namespace| istiods(namespace)))?;
        let (mut all, mut unlisted) = (Vec::new(), None);
        for namespace in namespaces {
            let listed = observed.try_list(&istiods(namespace))?;
            let found: &[Object] = listed.found().copied().unwrap_or_default();
            all.extend(found.iter().map(Istiod::read));
            unlisted = unlisted.or(listed.unknown());
        }
        let (certain, others): (Vec<Istiod>, Vec<Istiod>) = all
            .into_iter()
            .partition(|istiod| named.iter().any(|plane| is_of(istiod, plane)));
        let is_found = |plane: &ControlPlane| certain.iter().any(|istiod| is_of(istiod, plane));
        let are_known = !named.is_empty() && named.iter().all(is_found);
        Ok(Self {
            possible: if are_known { Vec::new() } else { others },
            certain,
            named,
            unlisted,
        })
    }

    /// The `ConfigMaps` with their mesh configurations.
    pub fn mesh_configs(&self) -> BTreeSet<ObjectRef> {
        let planes = self.each().map(|istiod| ControlPlane {
            namespace: istiod.namespace.clone(),
            revision: istiod.revision.clone(),
            outside: None,
        });
        // Where another istiod may be meant, that of its revision is read in their place.
        let unfound = self.unfound().filter(|_| self.possible.is_empty());
        let planes = planes.chain(unfound.cloned());
        let mut configs: BTreeSet<ObjectRef> = planes.map(|plane| plane.mesh_config()).collect();
        if configs.is_empty() {
            configs.insert(environment::mesh_config());
        }
        configs
    }

    /// Whether a Gateway configures proxies of its own namespace only, as far as they are seen.
    pub fn is_scoped(&self) -> bool {
        self.each().any(|istiod| istiod.is_scoped)
    }

    /// The address of a control plane outside of the cluster.
    pub fn outside(&self) -> Option<&str> {
        self.named.iter().find_map(|plane| plane.outside.as_deref())
    }

    /// An istiod that is too old and certainly configures the proxies.
    pub fn too_old(&self) -> Option<&Istiod> {
        let is_old = |istiod: &&Istiod| istiod.too_old().is_some();
        let certain = self.certain.iter().find(is_old);
        let are_all_old = self.certain.is_empty()
            && self.outside().is_none()
            && self.possible.iter().all(|it| is_old(&it));
        certain.or_else(|| self.possible.first().filter(|_| are_all_old))
    }

    /// Whether an istiod lets only Gateways of their namespace configure the proxies that it deploys; also where none is known.
    pub fn confines_managed(&self) -> bool {
        let mut all = self.each().peekable();
        all.peek().is_none() || all.any(Istiod::confines_managed)
    }

    /// Why it is not known that all istiods are new enough, if none is known to be too old.
    pub fn unchecked(&self) -> Option<String> {
        if let Some(address) = self.outside() {
            return Some(format!(
                "the proxies are configured from `{address}`, outside of the cluster, where it cannot be looked at"
            ));
        }
        if let Some(reason) = &self.unlisted {
            return Some(reason.clone());
        }
        let unread = self.each().find(|istiod| istiod.version.is_none());
        let old = self
            .each()
            .find_map(|istiod| Some((istiod, istiod.too_old()?)));
        let unfound = self.unfound().next().filter(|_| self.possible.is_empty());
        match (old, unread, unfound) {
            _ if self.each().next().is_none() => {
                let plane = self.named.first().cloned().unwrap_or_default();
                Some(format!(
                    "no Deployment in `{}` has the label `{}`",
                    plane.namespace,
                    istiod::SELECTOR
                ))
            }
            (Some((istiod, version)), _, _) => Some(format!(
                "`{}` is version {}, and whether it configures the Gateway's proxies is not known",
                istiod.name, version.text
            )),
            (None, Some(istiod), _) => Some(format!(
                "the version of `{}` is unknown: it is neither in its image tag nor in its labels",
                istiod.name
            )),
            (None, None, Some(plane)) => Some(format!(
                "no istiod in `{}` is of the revision `{}`, of which some of the proxies are",
                plane.namespace, plane.revision
            )),
            (None, None, None) => None,
        }
    }

    /// The namespaces in which istiod would run, if none was found there.
    pub fn without_istiod(&self) -> BTreeSet<&str> {
        if self.unlisted.is_some() || self.each().next().is_some() {
            return BTreeSet::new();
        }
        let named = self.named.iter().map(|plane| plane.namespace.as_str());
        named.collect()
    }

    fn each(&self) -> impl Iterator<Item = &Istiod> {
        self.certain.iter().chain(&self.possible)
    }

    /// The control planes that the Pods name and whose istiod was not found.
    fn unfound(&self) -> impl Iterator<Item = &ControlPlane> {
        let is_found = |plane: &ControlPlane| self.certain.iter().any(|it| is_of(it, plane));
        self.named.iter().filter(move |plane| !is_found(plane))
    }
}

fn is_of(istiod: &Istiod, plane: &ControlPlane) -> bool {
    let is_inside = plane.outside.is_none();
    is_inside && istiod.namespace == plane.namespace && istiod.revision == plane.revision
}
