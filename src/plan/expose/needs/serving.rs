//! Which istiods configure the Gateway's proxies, and of which versions they are.

use std::collections::BTreeSet;

use crate::plan::ingress::istiods;
use crate::plan::{Observed, Query, Reconciled};
use crate::resources::istiod::{self, Istiod, revision_of};
use crate::resources::names::INGRESS_NAMESPACE;
use crate::resources::{ObjectRef, environment};

/// The istiods that configure the Gateway's proxies.
pub(super) struct Serving {
    /// Those of the revisions of its Pods.
    certain: Vec<Istiod>,
    /// All others, where a Pod is of a revision that none of them has, or no Pod is known.
    possible: Vec<Istiod>,
    /// The revisions of the Pods.
    revisions: BTreeSet<String>,
}

impl Serving {
    pub fn of(pods: &[Query], observed: &Observed) -> Reconciled<Self> {
        let mut revisions = BTreeSet::new();
        for pods in pods {
            let pods = observed.try_list(pods)?;
            let pods = pods.found().copied().unwrap_or_default();
            revisions.extend(pods.iter().map(|pod| revision_of(pod).to_owned()));
        }
        let istiods = observed.try_list(&istiods())?;
        let all = istiods.found().copied().unwrap_or_default();
        let all = all.iter().map(Istiod::read);
        let (certain, others): (Vec<Istiod>, Vec<Istiod>) =
            all.partition(|istiod| revisions.contains(&istiod.revision));
        let is_found =
            |revision: &String| certain.iter().any(|istiod| istiod.revision == *revision);
        let are_known = !revisions.is_empty() && revisions.iter().all(is_found);
        Ok(Self {
            possible: if are_known { Vec::new() } else { others },
            certain,
            revisions,
        })
    }

    /// Where their mesh configurations are.
    pub fn mesh_configs(&self) -> Vec<ObjectRef> {
        let istiods = self.certain.iter().chain(&self.possible);
        let mut revisions: BTreeSet<&str> =
            istiods.map(|istiod| istiod.revision.as_str()).collect();
        if revisions.is_empty() {
            revisions = self.revisions.iter().map(String::as_str).collect();
        }
        if revisions.is_empty() {
            revisions.insert(istiod::DEFAULT_REVISION);
        }
        let configs = revisions.into_iter();
        configs.map(environment::mesh_config_of).collect()
    }

    /// An istiod that is too old, where one certainly configures the proxies.
    pub fn too_old(&self) -> Option<&Istiod> {
        let is_old = |istiod: &&Istiod| istiod.too_old().is_some();
        let certain = self.certain.iter().find(is_old);
        let are_all_old = self.certain.is_empty() && self.possible.iter().all(|it| is_old(&it));
        certain.or_else(|| self.possible.first().filter(|_| are_all_old))
    }

    /// Why it is not known that all of them are new enough, where none is known to be too old.
    pub fn unchecked(&self, observed: &Observed) -> Reconciled<Option<String>> {
        let listed = observed.try_list(&istiods())?;
        if let Some(reason) = listed.unknown() {
            return Ok(Some(reason));
        }
        let mut all = self.certain.iter().chain(&self.possible).peekable();
        if all.peek().is_none() {
            return Ok(Some(format!(
                "no Deployment in `{INGRESS_NAMESPACE}` has the label `{}`",
                istiod::SELECTOR
            )));
        }
        let unread = all.clone().find(|istiod| istiod.version.is_none());
        let old = all.find_map(|istiod| Some((istiod, istiod.too_old()?)));
        Ok(match (old, unread) {
            (Some((istiod, version)), _) => Some(format!(
                "`{}` is version {}, and whether it configures the Gateway's proxies is not known",
                istiod.name, version.text
            )),
            (None, Some(istiod)) => Some(format!(
                "the version of `{}` is unknown: it is neither in its image tag nor in its labels",
                istiod.name
            )),
            (None, None) => None,
        })
    }
}
