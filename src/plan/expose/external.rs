//! External routes to the Service, which need no client certificate: reported, and left to their
//! owners.

use super::target::Target;
use super::workload_policy::WorkloadPolicy;
use super::{Request, service};
use crate::plan::check::Finding;
use crate::plan::external_routes::{self, Exposed};
use crate::plan::reconcile::tolerate;
use crate::plan::{Observed, Reconciled};

/// The external routes to the Service, and the checks that could not be made.
pub(super) fn checks(
    request: &Request,
    target: &Target,
    (policy, is_listed): (&WorkloadPolicy, bool),
    observed: &Observed,
) -> Reconciled<Vec<Finding>> {
    let Ok(found) = tolerate(service::of(request, observed))? else {
        return Ok(Vec::new());
    };
    let exposed = Exposed {
        service: &service::reference(request),
        selector: &found.selector,
        route: &target.route(),
        gateway: &target.gateway,
        host: &target.host,
        server: &target.server(),
        is_listed,
        proxies: &target.ingress,
        policy: policy.policy.as_ref().map(|wanted| &wanted.object),
        command: "expose",
    };
    external_routes::checks(&exposed, &target.gateways, observed)
}
