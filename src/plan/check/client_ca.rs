//! Checks of the client CA: the trust bundle and its revocation lists, in the object that the
//! Gateway reads.

use super::{Check, Severity};

pub(crate) const CLIENT_CA_MISSING: Check = Check {
    id: "client-ca/missing",
    severity: Severity::Error,
    cause: "The object with the client CA does not exist",
    found_by: "the object that the Gateway names",
    why: "running proxies keep their CA; a restarted proxy rejects every client on its port, other hosts included",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &[
        "client-ca/*",
        "proxy/outdated-bundle",
        "proxy/requests-no-certificate",
        "proxy/update-rejected",
        "proxy/not-checked",
    ],
};

pub(crate) const CLIENT_CA_NOT_SEEN: Check = Check {
    id: "client-ca/not-seen",
    severity: Severity::Error,
    cause: "istiod does not see the namespace of the authority",
    found_by: "`discoverySelectors` of the mesh configuration, and the labels of the namespace",
    why: "running proxies keep their CA, and no revocation reaches them; after a restart of istiod, new proxies reject every client",
    remedy: "kubectl label namespace kubectl-mtls KEY=VALUE",
    consequences: &["proxy/*"],
};

pub(crate) const CLIENT_CA_FAILS_OPEN: Check = Check {
    id: "client-ca/fails-open",
    severity: Severity::Error,
    cause: "The client-CA Secret does not exist, and istiod uses the server's issuer instead",
    found_by: "the Secret `<credentialName>-cacert`, and the server Secret",
    why: "anyone with a certificate from the server's CA gets in",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --fail-closed",
    consequences: &[
        "client-ca/*",
        "proxy/outdated-bundle",
        "proxy/requests-no-certificate",
        "proxy/update-rejected",
        "proxy/not-checked",
    ],
};

pub(crate) const CLIENT_CA_MAY_FAIL_OPEN: Check = Check {
    id: "client-ca/may-fail-open",
    severity: Severity::Warning,
    cause: "The Gateway falls back to the server's issuer when its client-CA Secret is deleted",
    found_by: "`caCertCredentialName` of the Gateway",
    why: "if the Secret is deleted, anyone with a certificate from the server's CA gets in",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --fail-closed",
    consequences: &[],
};

pub(crate) const CLIENT_CA_SHADOWED: Check = Check {
    id: "client-ca/shadowed",
    severity: Severity::Error,
    cause: "A Secret exists that istiod uses when the client-CA Secret is missing",
    found_by: "the Secret of the same name without `-cacert` (its metadata)",
    why: "if the client-CA Secret is deleted, that Secret's `ca.crt` is trusted",
    remedy: "kubectl delete secrets -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const CLIENT_CA_NAME_IGNORED: Check = Check {
    id: "client-ca/name-ignored",
    severity: Severity::Error,
    cause: "The Gateway names a client-CA Secret that istiod never delivers",
    found_by: "`caCertCredentialName` of the Gateway, which must end in `-cacert`",
    why: "no proxy has a client CA",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const CLIENT_CA_FALLBACK_MISSING: Check = Check {
    id: "client-ca/fallback-missing",
    severity: Severity::Warning,
    cause: "The fail-closed Secret does not exist",
    found_by: "the Secret `<credentialName>-cacert`",
    why: "if the Gateway loses `caCertCredentialName`, anyone with a certificate from the server's CA gets in",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const CLIENT_CA_FALLBACK_CHANGED: Check = Check {
    id: "client-ca/fallback-changed",
    severity: Severity::Warning,
    cause: "The fail-closed Secret was changed",
    found_by: "the Secret `<credentialName>-cacert`",
    why: "if the Gateway loses `caCertCredentialName`, the CA in that Secret is trusted",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const CLIENT_CA_FALLBACK_TAKEN: Check = Check {
    id: "client-ca/fallback-taken",
    severity: Severity::Warning,
    cause: "Another Secret has the name of the fail-closed Secret",
    found_by: "the Secret `<credentialName>-cacert`",
    why: "if the Gateway loses `caCertCredentialName`, the CA in that Secret is trusted",
    remedy: "kubectl delete secrets -n NAMESPACE NAME && kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const CLIENT_CA_WRONG_KEYS: Check = Check {
    id: "client-ca/wrong-keys",
    severity: Severity::Error,
    cause: "The client CA is stored under a key that istiod does not read",
    found_by: "the keys of the object that the Gateway reads",
    why: "running proxies keep their CA; a restarted istiod sends them none",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &[
        "client-ca/unreadable",
        "proxy/outdated-bundle",
        "proxy/update-rejected",
        "proxy/requests-no-certificate",
        "proxy/not-checked",
    ],
};

pub(crate) const CLIENT_CA_UNREADABLE: Check = Check {
    id: "client-ca/unreadable",
    severity: Severity::Error,
    cause: "The trust bundle cannot be read",
    found_by: "the trust bundle that the Gateway reads",
    why: "running proxies keep their CA; a restarted proxy rejects every client",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &[
        "proxy/outdated-bundle",
        "proxy/requests-no-certificate",
        "proxy/update-rejected",
        "proxy/not-checked",
    ],
};

pub(crate) const CLIENT_CA_LEAF_IN_BUNDLE: Check = Check {
    id: "client-ca/leaf-in-bundle",
    severity: Severity::Error,
    cause: "The trust bundle holds a certificate that is not a CA",
    found_by: "the trust bundle that the Gateway reads",
    why: "the owner of that certificate is accepted even when revoked, and the authority cannot be used",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &["proxy/outdated-bundle", "proxy/update-rejected"],
};

pub(crate) const CLIENT_CA_PRIVATE_KEY_IN_BUNDLE: Check = Check {
    id: "client-ca/private-key-in-bundle",
    severity: Severity::Error,
    cause: "The trust bundle holds a private key",
    found_by: "the trust bundle that the Gateway reads",
    why: "anyone who can read the bundle can issue certificates that the gateway accepts, until that CA is replaced",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &["proxy/outdated-bundle", "proxy/update-rejected"],
};

pub(crate) const CLIENT_CA_EXPIRED: Check = Check {
    id: "client-ca/expired",
    severity: Severity::Error,
    cause: "A client CA has expired",
    found_by: "the trust bundle that the Gateway reads",
    why: "the gateway rejects all clients of this CA",
    remedy: "kubectl mtls ca-rotate --authority AUTHORITY",
    consequences: &["client/*", "client-ca/external"],
};

pub(crate) const CLIENT_CA_EXPIRED_IN_FRONT: Check = Check {
    id: "client-ca/expired-in-front",
    severity: Severity::Error,
    cause: "An expired client CA precedes its renewed certificate",
    found_by: "the order of the trust bundle",
    why: "Envoy uses the first CA of the same name and rejects all its clients",
    remedy: "kubectl mtls ca-rotate --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_ENDING: Check = Check {
    id: "client-ca/ending",
    severity: Severity::Warning,
    cause: "A client CA ends soon",
    found_by: "the trust bundle that the Gateway reads",
    why: "after the end of this CA the gateway rejects all its clients",
    remedy: "kubectl mtls ca-rotate --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_NOT_YET_VALID: Check = Check {
    id: "client-ca/not-yet-valid",
    severity: Severity::Error,
    cause: "A client CA is not valid yet",
    found_by: "the trust bundle that the Gateway reads",
    why: "the gateway rejects all clients of this CA until then",
    remedy: "check the clock of the computer that made the CA",
    consequences: &[],
};

pub(crate) const CLIENT_CA_SAME_SUBJECT: Check = Check {
    id: "client-ca/same-subject",
    severity: Severity::Error,
    cause: "Two client CAs have the same subject, and no key identifier tells them apart",
    found_by: "the subjects and key identifiers in the trust bundle",
    why: "Envoy tries only the first of the two CAs and rejects the clients of the other",
    remedy: "give the new CA another subject, or key identifiers",
    consequences: &[],
};

pub(crate) const CLIENT_CA_INTERMEDIATE_ALONE: Check = Check {
    id: "client-ca/intermediate-alone",
    severity: Severity::Error,
    cause: "The trust bundle holds an intermediate CA without its root",
    found_by: "the issuers of the CAs in the trust bundle, and the revocation lists",
    why: "with a revocation list Envoy needs the whole chain, and rejects all clients of this CA",
    remedy: "add the root CA and its revocation list to the bundle",
    consequences: &[],
};

pub(crate) const CLIENT_CA_SERVER_ISSUER: Check = Check {
    id: "client-ca/server-issuer",
    severity: Severity::Error,
    cause: "The issuer of the server certificate is trusted as a client CA",
    found_by: "the trust bundle, and the issuer of the server certificate",
    why: "anyone who gets a certificate from that issuer gets in",
    remedy: "kubectl mtls ca-rotate --finish --drop-external FINGERPRINT --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_PUBLIC_ROOT: Check = Check {
    id: "client-ca/public-root",
    severity: Severity::Error,
    cause: "A public CA is trusted as a client CA",
    found_by: "the names of the CAs in the trust bundle",
    why: "anyone who gets a certificate from that CA gets in",
    remedy: "kubectl mtls ca-rotate --finish --drop-external FINGERPRINT --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_EXTERNAL_ADDED: Check = Check {
    id: "client-ca/external-added",
    severity: Severity::Error,
    cause: "Somebody added a CA to the authority's trust bundle",
    found_by: "the trust bundle, compared with the CAs that the authority recorded",
    why: "clients of this CA get in, and no client can be revoked while the CA is in the bundle",
    remedy: "kubectl mtls ca-rotate --finish --drop-external FINGERPRINT --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_EXTERNAL: Check = Check {
    id: "client-ca/external",
    severity: Severity::Note,
    cause: "The gateway accepts clients of a CA that kubectl-mtls does not manage",
    found_by: "the trust bundle, compared with the CAs that the authority recorded",
    why: "anyone with a certificate of that CA gets in, and only the owner of its key can revoke a client of it",
    remedy: "kubectl mtls ca-rotate --finish --drop-external FINGERPRINT --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_DROPPED_IS_BACK: Check = Check {
    id: "client-ca/dropped-is-back",
    severity: Severity::Error,
    cause: "A CA that was removed is in the trust bundle again",
    found_by: "the trust bundle, compared with the fingerprints of removed CAs",
    why: "clients of this CA get in again",
    remedy: "kubectl mtls ca-rotate --finish --drop-external FINGERPRINT --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_NOT_THE_AUTHORITYS: Check = Check {
    id: "client-ca/not-the-authoritys",
    severity: Severity::Error,
    cause: "The Gateway's client-CA Secret does not hold what the authority recorded",
    found_by: "the Secret that the Gateway reads, compared with the authority",
    why: "clients of the authority are rejected",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --fail-closed",
    consequences: &["client-ca/crl-outdated", "client-ca/external"],
};

pub(crate) const CLIENT_CA_NO_KEY_USAGE: Check = Check {
    id: "client-ca/no-key-usage",
    severity: Severity::Warning,
    cause: "An external CA has no key usage, as in Kyma's tutorial",
    found_by: "the trust bundle that the Gateway reads",
    why: "certificates signed as in the tutorial have no extended key usage and all have the serial number 0, so that none of them can be revoked alone",
    remedy: "kubectl mtls ca-rotate --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_GIVEN_REMAINS: Check = Check {
    id: "client-ca/given-remains",
    severity: Severity::Warning,
    cause: "A CA whose key was imported has clients that are not in the inventory",
    found_by: "the origin of each CA in the trust bundle",
    why: "these clients may lack a URI SAN, and are accepted until this CA is removed from the trust bundle",
    remedy: "kubectl mtls ca-rotate --finish --drop-external FINGERPRINT --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_CA_NOT_CHECKED: Check = Check {
    id: "client-ca/not-checked",
    severity: Severity::Unknown,
    cause: "The object with the client CA could not be read",
    found_by: "the object that the Gateway names",
    why: "which clients get in is not known",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &CLIENT_CA_MISSING,
    &CLIENT_CA_NOT_SEEN,
    &CLIENT_CA_FAILS_OPEN,
    &CLIENT_CA_MAY_FAIL_OPEN,
    &CLIENT_CA_SHADOWED,
    &CLIENT_CA_NAME_IGNORED,
    &CLIENT_CA_FALLBACK_MISSING,
    &CLIENT_CA_FALLBACK_CHANGED,
    &CLIENT_CA_FALLBACK_TAKEN,
    &CLIENT_CA_WRONG_KEYS,
    &CLIENT_CA_UNREADABLE,
    &CLIENT_CA_LEAF_IN_BUNDLE,
    &CLIENT_CA_PRIVATE_KEY_IN_BUNDLE,
    &CLIENT_CA_EXPIRED,
    &CLIENT_CA_EXPIRED_IN_FRONT,
    &CLIENT_CA_ENDING,
    &CLIENT_CA_NOT_YET_VALID,
    &CLIENT_CA_SAME_SUBJECT,
    &CLIENT_CA_INTERMEDIATE_ALONE,
    &CLIENT_CA_SERVER_ISSUER,
    &CLIENT_CA_PUBLIC_ROOT,
    &CLIENT_CA_EXTERNAL_ADDED,
    &CLIENT_CA_EXTERNAL,
    &CLIENT_CA_DROPPED_IS_BACK,
    &CLIENT_CA_NOT_THE_AUTHORITYS,
    &CLIENT_CA_NO_KEY_USAGE,
    &CLIENT_CA_GIVEN_REMAINS,
    &CLIENT_CA_NOT_CHECKED,
];
