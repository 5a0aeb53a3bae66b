//! Checks of the Service, its Pods, and other routes to them.

use super::{Check, Severity};

pub(crate) const SERVICE_MISSING: Check = Check {
    id: "service/missing",
    severity: Severity::Error,
    cause: "The Service does not exist",
    found_by: "the Service that the route names",
    why: "every request is answered with 503 or 404",
    remedy: "create the Service, or stop exposing it: `kubectl mtls unexpose SERVICE -n NAMESPACE`",
    consequences: &["route/failed", "service/*"],
};

pub(crate) const SERVICE_NO_PORT: Check = Check {
    id: "service/no-port",
    severity: Severity::Error,
    cause: "The Service has no such port, or several while the route names none",
    found_by: "the route's port, and the ports of the Service",
    why: "every request is answered with 503",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --port PORT",
    consequences: &["route/failed"],
};

pub(crate) const SERVICE_TARGET_PORT: Check = Check {
    id: "service/target-port",
    severity: Severity::Error,
    cause: "The port of the Service leads to a port that no Ready Pod names",
    found_by: "the ports in the EndpointSlices of the Service",
    why: "every request is answered with 503",
    remedy: "kubectl edit services -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const SERVICE_NO_ENDPOINTS: Check = Check {
    id: "service/no-endpoints",
    severity: Severity::Error,
    cause: "The Service, or the subset of it that the route names, has no Ready Pod",
    found_by: "the EndpointSlices of the Service, and the labels of its Pods",
    why: "every request is answered with 503",
    remedy: "kubectl get pods -n NAMESPACE",
    consequences: &[],
};

pub(crate) const SERVICE_TLS_MISMATCH: Check = Check {
    id: "service/tls-mismatch",
    severity: Severity::Error,
    cause: "The gateway uses TLS where the Service's Pods expect plaintext, or plaintext where they expect TLS",
    found_by: "`tls.mode` in the DestinationRules of the Service, `enableAutoMtls` of the mesh, the PeerAuthentications of the Service's Pods, and their sidecars",
    why: "every request is answered with 503",
    remedy: "kubectl edit destinationrules.networking.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const SERVICE_ANONYMOUS: Check = Check {
    id: "service/anonymous",
    severity: Severity::Error,
    cause: "A DestinationRule, the mesh or a PeerAuthentication removes the gateway's mesh identity from its requests to the Service",
    found_by: "`tls.mode` in the DestinationRules of the Service, `enableAutoMtls` of the mesh, the PeerAuthentications and AuthorizationPolicies of the Service's Pods",
    why: "the Service's Pods reject every request",
    remedy: "kubectl edit destinationrules.networking.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const SERVICE_NOT_HTTP: Check = Check {
    id: "service/not-http",
    severity: Severity::Error,
    cause: "Istio does not take the Service's port for HTTP, and the policies of its Pods admit requests by their host or method only",
    found_by: "name and `appProtocol` of the Service's port, and the AuthorizationPolicies of its Pods",
    why: "the sidecars do not see hosts and methods, and reject every connection of the ingress gateway",
    remedy: "kubectl patch services -n NAMESPACE NAME --type=json -p PATCH",
    consequences: &[],
};

pub(crate) const SERVICE_NOT_EXPORTED: Check = Check {
    id: "service/not-exported",
    severity: Severity::Error,
    cause: "The Service is not exported to the namespace of the ingress gateway",
    found_by: "the annotation `networking.istio.io/exportTo` of the Service, and `defaultServiceExportTo` of the mesh configuration",
    why: "every request is answered with 503",
    remedy: "kubectl annotate services -n NAMESPACE NAME networking.istio.io/exportTo-",
    consequences: &[],
};

pub(crate) const SERVICE_NOT_SEEN: Check = Check {
    id: "service/not-seen",
    severity: Severity::Error,
    cause: "istiod does not see the namespace of the Service",
    found_by: "`discoverySelectors` of the mesh configuration, and the labels of the namespace",
    why: "every request is answered with 503, or with 404 where the route is in that namespace too; a Gateway there is not served at all",
    remedy: "kubectl label namespace NAMESPACE KEY=VALUE",
    consequences: &["proxy/*", "server-certificate/not-shown"],
};

pub(crate) const SERVICE_UNREADABLE: Check = Check {
    id: "service/unreadable",
    severity: Severity::Warning,
    cause: "The Service cannot be read",
    found_by: "the Service that the route names",
    why: "whether the Service has the route's port is not known",
    remedy: "kubectl edit services -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const SERVICE_NOT_CHECKED: Check = Check {
    id: "service/not-checked",
    severity: Severity::Unknown,
    cause: "The Service could not be read",
    found_by: "the Service that the route names",
    why: "whether requests reach the Service is not known",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

pub(crate) const WORKLOAD_NO_SIDECAR: Check = Check {
    id: "workload/no-sidecar",
    severity: Severity::Warning,
    cause: "Pods of the Service have no sidecar",
    found_by: "the containers of the Service's Pods",
    why: "no policy protects Pods without a sidecar: every workload of the cluster reaches them without a client certificate",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --inject",
    consequences: &["route/failed", "workload/open"],
};

pub(crate) const WORKLOAD_OPEN: Check = Check {
    id: "workload/open",
    severity: Severity::Warning,
    cause: "Other workloads of the cluster reach the Service",
    found_by: "the AuthorizationPolicies of the Service's Pods; for an APIRule, Kyma makes one",
    why: "other workloads need no client certificate, and can choose the identity headers",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const WORKLOAD_SHUTS_GATEWAY: Check = Check {
    id: "workload/shuts-gateway",
    severity: Severity::Error,
    cause: "Policies of the Service's Pods reject the requests of the ingress gateway",
    found_by: "the AuthorizationPolicies of the Service's Pods, and the identity of the gateway's proxies",
    why: "every request is answered with 403, whatever certificate the client has",
    remedy: "kubectl edit authorizationpolicies.security.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const WORKLOAD_OTHER_CHECK: Check = Check {
    id: "workload/other-check",
    severity: Severity::Note,
    cause: "An external authorizer of the Service's Pods decides on the requests of the ingress gateway too",
    found_by: "the AuthorizationPolicies of action CUSTOM of the Service's Pods",
    why: "requests that the authorizer rejects are answered with 403, whatever certificate the client has",
    remedy: "kubectl edit authorizationpolicies.security.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const WORKLOAD_NETWORK_POLICY: Check = Check {
    id: "workload/network-policy",
    severity: Severity::Warning,
    cause: "A NetworkPolicy isolates the Service's Pods or those of the ingress gateway, and none admits the gateway's requests",
    found_by: "the NetworkPolicies in the namespaces of the Service and of the gateway that select their Pods",
    why: "where the cluster's network enforces NetworkPolicies, every request is answered with 503",
    remedy: "kubectl edit networkpolicies.networking.k8s.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const WORKLOAD_NOT_CHECKED: Check = Check {
    id: "workload/not-checked",
    severity: Severity::Unknown,
    cause: "The Pods of the Service, or the policies that apply to them, could not be listed",
    found_by: "the Service's Pods, and the policies in its namespace",
    why: "whether sidecars and policies keep other workloads out is not known",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

pub(crate) const EXTERNAL_ROUTE_OPEN: Check = Check {
    id: "external-route/open",
    severity: Severity::Error,
    cause: "The Service can be reached without a certificate of its client CA",
    found_by: "Gateways, VirtualServices, APIRules, HTTPRoutes, Ingresses and Services that lead to the same Pods, and the Pods' policies",
    why: "callers on an external route need no client certificate, or one of another CA, and can choose the identity headers",
    remedy: "kubectl delete KIND -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const EXTERNAL_ROUTE_UNLISTED: Check = Check {
    id: "external-route/unlisted",
    severity: Severity::Warning,
    cause: "Clients that are not on the host's allow-list reach its Service under another host",
    found_by: "VirtualServices and APIRules that lead to the same Pods from servers with the same client CA, and the Pods' policies",
    why: "an allow-list holds for one host only",
    remedy: "kubectl delete KIND -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const EXTERNAL_ROUTE_OTHER_CHECK: Check = Check {
    id: "external-route/other-check",
    severity: Severity::Warning,
    cause: "The Service can be reached with another check than a client certificate",
    found_by: "Gateways, VirtualServices, APIRules, HTTPRoutes, Ingresses and Services that lead to the same Pods, and the Pods' policies",
    why: "callers who pass the other check need no client certificate, and can choose the identity headers",
    remedy: "kubectl delete KIND -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const EXTERNAL_ROUTE_NOT_CHECKED: Check = Check {
    id: "external-route/not-checked",
    severity: Severity::Unknown,
    cause: "Other routes to the Service could not be checked",
    found_by: "HTTPRoutes, Ingresses, Services and policies in the namespace",
    why: "an object that could not be checked may lead to the Service without a client certificate",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &SERVICE_MISSING,
    &SERVICE_NO_PORT,
    &SERVICE_TARGET_PORT,
    &SERVICE_NO_ENDPOINTS,
    &SERVICE_TLS_MISMATCH,
    &SERVICE_ANONYMOUS,
    &SERVICE_NOT_HTTP,
    &SERVICE_NOT_EXPORTED,
    &SERVICE_NOT_SEEN,
    &SERVICE_UNREADABLE,
    &SERVICE_NOT_CHECKED,
    &WORKLOAD_NO_SIDECAR,
    &WORKLOAD_OPEN,
    &WORKLOAD_SHUTS_GATEWAY,
    &WORKLOAD_OTHER_CHECK,
    &WORKLOAD_NETWORK_POLICY,
    &WORKLOAD_NOT_CHECKED,
    &EXTERNAL_ROUTE_OPEN,
    &EXTERNAL_ROUTE_UNLISTED,
    &EXTERNAL_ROUTE_OTHER_CHECK,
    &EXTERNAL_ROUTE_NOT_CHECKED,
];
