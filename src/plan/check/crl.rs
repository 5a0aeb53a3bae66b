//! Checks of the client CA's revocation lists.

use super::{Check, Severity};

pub(crate) const CLIENT_CA_CRL_IGNORED: Check = Check {
    id: "client-ca/crl-ignored",
    severity: Severity::Error,
    cause: "The revocation list is stored under a key that istiod ignores",
    found_by: "the keys of the object that the Gateway reads",
    why: "revoked clients are accepted",
    remedy: "use the keys `ca.crt` and `ca.crl`, or `cacert` and `crl`",
    consequences: &["client-ca/crl-outdated", "revocation/not-listed"],
};

pub(crate) const CLIENT_CA_NO_CRL_SIGN: Check = Check {
    id: "client-ca/no-crl-sign",
    severity: Severity::Error,
    cause: "A client CA with a revocation list may not sign one",
    found_by: "the key usage of each CA that has a revocation list",
    why: "Envoy rejects all clients of this CA",
    remedy: "kubectl mtls ca-rotate --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_CRL_MISSING: Check = Check {
    id: "client-ca/crl-missing",
    severity: Severity::Error,
    cause: "One client CA has a revocation list, and another has none",
    found_by: "the revocation lists beside the trust bundle",
    why: "Envoy rejects all clients of the CA without a list",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &[
        "authority/lists-edited",
        "client-ca/crl-outdated",
        "revocation/not-listed",
    ],
};

pub(crate) const CLIENT_CA_CRL_EXPIRED: Check = Check {
    id: "client-ca/crl-expired",
    severity: Severity::Error,
    cause: "The revocation list of a client CA has expired",
    found_by: "the revocation lists beside the trust bundle",
    why: "Envoy rejects all clients of this CA",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &["authority/lists-edited", "client-ca/crl-outdated"],
};

pub(crate) const CLIENT_CA_CRL_ENDING: Check = Check {
    id: "client-ca/crl-ending",
    severity: Severity::Warning,
    cause: "The revocation list of a client CA ends soon",
    found_by: "the revocation lists beside the trust bundle",
    why: "after the end of the list Envoy rejects all clients of this CA",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &["client-ca/crl-outdated"],
};

pub(crate) const CLIENT_CA_CRL_NOT_YET_VALID: Check = Check {
    id: "client-ca/crl-not-yet-valid",
    severity: Severity::Error,
    cause: "The revocation list of a client CA is not valid yet",
    found_by: "the revocation lists beside the trust bundle",
    why: "Envoy rejects all clients of this CA until then",
    remedy: "wait until the list is valid, and check the clock of the computer that published it",
    consequences: &["authority/lists-edited", "client-ca/crl-outdated"],
};

pub(crate) const CLIENT_CA_CRL_FORGED: Check = Check {
    id: "client-ca/crl-forged",
    severity: Severity::Error,
    cause: "The revocation list of a client CA is not signed by that CA",
    found_by: "the signatures of the revocation lists",
    why: "Envoy rejects all clients of this CA",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &[
        "authority/lists-edited",
        "client-ca/crl-outdated",
        "revocation/not-listed",
    ],
};

pub(crate) const CLIENT_CA_CRL_PARTIAL: Check = Check {
    id: "client-ca/crl-partial",
    severity: Severity::Error,
    cause: "The revocation list of a client CA is a delta list, or for some certificates only",
    found_by: "the critical extensions of the revocation lists",
    why: "Envoy does not accept such a list, and rejects all clients of this CA",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &["authority/lists-edited"],
};

pub(crate) const CLIENT_CA_CRL_UNREADABLE: Check = Check {
    id: "client-ca/crl-unreadable",
    severity: Severity::Error,
    cause: "The revocation list cannot be read",
    found_by: "the revocation lists beside the trust bundle",
    why: "proxies reject every client, either at once or, if they reject the update and keep the previous list, after a restart",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &[
        "authority/lists-edited",
        "client-ca/crl-outdated",
        "revocation/not-listed",
        "proxy/outdated-crl",
        "proxy/update-rejected",
    ],
};

pub(crate) const CLIENT_CA_CRL_OUTDATED: Check = Check {
    id: "client-ca/crl-outdated",
    severity: Severity::Error,
    cause: "The client-CA Secret holds an older revocation list than the authority published",
    found_by: "the Secret that the Gateway reads, compared with the authority",
    why: "the gateway may accept revoked clients",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --fail-closed",
    consequences: &["revocation/not-listed"],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &CLIENT_CA_CRL_IGNORED,
    &CLIENT_CA_NO_CRL_SIGN,
    &CLIENT_CA_CRL_MISSING,
    &CLIENT_CA_CRL_EXPIRED,
    &CLIENT_CA_CRL_ENDING,
    &CLIENT_CA_CRL_NOT_YET_VALID,
    &CLIENT_CA_CRL_FORGED,
    &CLIENT_CA_CRL_PARTIAL,
    &CLIENT_CA_CRL_UNREADABLE,
    &CLIENT_CA_CRL_OUTDATED,
];
