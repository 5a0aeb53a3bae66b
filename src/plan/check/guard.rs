//! Authorization on the ingress gateway: the guards, the allow-list, and other policies.

use super::{Check, Severity};

pub(crate) const GUARD_MISSING: Check = Check {
    id: "guard/missing",
    severity: Severity::Error,
    cause: "A guard does not exist",
    found_by: "the AuthorizationPolicies in the namespace of the proxies, and the annotation of the route, or of the header guard where the route is somebody else's",
    why: "clients that are not on the allow-list, or forged identity headers, reach the Service",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &["route/headers-forgeable", "guard/not-enforced"],
};

pub(crate) const GUARD_WEAKENED: Check = Check {
    id: "guard/weakened",
    severity: Severity::Error,
    cause: "A guard does not deny what it should",
    found_by: "the AuthorizationPolicies in the namespace of the proxies",
    why: "clients that are not on the allow-list, or forged identity headers, reach the Service",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &["route/headers-forgeable", "guard/not-enforced"],
};

pub(crate) const GUARD_NOT_ENFORCED: Check = Check {
    id: "guard/not-enforced",
    severity: Severity::Error,
    cause: "A proxy does not enforce a guard as it is in the cluster",
    found_by: "the guards, and the policies that each proxy enforces",
    why: "the proxy uses its earlier configuration: requests that the guard denies may reach the Service",
    remedy: "kubectl rollout restart deployments -n NAMESPACE -l app=istiod",
    consequences: &[],
};

pub(crate) const GUARD_DIFFERS: Check = Check {
    id: "guard/differs",
    severity: Severity::Warning,
    cause: "The guard and the annotation that repeats its clients name different ones",
    found_by: "the guard, and the annotation of the route, or of the header guard where the route is somebody else's",
    why: "the guard is in force; if it is deleted, `expose` restores it with the clients that the annotation names",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const GUARD_CUTS_OTHERS: Check = Check {
    id: "guard/cuts-others",
    severity: Severity::Error,
    cause: "A guard closes TCP connections of other Gateways",
    found_by: "the guard, and the TCP servers on the same proxies",
    why: "clients of the TCP servers are cut off",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const GUARD_LEFT_OVER: Check = Check {
    id: "guard/left-over",
    severity: Severity::Warning,
    cause: "The host guard of a Service that is not behind the host any more still exists",
    found_by: "the AuthorizationPolicies in the namespace of the proxies, and the routes",
    why: "clients that the guard does not list are answered with 403",
    remedy: "kubectl delete authorizationpolicies.security.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const GUARD_NOT_CHECKED: Check = Check {
    id: "guard/not-checked",
    severity: Severity::Unknown,
    cause: "The AuthorizationPolicies in the namespace of the proxies, or the Gateways of the Kubernetes Gateway API, could not be listed",
    found_by: "the AuthorizationPolicies in the namespace of the proxies, and Gateways whose TCP and TLS listeners no guard may close",
    why: "whether the guards exist, or what they close, is not known",
    remedy: "kubectl mtls rbac status",
    // Policies beside the proxies often act on the whole mesh.
    consequences: &["workload/not-checked"],
};

pub(crate) const ALLOW_LIST_NOBODY: Check = Check {
    id: "allow-list/nobody",
    severity: Severity::Error,
    cause: "No client on the allow-list has a valid certificate",
    found_by: "the guard, and the inventory",
    why: "every request is answered with 403",
    remedy: "kubectl mtls issue-client NAME --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const INGRESS_POLICY_SHUTS_HOST: Check = Check {
    id: "ingress-policy/shuts-host",
    severity: Severity::Error,
    cause: "Another policy on the ingress gateway rejects the host's clients",
    found_by: "the AuthorizationPolicies in the namespace of the proxies, which is often the mesh's root namespace too",
    why: "requests are answered with 403, whatever certificate the client has",
    remedy: "kubectl edit authorizationpolicies.security.istio.io -n NAMESPACE NAME",
    consequences: &["workload/open", "workload/shuts-gateway"],
};

pub(crate) const INGRESS_POLICY_SOME_REQUESTS: Check = Check {
    id: "ingress-policy/some-requests",
    severity: Severity::Note,
    cause: "Another policy on the ingress gateway decides on some of the host's requests, or by what is not known here",
    found_by: "the AuthorizationPolicies in the namespace of the proxies, which is often the mesh's root namespace too, and the identities of the clients",
    why: "requests that the policy rejects are answered with 403, although the client has a valid certificate",
    remedy: "kubectl edit authorizationpolicies.security.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const INGRESS_POLICY_OTHER_CHECK: Check = Check {
    id: "ingress-policy/other-check",
    severity: Severity::Note,
    cause: "An external authorizer on the ingress gateway decides on the host's requests too",
    found_by: "the AuthorizationPolicies of action CUSTOM in the namespace of the proxies",
    why: "requests that the authorizer rejects are answered with 403, whatever certificate the client has",
    remedy: "kubectl edit authorizationpolicies.security.istio.io -n NAMESPACE NAME",
    consequences: &["workload/other-check"],
};

pub(crate) const INGRESS_POLICY_TOKENS: Check = Check {
    id: "ingress-policy/tokens",
    severity: Severity::Note,
    cause: "The ingress gateway checks the tokens of the host's requests too",
    found_by: "the RequestAuthentications in the namespace of the proxies, which is often the mesh's root namespace too",
    why: "requests with a token that the gateway does not accept are answered with 401, whatever certificate the client has",
    remedy: "kubectl edit requestauthentications.security.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const INGRESS_POLICY_NOT_CHECKED: Check = Check {
    id: "ingress-policy/not-checked",
    severity: Severity::Unknown,
    cause: "Other objects that act on the ingress gateway could not be listed",
    found_by: "the EnvoyFilters, WasmPlugins, TrafficExtensions, RequestAuthentications and NetworkPolicies in the namespace of the proxies",
    why: "objects that were not listed may reject clients, or change how their certificates are checked",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &GUARD_MISSING,
    &GUARD_WEAKENED,
    &GUARD_NOT_ENFORCED,
    &GUARD_DIFFERS,
    &GUARD_CUTS_OTHERS,
    &GUARD_LEFT_OVER,
    &GUARD_NOT_CHECKED,
    &ALLOW_LIST_NOBODY,
    &INGRESS_POLICY_SHUTS_HOST,
    &INGRESS_POLICY_SOME_REQUESTS,
    &INGRESS_POLICY_OTHER_CHECK,
    &INGRESS_POLICY_TOKENS,
    &INGRESS_POLICY_NOT_CHECKED,
];
