//! Checks of the proxies: whether each of them acts by the objects in the cluster.

use super::{Check, Severity};

pub(crate) const PROXY_ACCEPTS_EVERYBODY: Check = Check {
    id: "proxy/accepts-everybody",
    severity: Severity::Error,
    cause: "A proxy answers clients without a certificate",
    found_by: "handshakes without a certificate with every proxy",
    why: "anyone reaches the host",
    remedy: "kubectl get gateways.networking.istio.io -A",
    consequences: &[],
};

pub(crate) const PROXY_REQUESTS_NO_CERTIFICATE: Check = Check {
    id: "proxy/requests-no-certificate",
    severity: Severity::Error,
    cause: "A proxy does not request a client certificate",
    found_by: "handshakes without a certificate with every proxy",
    why: "the proxy has not loaded its client CA, or another Gateway serves the host",
    remedy: "kubectl logs -n NAMESPACE POD",
    consequences: &[],
};

pub(crate) const PROXY_FAILS_CLOSED: Check = Check {
    id: "proxy/fails-closed",
    severity: Severity::Error,
    cause: "A proxy trusts the fail-closed Secret in the place of the authority",
    found_by: "the CA names that each proxy requests in the handshake, and the fail-closed Secret",
    why: "every client is rejected; istiod before 1.28 does not know a client CA in a ConfigMap",
    remedy: "kubectl get deployments -A -l app=istiod -o wide",
    consequences: &["proxy/outdated-bundle"],
};

pub(crate) const PROXY_OUTDATED_BUNDLE: Check = Check {
    id: "proxy/outdated-bundle",
    severity: Severity::Error,
    cause: "A proxy requests other CAs than the trust bundle holds",
    found_by: "the client CA that each proxy has loaded, and the CA names that it requests in the handshake",
    why: "the proxy rejects clients, or accepts removed CAs",
    remedy: "kubectl delete pods -n NAMESPACE POD",
    consequences: &[],
};

pub(crate) const PROXY_OUTDATED_CRL: Check = Check {
    id: "proxy/outdated-crl",
    severity: Severity::Error,
    cause: "A proxy has not loaded the newest revocation lists",
    found_by: "the revocation lists that each proxy has loaded",
    why: "the proxy accepts revoked clients",
    remedy: "kubectl delete pods -n NAMESPACE POD",
    consequences: &[],
};

pub(crate) const PROXY_UPDATE_REJECTED: Check = Check {
    id: "proxy/update-rejected",
    severity: Severity::Error,
    cause: "A proxy rejected an update, and has not loaded the client CA",
    found_by: "the counters of rejected updates of each proxy, and the client CA that it has loaded",
    why: "the proxy keeps its old configuration, and has none after a restart",
    remedy: "kubectl logs -n NAMESPACE POD",
    consequences: &[],
};

pub(crate) const PROXY_LISTENER_REJECTED: Check = Check {
    id: "proxy/listener-rejected",
    severity: Severity::Error,
    cause: "A proxy rejects the configuration of a listener",
    found_by: "the listeners for which each proxy keeps an error",
    why: "until this is repaired, the proxy uses its earlier configuration: it serves no new host, and enforces no changed guard",
    remedy: "kubectl get envoyfilters.networking.istio.io -A",
    consequences: &[
        "proxy/added-filter",
        "guard/not-enforced",
        "proxy/accepts-everybody",
        "proxy/requests-no-certificate",
        "proxy/outdated-bundle",
        "proxy/outdated-crl",
        "proxy/update-rejected",
        "proxy/envoy-filter",
        "proxy/unreachable",
        "proxy/not-checked",
        "server-certificate/not-shown",
        "server-certificate/not-loaded",
        "server-certificate/not-covering",
        "server-certificate/too-deep",
    ],
};

pub(crate) const PROXY_CUT_OFF: Check = Check {
    id: "proxy/cut-off",
    severity: Severity::Error,
    cause: "A proxy has no connection to istiod",
    found_by: "the statistic `cluster.xds-grpc.upstream_rq_active` of each proxy, read twice; a connection on which nothing arrives is not told from one that works",
    why: "the proxy goes on with what it has loaded: no revocation and no other change reaches it, and after a restart it serves nothing",
    remedy: "kubectl get deployments,pods -n NAMESPACE -l app=istiod",
    consequences: &[
        "guard/not-enforced",
        "proxy/outdated-bundle",
        "proxy/outdated-crl",
        "server-certificate/not-loaded",
    ],
};

pub(crate) const PROXY_ENVOY_FILTER: Check = Check {
    id: "proxy/envoy-filter",
    severity: Severity::Warning,
    cause: "An EnvoyFilter on the ingress gateway changes how clients are checked",
    found_by: "the names in the patches of the EnvoyFilters in the namespace of the proxies and in the mesh's root namespace, handshakes, and the policies that each proxy enforces",
    why: "what the Gateway and the guards say may not be what the proxies do",
    remedy: "kubectl edit envoyfilters.networking.istio.io -n NAMESPACE NAME",
    consequences: &[
        "proxy/accepts-everybody",
        "proxy/requests-no-certificate",
        "proxy/not-checked",
        "server-certificate/not-shown",
    ],
};

pub(crate) const PROXY_ADDED_FILTER: Check = Check {
    id: "proxy/added-filter",
    severity: Severity::Note,
    cause: "An EnvoyFilter, WasmPlugin or TrafficExtension adds a filter to the ingress gateway that may answer requests instead of the Service",
    found_by: "the types of the HTTP filters that EnvoyFilters insert: fault injection, external authorizers and processors, Lua, rate limits, WebAssembly and checks of tokens; and the WasmPlugins and TrafficExtensions of the gateway's Pods",
    why: "requests that the filter rejects do not reach the Service, whatever certificate the client has",
    remedy: "kubectl edit KIND -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const PROXY_NOT_READY: Check = Check {
    id: "proxy/not-ready",
    severity: Severity::Warning,
    cause: "A Pod of the ingress gateway is not Ready",
    found_by: "the conditions of the gateway's Pods",
    why: "the other Pods serve the clients",
    remedy: "kubectl describe pods -n NAMESPACE POD",
    consequences: &["proxy/not-checked", "proxy/replicas-not-told-apart"],
};

pub(crate) const PROXY_UNREACHABLE: Check = Check {
    id: "proxy/unreachable",
    severity: Severity::Error,
    cause: "No connection to the gateway",
    found_by: "a connection to every proxy, or to the load balancer",
    why: "clients do not reach the host",
    remedy: "kubectl get services,pods -n NAMESPACE",
    consequences: &["server-certificate/not-shown", "guard/not-enforced"],
};

pub(crate) const PROXY_NOT_CHECKED: Check = Check {
    id: "proxy/not-checked",
    severity: Severity::Unknown,
    cause: "A handshake with a proxy could not be made or evaluated",
    found_by: "handshakes without a certificate with every proxy",
    why: "whether the proxy rejects clients without a certificate is not known",
    remedy: "name an address of the gateway with `--connect-to HOST:PORT`",
    consequences: &[],
};

pub(crate) const PROXY_REPLICAS_NOT_TOLD_APART: Check = Check {
    id: "proxy/replicas-not-told-apart",
    severity: Severity::Unknown,
    cause: "The gateway's replicas could not be told apart",
    found_by: "the gateway's Pods, through port-forward",
    why: "a single replica with an old configuration would not be noticed",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &PROXY_ACCEPTS_EVERYBODY,
    &PROXY_REQUESTS_NO_CERTIFICATE,
    &PROXY_FAILS_CLOSED,
    &PROXY_OUTDATED_BUNDLE,
    &PROXY_OUTDATED_CRL,
    &PROXY_UPDATE_REJECTED,
    &PROXY_LISTENER_REJECTED,
    &PROXY_CUT_OFF,
    &PROXY_ENVOY_FILTER,
    &PROXY_ADDED_FILTER,
    &PROXY_NOT_READY,
    &PROXY_UNREACHABLE,
    &PROXY_NOT_CHECKED,
    &PROXY_REPLICAS_NOT_TOLD_APART,
];
