//! Certificates that the user did not name and that are rejected nevertheless: a revocation list holds serial numbers, and a CA that people
//! signed with by hand may have given one number to many clients.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::Stand;
use super::targets::{Target, sharing};
use crate::error::Failure;
use crate::resources::inventory::Entry;

/// The live certificates of the inventory that gateways reject together with the named ones, each once.
pub(super) fn find(
    named: &[Target],
    stands: &[Stand<'_>],
    entries: &[Entry],
    now: OffsetDateTime,
) -> Result<Vec<Target>, Failure> {
    let mut known: BTreeSet<_> = named.iter().map(Target::identity).collect();
    let mut found = Vec::new();
    for (target, stand) in named.iter().zip(stands) {
        if matches!(stand, Stand::Open | Stand::Listed(_)) {
            found.extend(sharing(target, entries, now)?);
        }
    }
    found.retain(|target| known.insert(target.identity()));
    Ok(found)
}

/// The other clients that would be rejected, one line each, if a named certificate is not revoked
/// yet.
pub(super) fn refused_too(
    named: &[Target],
    stands: &[Stand<'_>],
    shared: &[Target],
) -> Vec<String> {
    let open = named
        .iter()
        .zip(stands)
        .filter(|(_, stand)| matches!(stand, Stand::Open));
    let mut lines = Vec::new();
    let mut serials = BTreeSet::new();
    for (target, _) in open {
        let key = (&target.issuer, &target.serial);
        if !serials.insert(key) {
            continue;
        }
        let others = shared
            .iter()
            .filter(|other| (&other.issuer, &other.serial) == key);
        lines.extend(others.map(|other| {
            format!(
                "`{}`, valid until {}: its certificate has the serial number {} too",
                other.name,
                other.not_after.date(),
                other.serial
            )
        }));
        if is_zero(target) {
            lines.push(
                "every other client whose certificate has the serial number 0, like all certificates signed as in Kyma's tutorial; the inventory does not hold them"
                    .to_owned(),
            );
        }
    }
    lines
}

/// Whether the serial number is 0, which people give by hand.
pub(super) fn is_zero(target: &Target) -> bool {
    target.serial.as_bytes().iter().all(|byte| *byte == 0)
}
