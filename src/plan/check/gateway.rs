//! Checks of the Gateway, and of other Gateways on the same proxies.

use super::{Check, Severity};

pub(crate) const GATEWAY_MISSING: Check = Check {
    id: "gateway/missing",
    severity: Severity::Error,
    cause: "The Gateway does not exist, and a route still names this Gateway",
    found_by: "all Gateways, and the routes of kubectl-mtls",
    why: "nothing serves the host with mutual TLS, and anyone who creates a Gateway of this name decides who reaches the Service",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &["route/failed"],
};

pub(crate) const GATEWAY_OTHER_REVISION: Check = Check {
    id: "gateway/other-revision",
    severity: Severity::Error,
    cause: "The Gateway is for an istiod of another revision",
    found_by: "the label `istio.io/rev` of the Gateway, and the revision of the istiod that the proxies' Pods name",
    why: "the istiod of the proxies does not read the Gateway, so nothing serves the host with mutual TLS",
    remedy: "kubectl label gateways.networking.istio.io -n NAMESPACE NAME istio.io/rev-",
    consequences: &["server-certificate/*", "proxy/*", "guard/*", "client-ca/*"],
};

pub(crate) const GATEWAY_WEAKENED: Check = Check {
    id: "gateway/weakened",
    severity: Severity::Error,
    cause: "The Gateway does not require a client certificate for the host",
    found_by: "`tls.mode` of the Gateway's servers: SIMPLE, OPTIONAL_MUTUAL and others",
    why: "anyone reaches the Service without a client certificate, and can choose the identity headers",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &["route/failed"],
};

pub(crate) const GATEWAY_NO_SERVER: Check = Check {
    id: "gateway/no-server",
    severity: Severity::Error,
    cause: "The Gateway has no server for the host",
    found_by: "the hosts of the Gateway's servers",
    why: "clients do not reach the Service, and another Gateway may answer in its place",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &["route/failed"],
};

pub(crate) const GATEWAY_SKIPS_VERIFICATION: Check = Check {
    id: "gateway/skips-verification",
    severity: Severity::Error,
    cause: "The Gateway accepts certificates of any CA",
    found_by: "`tls.insecureSkipVerify` of the Gateway",
    why: "anyone with a certificate gets in, under the name in that certificate",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &["proxy/*"],
};

pub(crate) const GATEWAY_CLIENT_CA_CHANGED: Check = Check {
    id: "gateway/client-ca-changed",
    severity: Severity::Error,
    cause: "The Gateway reads another client CA than its authority",
    found_by: "`caCertCredentialName` of the Gateway, and the authority that serves it",
    why: "clients of the authority are rejected, and others may get in",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &["client-ca/*", "proxy/*", "server-certificate/not-shown"],
};

pub(crate) const GATEWAY_CREDENTIAL_CHANGED: Check = Check {
    id: "gateway/credential-changed",
    severity: Severity::Error,
    cause: "The Gateway names another server Secret than kubectl-mtls wrote",
    found_by: "`credentialName` of the Gateway, and its annotation",
    why: "clients may see another server certificate, or none",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[
        "server-certificate/*",
        "client-ca/fallback-missing",
        "proxy/*",
    ],
};

pub(crate) const GATEWAY_PINS: Check = Check {
    id: "gateway/pins",
    severity: Severity::Warning,
    cause: "The Gateway accepts only certificates with certain hashes or names",
    found_by: "`verifyCertificateHash`, `verifyCertificateSpki` and `subjectAltNames` of the Gateway",
    why: "clients with other certificates are rejected, renewed ones too",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const GATEWAY_FORWARDS_TCP: Check = Check {
    id: "gateway/forwards-tcp",
    severity: Severity::Error,
    cause: "The Gateway does not serve the host as HTTPS",
    found_by: "`port.protocol` of the Gateway's server",
    why: "no HTTP route and no guard acts on connections to this server, and clients do not reach the Service",
    remedy: "kubectl patch gateways.networking.istio.io -n NAMESPACE NAME --type=json -p PATCH",
    consequences: &["server-certificate/*", "proxy/*", "guard/*", "client-ca/*"],
};

pub(crate) const GATEWAY_BIND: Check = Check {
    id: "gateway/bind",
    severity: Severity::Error,
    cause: "The Gateway's server listens on one address only",
    found_by: "`bind` of the Gateway's server",
    why: "the load balancer sends clients to another address of the proxy, where another Gateway may answer",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &["server-certificate/*", "proxy/*", "client-ca/*"],
};

pub(crate) const GATEWAY_HOST_NAMESPACE: Check = Check {
    id: "gateway/host-namespace",
    severity: Severity::Error,
    cause: "The Gateway accepts routes of another namespace only",
    found_by: "the namespace before the Gateway's host, and that of the route",
    why: "every request is answered with 404",
    remedy: "kubectl patch gateways.networking.istio.io -n NAMESPACE NAME --type=json -p PATCH",
    consequences: &[],
};

pub(crate) const GATEWAY_TLS_LIMITS: Check = Check {
    id: "gateway/tls-limits",
    severity: Severity::Note,
    cause: "The Gateway speaks only some versions of TLS, or some ciphers",
    found_by: "`minProtocolVersion`, `maxProtocolVersion` and `cipherSuites` of the Gateway, and the handshake",
    why: "clients that support none of them cannot connect",
    remedy: "kubectl patch gateways.networking.istio.io -n NAMESPACE NAME --type=json -p PATCH",
    consequences: &["server-certificate/not-shown", "proxy/*"],
};

pub(crate) const GATEWAY_NO_PROXY: Check = Check {
    id: "gateway/no-proxy",
    severity: Severity::Error,
    cause: "The Gateway's selector matches no Pod",
    found_by: "the Gateway's selector, and the Pods in the namespace of the ingress gateway",
    why: "no proxy serves the host",
    remedy: "kubectl patch gateways.networking.istio.io -n NAMESPACE NAME --type=json -p PATCH",
    consequences: &[
        "dns/*",
        "ingress/*",
        "proxy/*",
        "server-certificate/*",
        "gateway/credential-changed",
        "guard/*",
    ],
};

pub(crate) const GATEWAY_SEVERAL_NAMESPACES: Check = Check {
    id: "gateway/several-namespaces",
    severity: Severity::Warning,
    cause: "The Gateway's selector matches proxies of another namespace too, for which the host was not exposed",
    found_by: "the Pods of all namespaces with the labels that the Gateway selects, the namespaces that Gateway and route note, guards and Secrets beside those Pods, and whether istiod keeps Gateways to their namespace",
    why: "the Gateway configures these proxies too, and they read the server Secret of their own namespace: without one they serve nobody, and without guards they admit too much",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --ingress NAMESPACE/SERVICE,NAMESPACE/SERVICE",
    consequences: &[],
};

pub(crate) const GATEWAY_DUPLICATE_HOST: Check = Check {
    id: "gateway/duplicate-host",
    severity: Severity::Error,
    cause: "Two Gateways have the same host on the same proxies",
    found_by: "the hosts of all Gateways that share proxies",
    why: "Istio drops the server of the younger Gateway",
    remedy: "kubectl delete gateways.networking.istio.io -n NAMESPACE NAME",
    consequences: &[
        "server-certificate/*",
        "proxy/*",
        "gateway/shadowed",
        "client-ca/*",
    ],
};

pub(crate) const GATEWAY_SHADOWED: Check = Check {
    id: "gateway/shadowed",
    severity: Severity::Error,
    cause: "Another Gateway takes the host with a more specific pattern",
    found_by: "the hosts of all Gateways that share proxies",
    why: "the server of the other Gateway answers instead",
    remedy: "kubectl edit gateways.networking.istio.io -n NAMESPACE NAME",
    consequences: &["server-certificate/*", "proxy/*", "external-route/*"],
};

pub(crate) const GATEWAY_OTHER_SERVER: Check = Check {
    id: "gateway/other-server",
    severity: Severity::Error,
    cause: "Another server of the Gateway serves the host with a different certificate check",
    found_by: "the servers of the Gateway",
    why: "clients of the other server bypass the certificate check, and can choose the identity headers",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --guard",
    consequences: &[],
};

pub(crate) const GATEWAY_UNREADABLE: Check = Check {
    id: "gateway/unreadable",
    severity: Severity::Warning,
    cause: "A Gateway cannot be read",
    found_by: "all Gateways",
    why: "the hosts of this Gateway are not in this report",
    remedy: "kubectl edit gateways.networking.istio.io -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const GATEWAY_NOT_CHECKED: Check = Check {
    id: "gateway/not-checked",
    severity: Severity::Unknown,
    cause: "The Gateways could not be listed",
    found_by: "all Gateways",
    why: "which hosts there are is not known",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

pub(crate) const KYMA_GATEWAY_SHAPE: Check = Check {
    id: "kyma-gateway/shape",
    severity: Severity::Error,
    cause: "Kyma's own Gateway has a shape that Kyma's controller does not accept",
    found_by: "the servers of `kyma-system/kyma-gateway`",
    why: "the controller reconciles no APIRule of the cluster, and writes no status",
    remedy: "kubectl edit gateways.networking.istio.io -n kyma-system kyma-gateway",
    consequences: &[],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &GATEWAY_MISSING,
    &GATEWAY_OTHER_REVISION,
    &GATEWAY_WEAKENED,
    &GATEWAY_NO_SERVER,
    &GATEWAY_SKIPS_VERIFICATION,
    &GATEWAY_CLIENT_CA_CHANGED,
    &GATEWAY_CREDENTIAL_CHANGED,
    &GATEWAY_PINS,
    &GATEWAY_FORWARDS_TCP,
    &GATEWAY_BIND,
    &GATEWAY_HOST_NAMESPACE,
    &GATEWAY_TLS_LIMITS,
    &GATEWAY_NO_PROXY,
    &GATEWAY_SEVERAL_NAMESPACES,
    &GATEWAY_DUPLICATE_HOST,
    &GATEWAY_SHADOWED,
    &GATEWAY_OTHER_SERVER,
    &GATEWAY_UNREADABLE,
    &GATEWAY_NOT_CHECKED,
    &KYMA_GATEWAY_SHAPE,
];
