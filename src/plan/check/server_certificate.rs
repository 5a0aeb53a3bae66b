//! Checks of the gateway's server certificate: its Certificate, its Secret, and the handshake.

use super::{Check, Severity};

pub(crate) const SERVER_CERTIFICATE_PENDING: Check = Check {
    id: "server-certificate/pending",
    severity: Severity::Error,
    cause: "The issuer has not issued the server certificate yet",
    found_by: "the status of the Certificate, and the handshake",
    why: "clients cannot verify the gateway until the certificate is issued",
    remedy: "kubectl describe certificates.cert.gardener.cloud -n NAMESPACE NAME",
    consequences: &["server-certificate/*", "dns/challenge-hides-host"],
};

pub(crate) const SERVER_CERTIFICATE_NAME_TOO_LONG: Check = Check {
    id: "server-certificate/name-too-long",
    severity: Severity::Error,
    cause: "The common name of the Certificate has more than 64 characters",
    found_by: "`spec.commonName` of the Certificate, which is not Ready",
    why: "no issuer accepts it (X.520, `ub-common-name`), so the certificate is not issued or not renewed",
    remedy: "kubectl patch certificates.cert.gardener.cloud -n NAMESPACE NAME --type=merge -p '{\"spec\":{\"commonName\":null,\"dnsNames\":[\"HOST\"]}}'",
    consequences: &["server-certificate/*"],
};

pub(crate) const SERVER_CERTIFICATE_ISSUER_FAILED: Check = Check {
    id: "server-certificate/issuer-failed",
    severity: Severity::Error,
    cause: "The issuer reports an error",
    found_by: "the status of the Certificate",
    why: "the server certificate is not issued or not renewed",
    remedy: "kubectl describe certificates.cert.gardener.cloud -n NAMESPACE NAME",
    consequences: &["server-certificate/*"],
};

pub(crate) const SERVER_CERTIFICATE_WRONG_SECRET: Check = Check {
    id: "server-certificate/wrong-secret",
    severity: Severity::Warning,
    cause: "The Certificate fills another Secret than the Gateway names",
    found_by: "`spec.secretName` of the Certificate, and `credentialName` of the Gateway",
    why: "nobody renews the certificate that the gateway shows",
    remedy: "kubectl patch certificates.cert.gardener.cloud -n NAMESPACE NAME --type=merge -p '{\"spec\":{\"secretName\":\"SECRET\",\"secretRef\":null}}'",
    consequences: &[
        "server-certificate/secret-missing",
        "server-certificate/ending",
        "server-certificate/expired",
        "server-certificate/not-shown",
    ],
};

pub(crate) const SERVER_CERTIFICATE_NO_ISSUER: Check = Check {
    id: "server-certificate/no-issuer",
    severity: Severity::Warning,
    cause: "The Secret that the Gateway names is no longer filled by a Certificate",
    found_by: "the Certificates in the namespace of the gateway, and the label or annotation by which an issuer marks the Secrets that it fills",
    why: "nobody renews the server certificate",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &["server-certificate/ending", "server-certificate/expired"],
};

pub(crate) const SERVER_CERTIFICATE_SECRET_MISSING: Check = Check {
    id: "server-certificate/secret-missing",
    severity: Severity::Error,
    cause: "The server Secret does not exist",
    found_by: "the Secret that `credentialName` names (its metadata)",
    why: "handshakes end without a certificate, at the latest after the next start of a proxy",
    remedy: "kubectl annotate --overwrite certificates.cert.gardener.cloud -n NAMESPACE NAME gardener.cloud/operation=reconcile",
    consequences: &[
        "server-certificate/not-shown",
        "server-certificate/ending",
        "server-certificate/expired",
        "proxy/not-checked",
    ],
};

pub(crate) const SERVER_CERTIFICATE_NOT_SHOWN: Check = Check {
    id: "server-certificate/not-shown",
    severity: Severity::Error,
    cause: "The gateway ends the handshake without showing a certificate",
    found_by: "handshakes with every proxy",
    why: "no client can connect",
    remedy: "kubectl logs -n NAMESPACE POD",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_NOT_COVERING: Check = Check {
    id: "server-certificate/not-covering",
    severity: Severity::Error,
    cause: "The server certificate does not cover the host",
    found_by: "the names of the certificate that the gateway shows",
    why: "clients that verify the gateway refuse it",
    remedy: "kubectl patch certificates.cert.gardener.cloud -n NAMESPACE NAME --type=merge -p PATCH",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_TOO_DEEP: Check = Check {
    id: "server-certificate/too-deep",
    severity: Severity::Error,
    cause: "The host has more labels than the certificate's wildcard covers",
    found_by: "the names of the server certificate; a wildcard stands for one label (RFC 6125, section 6.4.3)",
    why: "clients that verify the gateway refuse it",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --host HOST",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_NOT_FOR_SERVERS: Check = Check {
    id: "server-certificate/not-for-servers",
    severity: Severity::Error,
    cause: "The server certificate is not for servers",
    found_by: "the extended key usage of the certificate that the gateway shows",
    why: "clients that verify the gateway refuse it",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --server-certificate CERT,KEY",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_EXPIRED: Check = Check {
    id: "server-certificate/expired",
    severity: Severity::Error,
    cause: "The server certificate has expired",
    found_by: "the certificate that the gateway shows",
    why: "clients that verify the gateway refuse it",
    remedy: "kubectl patch certificates.cert.gardener.cloud -n NAMESPACE NAME --type=merge -p '{\"spec\":{\"renew\":true}}'",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_ENDING: Check = Check {
    id: "server-certificate/ending",
    severity: Severity::Warning,
    cause: "The server certificate ends soon, and nobody has renewed it",
    found_by: "the certificate that the gateway shows",
    why: "clients that verify the gateway refuse it after the certificate's end",
    remedy: "kubectl patch certificates.cert.gardener.cloud -n NAMESPACE NAME --type=merge -p '{\"spec\":{\"renew\":true}}'",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_NOT_YET_VALID: Check = Check {
    id: "server-certificate/not-yet-valid",
    severity: Severity::Error,
    cause: "The server certificate is not valid yet",
    found_by: "the certificate that the gateway shows",
    why: "clients that verify the gateway refuse it until then",
    remedy: "wait until the certificate is valid, and check the clock of the issuer",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_ISSUER_NOT_READY: Check = Check {
    id: "server-certificate/issuer-not-ready",
    severity: Severity::Warning,
    cause: "The issuer of the server certificate is gone or not Ready, or its Certificate is being deleted",
    found_by: "the Issuer or ClusterIssuer in the cluster that the Certificate names, and the Certificate's `deletionTimestamp`",
    why: "the server certificate will not be renewed, and clients that verify the gateway refuse it when it ends",
    remedy: "kubectl describe clusterissuers.cert-manager.io NAME",
    consequences: &[
        "server-certificate/pending",
        "server-certificate/issuer-failed",
        "server-certificate/secret-missing",
        "server-certificate/not-shown",
        "server-certificate/ending",
        "server-certificate/expired",
    ],
};

pub(crate) const SERVER_CERTIFICATE_NOT_LOADED: Check = Check {
    id: "server-certificate/not-loaded",
    severity: Severity::Error,
    cause: "A proxy still shows the server certificate that was renewed",
    found_by: "the certificates that the proxies show, and the end of the one in the Secret",
    why: "when the old certificate ends, clients that verify this proxy refuse it",
    remedy: "kubectl delete pods -n NAMESPACE POD",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_REJECTED: Check = Check {
    id: "server-certificate/rejected",
    severity: Severity::Warning,
    cause: "A proxy rejected the newest content of the server Secret: the key does not match the certificate, or one of them cannot be read",
    found_by: "each proxy's counter of rejected updates and the version of the Secret that it accepted last, where the user may read that Secret and the proxies' statistics include `sds`, which Istio leaves out unless `proxyStatsMatcher` names it",
    why: "the proxy keeps the previous certificate until it restarts, and then has none",
    remedy: "kubectl patch certificates.cert.gardener.cloud -n NAMESPACE NAME --type=merge -p '{\"spec\":{\"renew\":true}}'",
    consequences: &[
        "server-certificate/not-loaded",
        "server-certificate/not-shown",
        "guard/not-enforced",
    ],
};

pub(crate) const SERVER_CERTIFICATE_CHAIN_INCOMPLETE: Check = Check {
    id: "server-certificate/chain-incomplete",
    severity: Severity::Error,
    cause: "The gateway shows its certificate without the issuer's certificate",
    found_by: "the chain that the gateway shows; the certificate of a root CA need not be shown",
    why: "clients that do not know the intermediate CA refuse the gateway",
    remedy: "kubectl patch certificates.cert.gardener.cloud -n NAMESPACE NAME --type=merge -p '{\"spec\":{\"renew\":true}}'",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_CHAIN_EXPIRED: Check = Check {
    id: "server-certificate/chain-expired",
    severity: Severity::Error,
    cause: "A CA certificate in the server's chain has expired",
    found_by: "the chain that the gateway shows",
    why: "clients that verify the gateway refuse it",
    remedy: "kubectl patch certificates.cert.gardener.cloud -n NAMESPACE NAME --type=merge -p '{\"spec\":{\"renew\":true}}'",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_UNREADABLE: Check = Check {
    id: "server-certificate/unreadable",
    severity: Severity::Warning,
    cause: "A Certificate in the namespace of the gateway cannot be read",
    found_by: "the Certificates in the namespace of the gateway",
    why: "who renews the server certificate is not known",
    remedy: "kubectl edit certificates.cert.gardener.cloud -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const SERVER_CERTIFICATE_NOT_CHECKED: Check = Check {
    id: "server-certificate/not-checked",
    severity: Severity::Unknown,
    cause: "The Certificates or the server Secret could not be read",
    found_by: "the Certificates in the namespace of the gateway, and the metadata of the server Secret",
    why: "who renews the server certificate, and what the issuer says, is not known",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &SERVER_CERTIFICATE_PENDING,
    &SERVER_CERTIFICATE_NAME_TOO_LONG,
    &SERVER_CERTIFICATE_ISSUER_FAILED,
    &SERVER_CERTIFICATE_WRONG_SECRET,
    &SERVER_CERTIFICATE_NO_ISSUER,
    &SERVER_CERTIFICATE_SECRET_MISSING,
    &SERVER_CERTIFICATE_NOT_SHOWN,
    &SERVER_CERTIFICATE_NOT_COVERING,
    &SERVER_CERTIFICATE_TOO_DEEP,
    &SERVER_CERTIFICATE_NOT_FOR_SERVERS,
    &SERVER_CERTIFICATE_EXPIRED,
    &SERVER_CERTIFICATE_ENDING,
    &SERVER_CERTIFICATE_NOT_YET_VALID,
    &SERVER_CERTIFICATE_ISSUER_NOT_READY,
    &SERVER_CERTIFICATE_NOT_LOADED,
    &SERVER_CERTIFICATE_REJECTED,
    &SERVER_CERTIFICATE_CHAIN_INCOMPLETE,
    &SERVER_CERTIFICATE_CHAIN_EXPIRED,
    &SERVER_CERTIFICATE_UNREADABLE,
    &SERVER_CERTIFICATE_NOT_CHECKED,
];
