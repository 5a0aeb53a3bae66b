//! Other workloads of the cluster, which reach the Pods of an exposed Service without the ingress gateway.

use serde_json::json;

use super::{Exposed, FORGED, Unread, Workload};
use crate::plan::check::{self, Finding};
use crate::plan::{Observed, Reconciled, command_line};
use crate::resources::access_policy::is_enforced_at;
use crate::resources::listing::shortened;
use crate::resources::virtual_service::made_for;
use crate::resources::workload_access::{Access, Arrival, Principal};
use crate::resources::{Kind, Object, ObjectRef};

/// How many Pods a message names.
const PODS_SHOWN: usize = 3;

/// The finding on a Service of a Ready `APIRule` whose Pods admit other workloads: somebody deleted or changed the policy that Kyma made.
/// Pods without a sidecar are a fault of the `APIRule`.
pub fn unguarded(exposed: &Exposed<'_>, observed: &Observed) -> Reconciled<Option<Finding>> {
    let workload = Workload::of(exposed, observed)?;
    let are_enforced = workload.pods.iter().all(|pod| is_enforced_at(pod));
    let is_open = are_enforced && workload.access(&neighbour()) == Access::Open;
    Ok(is_open.then(|| workload.open(exposed)))
}

/// A request of another workload of the cluster.
fn neighbour() -> Arrival {
    Arrival {
        principal: Principal::Nobody,
        hosts: None,
        ports: None,
        server_name: None,
    }
}

impl Workload<'_> {
    /// The finding on a Service in a cluster without Kyma whose Pods have no sidecar or policy that rejects other workloads.
    pub(super) fn sidecar_check(&self, exposed: &Exposed<'_>) -> Option<Finding> {
        let service = exposed.service;
        let expose = command_line::expose(service);
        if let Some(Unread { reason, remedy }) = &self.pods_unread {
            return Some(
                Finding::new(
                    &check::WORKLOAD_NOT_CHECKED,
                    format!("the Pods of the {service} could not be listed: {reason}"),
                    remedy,
                )
                .because("whether sidecars keep other workloads of the cluster out is not known"),
            );
        }
        if !self.is_plain || self.pods.is_empty() {
            return None;
        }
        let bare: Vec<&str> = self
            .pods
            .iter()
            .filter(|pod| !is_enforced_at(pod))
            .map(|pod| pod.name())
            .collect();
        if !bare.is_empty() {
            return Some(Finding::new(&check::WORKLOAD_NO_SIDECAR, format!(
                    "{} of {} Pods of the {service} have no sidecar: {}",
                    bare.len(),
                    self.pods.len(),
                    shortened(&bare, PODS_SHOWN)
                ), format!("{expose} --inject")).because(format!(
                    "no AuthorizationPolicy protects Pods without a sidecar: every workload of the cluster reaches them without a client certificate, and {FORGED}"
                )));
        }
        match (self.access(&neighbour()), &self.policies) {
            (Access::Open, _) => Some(self.open(exposed)),
            (Access::Unknown, Err(unread)) => self.policies_unread(unread, exposed),
            _ => None,
        }
    }

    /// The finding on Pods whose policies admit other workloads. If a foreign policy alone does so, the finding names that policy.
    fn open(&self, exposed: &Exposed<'_>) -> Finding {
        let service = exposed.service;
        let (seen, remedy) = match self.admitting(exposed) {
            Some(policy) => (
                format!(
                    "{} admits other workloads to the {service}",
                    policy.reference()
                ),
                command_line::edit(policy.reference()),
            ),
            None => {
                let made = if self.is_plain {
                    String::new()
                } else {
                    format!(", although Kyma makes one for the {}", exposed.route)
                };
                (
                    format!(
                        "no AuthorizationPolicy keeps other workloads from the {service}{made}"
                    ),
                    command_line::expose(service),
                )
            }
        };
        Finding::new(&check::WORKLOAD_OPEN, seen, remedy).because(format!(
            "every workload of the cluster reaches the Pods without a client certificate, and {FORGED}"
        ))
    }

    /// The policy of somebody else that admits other workloads, where no policy of this plugin or of Kyma does.
    fn admitting(&self, exposed: &Exposed<'_>) -> Option<&Object> {
        let own = (exposed.route.namespace.clone(), exposed.route.name.clone());
        let name = ObjectRef::new(
            Kind::AuthorizationPolicy,
            &exposed.service.namespace,
            "nobody",
        );
        // A policy without rules admits nobody; another one beside it still does.
        let nobody = Object::new(name).with("spec", json!({}));
        let admits =
            |policy: &&&Object| self.access_by(&[&nobody, **policy], &neighbour()) == Access::Open;
        let is_own = |policy: &Object| policy.is_ours() || made_for(policy).as_ref() == Some(&own);
        let admitting: Vec<&Object> = self
            .policies
            .iter()
            .flatten()
            .filter(admits)
            .copied()
            .collect();
        let are_others = admitting.iter().all(|policy| !is_own(policy));
        admitting.first().copied().filter(|_| are_others)
    }
}
