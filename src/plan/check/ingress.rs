//! Checks of the ingress gateway's Service and its load balancer.

use super::{Check, Severity};

pub(crate) const INGRESS_SERVICE_MISSING: Check = Check {
    id: "ingress/service-missing",
    severity: Severity::Error,
    cause: "No Service leads to the ingress gateway",
    found_by: "the Services in the namespace of the ingress gateway",
    why: "nothing leads to the gateway from outside the cluster",
    remedy: "restore the Service of the ingress gateway",
    consequences: &[
        "dns/no-record",
        "proxy/not-checked",
        "proxy/replicas-not-told-apart",
        "proxy/unreachable",
    ],
};

pub(crate) const INGRESS_NO_PORT: Check = Check {
    id: "ingress/no-port",
    severity: Severity::Error,
    cause: "The ingress Service has no port 443",
    found_by: "the ports of the ingress Service",
    why: "clients cannot reach the gateway's HTTPS listener",
    remedy: "kubectl edit services -n NAMESPACE NAME",
    consequences: &[
        "dns/no-record",
        "proxy/*",
        "server-certificate/not-shown",
        "server-certificate/not-covering",
        "server-certificate/too-deep",
    ],
};

pub(crate) const INGRESS_TARGET_PORT: Check = Check {
    id: "ingress/target-port",
    severity: Severity::Error,
    cause: "Port 443 of the ingress Service leads to a port that no Pod of the gateway names",
    found_by: "the target port of the ingress Service, and the ports of the gateway's Pods",
    why: "clients cannot reach the gateway's HTTPS listener",
    remedy: "kubectl patch services -n NAMESPACE NAME --type=json -p PATCH",
    consequences: &[
        "proxy/*",
        "server-certificate/not-shown",
        "server-certificate/not-covering",
        "server-certificate/too-deep",
    ],
};

pub(crate) const INGRESS_SELECTOR: Check = Check {
    id: "ingress/selector",
    severity: Severity::Error,
    cause: "The selector of the ingress Service matches none of the gateway's Pods",
    found_by: "the selector of the ingress Service, and the labels of the Pods",
    why: "the load balancer has no Pod to send clients to",
    remedy: "kubectl edit services -n NAMESPACE NAME",
    consequences: &["proxy/unreachable", "server-certificate/not-shown"],
};

pub(crate) const INGRESS_TYPE: Check = Check {
    id: "ingress/type",
    severity: Severity::Error,
    cause: "The ingress Service is of a type that no client outside the cluster reaches",
    found_by: "the type and the addresses of the ingress Service; Pods with `hostNetwork` need none",
    why: "clients outside the cluster cannot reach the gateway",
    remedy: "kubectl edit services -n NAMESPACE NAME",
    consequences: &["dns/no-record"],
};

pub(crate) const INGRESS_NO_ADDRESS: Check = Check {
    id: "ingress/no-address",
    severity: Severity::Error,
    cause: "The load balancer has no address",
    found_by: "the status of the ingress Service",
    why: "clients outside the cluster cannot reach the gateway",
    remedy: "kubectl describe services -n NAMESPACE NAME",
    consequences: &["dns/no-record", "dns/entry-failed"],
};

pub(crate) const INGRESS_PROXY_PROTOCOL: Check = Check {
    id: "ingress/proxy-protocol",
    severity: Severity::Error,
    cause: "The load balancer sends headers of the PROXY protocol, and the gateway's proxies do not expect them",
    found_by: "the annotations of the ingress Service, the EnvoyFilters on its proxies, and handshakes without such a header",
    why: "the proxies close every connection that comes through the load balancer",
    remedy: "kubectl annotate services -n NAMESPACE NAME ANNOTATION-",
    consequences: &[],
};

pub(crate) const INGRESS_SOURCE_RANGES: Check = Check {
    id: "ingress/source-ranges",
    severity: Severity::Note,
    cause: "The load balancer accepts some client addresses only",
    found_by: "`loadBalancerSourceRanges` of the ingress Service",
    why: "clients with other addresses cannot connect",
    remedy: "kubectl edit services -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const INGRESS_NETWORK_POLICY: Check = Check {
    id: "ingress/network-policy",
    severity: Severity::Warning,
    cause: "A NetworkPolicy isolates the gateway's Pods, and none admits clients from outside the cluster",
    found_by: "the NetworkPolicies in the namespace of the ingress gateway that select its Pods",
    why: "where the cluster's network enforces NetworkPolicies, clients cannot connect",
    remedy: "kubectl edit networkpolicies.networking.k8s.io -n NAMESPACE NAME",
    consequences: &["proxy/unreachable"],
};

pub(crate) const INGRESS_NOT_CHECKED: Check = Check {
    id: "ingress/not-checked",
    severity: Severity::Unknown,
    cause: "The Service of the ingress gateway could not be read",
    found_by: "the ingress Service",
    why: "whether the host's name leads to the gateway is not known",
    remedy: "kubectl mtls rbac status",
    consequences: &[
        "proxy/not-checked",
        "proxy/replicas-not-told-apart",
        "proxy/unreachable",
    ],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &INGRESS_SERVICE_MISSING,
    &INGRESS_NO_PORT,
    &INGRESS_TARGET_PORT,
    &INGRESS_SELECTOR,
    &INGRESS_TYPE,
    &INGRESS_NO_ADDRESS,
    &INGRESS_PROXY_PROTOCOL,
    &INGRESS_SOURCE_RANGES,
    &INGRESS_NETWORK_POLICY,
    &INGRESS_NOT_CHECKED,
];
