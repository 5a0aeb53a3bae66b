//! Checks of the route.

use super::{Check, Severity};

pub(crate) const ROUTE_NONE: Check = Check {
    id: "route/none",
    severity: Severity::Warning,
    cause: "No route leads from the host to a Service",
    found_by: "the APIRules and VirtualServices",
    why: "every request is answered with 404",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --gateway GATEWAY",
    consequences: &[],
};

pub(crate) const ROUTE_FAILED: Check = Check {
    id: "route/failed",
    severity: Severity::Error,
    cause: "The APIRule is not Ready",
    found_by: "the status of the APIRule",
    why: "the route may not work, and changes to it take no effect",
    remedy: "kubectl describe apirules.gateway.kyma-project.io -n NAMESPACE NAME",
    consequences: &["route/virtual-service-missing", "workload/open"],
};

pub(crate) const ROUTE_HOST_OUTSIDE_GATEWAY: Check = Check {
    id: "route/host-outside-gateway",
    severity: Severity::Error,
    cause: "The route's host is not one of its Gateway's",
    found_by: "the route's host, and the hosts of its Gateway",
    why: "clients do not reach the Service",
    remedy: "kubectl patch KIND -n NAMESPACE NAME --type=merge -p PATCH",
    consequences: &["route/failed"],
};

pub(crate) const ROUTE_WRONG_GATEWAY: Check = Check {
    id: "route/wrong-gateway",
    severity: Severity::Error,
    cause: "The route names another Gateway than the mutual-TLS one",
    found_by: "the route's Gateway",
    why: "clients with a certificate do not reach the Service, and others may reach it without one",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --gateway GATEWAY",
    consequences: &["route/none", "route/failed", "external-route/*"],
};

pub(crate) const ROUTE_VIRTUAL_SERVICE_MISSING: Check = Check {
    id: "route/virtual-service-missing",
    severity: Severity::Error,
    cause: "The VirtualService of a Ready APIRule does not exist",
    found_by: "the VirtualServices that Kyma made for the APIRule",
    why: "every request is answered with 404",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const ROUTE_VIRTUAL_SERVICE_EDITED: Check = Check {
    id: "route/virtual-service-edited",
    severity: Severity::Error,
    cause: "The VirtualService of a Ready APIRule differs from that APIRule",
    found_by: "the VirtualService that Kyma made for the APIRule",
    why: "requests go elsewhere than the APIRule says, or the identity headers are missing",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const ROUTE_EDITED: Check = Check {
    id: "route/edited",
    severity: Severity::Error,
    cause: "The route of kubectl-mtls does not only forward requests to its Service",
    found_by: "the Services of the APIRule, whether its rules demand more than a client certificate (`jwt`, `extAuth`), or the entries of the VirtualService",
    why: "requests may not be answered by the Service",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[
        "route/failed",
        "route/headers-missing",
        "route/subset",
        "service/*",
        "guard/*",
        "workload/*",
        "external-route/*",
        "allow-list/*",
    ],
};

pub(crate) const ROUTE_NOT_EXPORTED: Check = Check {
    id: "route/not-exported",
    severity: Severity::Error,
    cause: "The route is not exported to the namespace of the ingress gateway, or only istiods of another revision read it",
    found_by: "`exportTo` and the label `istio.io/rev` of the VirtualService, and `defaultVirtualServiceExportTo` of the mesh configuration",
    why: "every request is answered with 404",
    remedy: "kubectl patch virtualservices.networking.istio.io -n NAMESPACE NAME --type=merge -p PATCH",
    consequences: &[],
};

pub(crate) const ROUTE_DUPLICATE_HOST: Check = Check {
    id: "route/duplicate-host",
    severity: Severity::Error,
    cause: "Another VirtualService on the same Gateway has the host too",
    found_by: "the hosts of all VirtualServices that name the Gateway",
    why: "istiod puts the routes of the older VirtualService first, so these may take every request",
    remedy: "kubectl delete virtualservices.networking.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const ROUTE_HEADERS_MISSING: Check = Check {
    id: "route/headers-missing",
    severity: Severity::Error,
    cause: "The route does not set all identity headers",
    found_by: "the headers that the route sets",
    why: "a client can choose the missing headers",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const ROUTE_HEADERS_FORGEABLE: Check = Check {
    id: "route/headers-forgeable",
    severity: Severity::Warning,
    cause: "Clients of an external CA can choose an identity header",
    found_by: "the CAs in the trust bundle, and the header guard",
    why: "the Service may mistake one client for another",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --identity-headers guarded",
    consequences: &[],
};

pub(crate) const ROUTE_XFCC_FORWARDED: Check = Check {
    id: "route/xfcc-forwarded",
    severity: Severity::Error,
    cause: "The ingress gateway forwards the header X-Forwarded-Client-Cert of clients",
    found_by: "Kyma's Istio resource, the mesh's proxy configuration, and that of the gateway's Pods",
    why: "a client can put a forged certificate into X-Forwarded-Client-Cert",
    remedy: "kubectl edit istios.operator.kyma-project.io -n kyma-system default",
    consequences: &[],
};

pub(crate) const ROUTE_SUBSET: Check = Check {
    id: "route/subset",
    severity: Severity::Error,
    cause: "The route names a subset that no DestinationRule defines",
    found_by: "the route's destination, and the DestinationRules of the Service",
    why: "every request is answered with 503",
    remedy: "kubectl edit virtualservices.networking.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const ROUTE_UNREADABLE: Check = Check {
    id: "route/unreadable",
    severity: Severity::Warning,
    cause: "A route cannot be read",
    found_by: "the APIRules and VirtualServices",
    why: "the hosts of this route are not in this report",
    remedy: "kubectl edit KIND -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const ROUTE_NOT_CHECKED: Check = Check {
    id: "route/not-checked",
    severity: Severity::Unknown,
    cause: "The APIRules or VirtualServices could not be listed",
    found_by: "the APIRules and VirtualServices",
    why: "routes may be missing in this report",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &ROUTE_NONE,
    &ROUTE_FAILED,
    &ROUTE_HOST_OUTSIDE_GATEWAY,
    &ROUTE_WRONG_GATEWAY,
    &ROUTE_VIRTUAL_SERVICE_MISSING,
    &ROUTE_VIRTUAL_SERVICE_EDITED,
    &ROUTE_EDITED,
    &ROUTE_NOT_EXPORTED,
    &ROUTE_DUPLICATE_HOST,
    &ROUTE_HEADERS_MISSING,
    &ROUTE_HEADERS_FORGEABLE,
    &ROUTE_XFCC_FORWARDED,
    &ROUTE_SUBSET,
    &ROUTE_UNREADABLE,
    &ROUTE_NOT_CHECKED,
];
