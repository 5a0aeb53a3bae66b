//! Checks of the authority: its state, its keys, its rotation, its inventory and its clients.

use super::{Check, Severity};

pub(crate) const AUTHORITY_LOST: Check = Check {
    id: "authority/lost",
    severity: Severity::Error,
    cause: "The authority does not exist any more",
    found_by: "the authorities, their witnesses, and what the Gateways read",
    why: "running proxies keep their CA, a restarted proxy rejects every client, and nothing can be issued or revoked",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &["client-ca/*", "client/*", "authority/*", "revocation/*"],
};

pub(crate) const AUTHORITY_DAMAGED: Check = Check {
    id: "authority/damaged",
    severity: Severity::Error,
    cause: "The authority's state cannot be read",
    found_by: "the authority's ConfigMap",
    why: "nothing can be issued or revoked, and which clients get in is not known",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &["client-ca/*", "client/*", "revocation/*"],
};

pub(crate) const AUTHORITY_ROLLED_BACK: Check = Check {
    id: "authority/rolled-back",
    severity: Severity::Error,
    cause: "An older copy of the authority was restored",
    found_by: "the authority's revision, and its witness",
    why: "revoked clients and removed CAs may be accepted again, and new ones rejected",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &["client-ca/*", "client/*", "revocation/*"],
};

pub(crate) const AUTHORITY_LISTS_EDITED: Check = Check {
    id: "authority/lists-edited",
    severity: Severity::Error,
    cause: "Somebody changed or removed the authority's revocation lists",
    found_by: "the revocation lists, and their checksums",
    why: "revoked clients may be accepted again",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &[
        "client-ca/crl-ending",
        "client-ca/crl-outdated",
        "revocation/*",
    ],
};

pub(crate) const AUTHORITY_BEING_DELETED: Check = Check {
    id: "authority/being-deleted",
    severity: Severity::Error,
    cause: "Somebody deleted the authority, and only its finalizer still keeps the object",
    found_by: "the deletion time of the authority",
    why: "the authority is lost when the finalizer is removed: a proxy that starts then rejects every client",
    remedy: "kubectl mtls ca-rotate --restore --accept-loss --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const AUTHORITY_IMMUTABLE: Check = Check {
    id: "authority/immutable",
    severity: Severity::Warning,
    cause: "Somebody made the authority immutable",
    found_by: "`immutable` of the authority's ConfigMap",
    why: "no client can be revoked and no CA replaced, until the ConfigMap is created again",
    remedy: "kubectl replace --force -f FILE",
    consequences: &[],
};

pub(crate) const AUTHORITY_NOT_KEPT: Check = Check {
    id: "authority/not-kept",
    severity: Severity::Warning,
    cause: "The authority has lost its finalizer",
    found_by: "the finalizers of the authority's ConfigMap",
    why: "if somebody deletes the authority while a Gateway reads it, a proxy that starts then rejects every client",
    remedy: "kubectl patch configmaps -n kubectl-mtls AUTHORITY --type=merge -p PATCH",
    consequences: &[],
};

pub(crate) const AUTHORITY_OTHER_BUNDLE: Check = Check {
    id: "authority/other-bundle",
    severity: Severity::Error,
    cause: "Somebody added a trust bundle to the authority under the key `cacert`",
    found_by: "the keys of the authority's ConfigMap",
    why: "istiod reads `cacert` and `crl` instead of `ca.crt` and `ca.crl`: clients of another CA get in, and no revocation has an effect",
    remedy: "kubectl patch configmaps -n kubectl-mtls AUTHORITY --type=merge -p PATCH",
    consequences: &[
        "client-ca/*",
        "revocation/*",
        "client/removed-ca",
        "proxy/*",
    ],
};

pub(crate) const AUTHORITY_NEARLY_FULL: Check = Check {
    id: "authority/nearly-full",
    severity: Severity::Warning,
    cause: "The authority takes most of what a ConfigMap can hold",
    found_by: "the size of the authority's ConfigMap",
    why: "once the ConfigMap is full, nobody can be revoked",
    remedy: "kubectl mtls ca-rotate --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const AUTHORITY_KEYS_MISSING: Check = Check {
    id: "authority/keys-missing",
    severity: Severity::Error,
    cause: "The key of the issuing CA does not exist",
    found_by: "the metadata of the Secret with the authority's keys, where the user may read that Secret",
    why: "nothing can be issued, renewed or revoked",
    remedy: "restore the Secret from a backup; without a backup, run kubectl mtls ca-rotate --authority AUTHORITY, then kubectl mtls ca-rotate --finish --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const AUTHORITY_ROTATION_UNFINISHED: Check = Check {
    id: "authority/rotation-unfinished",
    severity: Severity::Warning,
    cause: "A rotation was begun long ago and is not finished",
    found_by: "the authority's phase and history",
    why: "more CAs than one are trusted, and clients of the old one are still accepted",
    remedy: "kubectl mtls ca-rotate --finish --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const AUTHORITY_CA_SHORTER_THAN_CLIENTS: Check = Check {
    id: "authority/ca-shorter-than-clients",
    severity: Severity::Warning,
    cause: "The issuing CA ends before a certificate that is issued now",
    found_by: "the end of the issuing CA, and the usual lifetime of client certificates",
    why: "new certificates end with the CA, earlier than requested",
    remedy: "kubectl mtls ca-rotate --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const AUTHORITY_NOT_CHECKED: Check = Check {
    id: "authority/not-checked",
    severity: Severity::Unknown,
    cause: "The authorities could not be listed",
    found_by: "the authorities",
    why: "which CAs are trusted and which clients exist is not known",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

pub(crate) const INVENTORY_LOST: Check = Check {
    id: "inventory/lost",
    severity: Severity::Error,
    cause: "The inventory does not exist any more",
    found_by: "the witness beside the inventory",
    why: "which clients have certificates is not known, so revoking by name and finishing a rotation are not reliable",
    remedy: "kubectl mtls ca-rotate --accept-inventory --authority AUTHORITY",
    consequences: &["client/*"],
};

pub(crate) const INVENTORY_REPLACED: Check = Check {
    id: "inventory/replaced",
    severity: Severity::Error,
    cause: "The authority's inventory was replaced by another one",
    found_by: "the id of the inventory, in the authority and in the witness",
    why: "which clients have certificates is not known, so revoking by name and finishing a rotation are not reliable",
    remedy: "kubectl mtls ca-rotate --accept-inventory --authority AUTHORITY",
    consequences: &["client/*"],
};

pub(crate) const INVENTORY_ROLLED_BACK: Check = Check {
    id: "inventory/rolled-back",
    severity: Severity::Error,
    cause: "An older copy of the inventory was restored",
    found_by: "the revision and the uid in the witness",
    why: "which clients have certificates is not known, so revoking by name and finishing a rotation are not reliable",
    remedy: "kubectl mtls ca-rotate --accept-inventory --authority AUTHORITY",
    consequences: &["client/*"],
};

pub(crate) const INVENTORY_DAMAGED: Check = Check {
    id: "inventory/damaged",
    severity: Severity::Warning,
    cause: "An entry of the inventory cannot be read",
    found_by: "the inventory",
    why: "the entry may belong to a certificate that is still accepted",
    remedy: "kubectl edit configmaps -n kubectl-mtls-clients NAME",
    consequences: &[],
};

pub(crate) const INVENTORY_NOT_CHECKED: Check = Check {
    id: "inventory/not-checked",
    severity: Severity::Unknown,
    cause: "The inventory could not be listed",
    found_by: "the inventory",
    why: "which clients have certificates is not known",
    remedy: "kubectl mtls rbac status",
    consequences: &[],
};

pub(crate) const CLIENT_ENDING: Check = Check {
    id: "client/ending",
    severity: Severity::Warning,
    cause: "A client's last certificate ends soon",
    found_by: "the inventory",
    why: "after the end of the certificate the gateway rejects the client",
    remedy: "kubectl mtls renew-client NAME --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_EXPIRED: Check = Check {
    id: "client/expired",
    severity: Severity::Warning,
    cause: "A client's last certificate has expired",
    found_by: "the inventory",
    why: "the gateway rejects the client",
    remedy: "kubectl mtls renew-client NAME --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_REMOVED_CA: Check = Check {
    id: "client/removed-ca",
    severity: Severity::Error,
    cause: "A client's certificate is of a CA that the gateway does not accept any more",
    found_by: "the inventory, and the trust bundle",
    why: "the gateway rejects the client",
    remedy: "kubectl mtls issue-client --another NAME --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLIENT_NEVER_DELIVERED: Check = Check {
    id: "client/never-delivered",
    severity: Severity::Warning,
    cause: "A certificate was reserved and never delivered",
    found_by: "the inventory",
    why: "if somebody has the certificate after all, the gateway accepts it",
    remedy: "kubectl mtls revoke-client --serial SERIAL --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const REVOCATION_NOT_RECORDED: Check = Check {
    id: "revocation/not-recorded",
    severity: Severity::Warning,
    cause: "A client on a revocation list is valid in the inventory",
    found_by: "the inventory, and the revocation lists",
    why: "the gateway rejects the client, and lists of clients say that it is valid",
    remedy: "kubectl mtls revoke-client NAME --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const REVOCATION_NOT_LISTED: Check = Check {
    id: "revocation/not-listed",
    severity: Severity::Error,
    cause: "A certificate that the inventory calls revoked is on no revocation list",
    found_by: "the inventory, and the revocation lists",
    why: "the gateway accepts the certificate again: somebody edited the list, or restored an older one",
    remedy: "kubectl mtls revoke-client --serial SERIAL --authority AUTHORITY",
    consequences: &[],
};

pub(crate) const CLOCK_SKEW: Check = Check {
    id: "clock/skew",
    severity: Severity::Warning,
    cause: "The clock of this computer differs from the cluster's",
    found_by: "the `Date` of the API server's answers",
    why: "the cluster's clock decides what has expired; certificates that this computer makes may not be valid yet",
    remedy: "correct the clock of this computer, or that of the API server",
    consequences: &[],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &AUTHORITY_LOST,
    &AUTHORITY_DAMAGED,
    &AUTHORITY_ROLLED_BACK,
    &AUTHORITY_LISTS_EDITED,
    &AUTHORITY_BEING_DELETED,
    &AUTHORITY_IMMUTABLE,
    &AUTHORITY_NOT_KEPT,
    &AUTHORITY_OTHER_BUNDLE,
    &AUTHORITY_NEARLY_FULL,
    &AUTHORITY_KEYS_MISSING,
    &AUTHORITY_ROTATION_UNFINISHED,
    &AUTHORITY_CA_SHORTER_THAN_CLIENTS,
    &AUTHORITY_NOT_CHECKED,
    &INVENTORY_LOST,
    &INVENTORY_REPLACED,
    &INVENTORY_ROLLED_BACK,
    &INVENTORY_DAMAGED,
    &INVENTORY_NOT_CHECKED,
    &CLIENT_ENDING,
    &CLIENT_EXPIRED,
    &CLIENT_REMOVED_CA,
    &CLIENT_NEVER_DELIVERED,
    &REVOCATION_NOT_LISTED,
    &REVOCATION_NOT_RECORDED,
    &CLOCK_SKEW,
];
