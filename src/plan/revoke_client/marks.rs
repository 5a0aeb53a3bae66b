//! The inventory: entries of revoked certificates are marked, with the time and the reason of the
//! CRL.

use time::OffsetDateTime;

use super::targets::Target;
use super::{Case, Stand};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::pki::names::{ClientName, default_uri};
use crate::plan::{Effect, Observed, Query, Reconciled, Seen, Write, audit};
use crate::resources::audit::Transition;
use crate::resources::inventory::{Entry, EntryState, Revocation, reference};
use crate::resources::names::{CLIENTS_NAMESPACE, FIELD_MANAGER, MANAGED_BY};
use crate::resources::{Object, ObjectRef};

/// How many hexadecimal digits of the serial number name a client whose certificate has no usable name.
const SERIAL_DIGITS: usize = 16;

/// Sets the state `revoked` on the entries of revoked certificates, and creates missing entries. Returns notes on entries that could not be
/// marked: their certificates are revoked nevertheless.
pub(super) fn make(
    case: &Case<'_>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Vec<String>> {
    let wanted: Vec<(ObjectRef, Revocation)> = case
        .each()
        .filter_map(|(target, stand)| {
            let entry = target.entry.as_ref()?;
            let revocation = match stand {
                Stand::Listed(revoked) => Revocation {
                    at: revoked.at,
                    reason: revoked.reason,
                },
                Stand::Dropped => Revocation {
                    at: now,
                    reason: case.request.reason,
                },
                Stand::Open | Stand::Expired => return None,
            };
            let is_marked = entry.state == EntryState::Revoked;
            (!is_marked).then_some((entry.reference()?, revocation))
        })
        .collect();
    observed.prefetch(wanted.iter().map(|(name, _)| Query::Get(name.clone())))?;
    let mut unmarked = Vec::new();
    let told = |name: &ObjectRef, error: &dyn std::fmt::Display| {
        format!("{name} could not be marked as revoked: {error}; the certificate itself is revoked")
    };
    for (name, revocation) in wanted {
        let Some(live) = observed.get(&name)? else {
            // Somebody took it away; the CRL is what counts.
            continue;
        };
        let entry = match Entry::read(live) {
            Ok(entry) => entry,
            Err(error) => {
                unmarked.push(told(&name, &error));
                continue;
            }
        };
        if entry.state != EntryState::Revoked {
            let marked = Entry {
                state: EntryState::Revoked,
                revocation: Some(revocation),
                revoked_by: who(observed),
                ..entry
            };
            match marked.restated(live) {
                Ok(object) => return Err(Effect::Write(Write::Replace(object)).into()),
                Err(error) => unmarked.push(told(&name, &error)),
            }
            continue;
        }
        if observed.change_of(&name).is_some() {
            let what = format!("revoked {}: {}", entry.name, revocation.reason);
            let ids = vec![entry.serial];
            let told = audit::entry(Transition::Revoked, what, ids, observed, now)?;
            audit::leave(told.event(live, "revoked"), observed)?;
        }
    }
    for (target, stand) in case.each() {
        if let (Some(certificate), Stand::Listed(revoked)) = (&target.unlisted, stand) {
            let revocation = Revocation {
                at: revoked.at,
                reason: revoked.reason,
            };
            enter(case, (target, certificate), revocation, observed, now)?;
        }
    }
    Ok(unmarked)
}

fn who(observed: &Observed) -> Option<String> {
    observed.who().map(str::to_owned)
}

/// Creates the entry of a revoked certificate that the inventory lacks, so that time and user of the revocation are recorded.
fn enter(
    case: &Case<'_>,
    (target, certificate): (&Target, &Certificate),
    revocation: Revocation,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    let authority = &case.found.state.authority;
    let name = name(certificate, authority)?;
    if let Some(made) = made(target, &name, authority, observed) {
        let what = format!("revoked {name}: {}", revocation.reason);
        let ids = vec![target.serial.to_string()];
        let told = audit::entry(Transition::Revoked, what, ids, observed, now)?;
        return audit::leave(told.event(made, "revoked"), observed);
    }
    let namespace = ObjectRef::namespace(CLIENTS_NAMESPACE);
    if matches!(observed.try_get(&namespace)?, Seen::Missing) {
        let object = Object::new(namespace).with_label(MANAGED_BY, FIELD_MANAGER);
        return Err(Effect::Write(Write::Create(object)).into());
    }
    let is_free = |number: &u32| {
        let own = reference(authority, &name, *number);
        let is_listed = case.objects.iter().any(|known| *known.reference() == own);
        !is_listed && observed.change_of(&own).is_none()
    };
    let same = case
        .entries
        .iter()
        .filter(|entry| entry.name == name.as_str());
    // Numbers of entries that were pruned stay taken.
    let first = same
        .map(|entry| entry.pruned_to)
        .max()
        .map_or(1, |to| to + 1);
    let number = (first..=u32::MAX).find(is_free).unwrap_or(u32::MAX);
    let entry = Entry {
        // A certificate made by hand may not say which CA signed it.
        issuer_ski: target.issuer.clone(),
        revocation: Some(revocation),
        revoked_by: who(observed),
        ..Entry::new(authority, &name, number, EntryState::Revoked, certificate)
    };
    Err(Effect::Write(Write::Create(entry.object(&name))).into())
}

/// The entry that this run made for the certificate.
fn made<'a>(
    target: &Target,
    name: &ClientName,
    authority: &str,
    observed: &'a Observed,
) -> Option<&'a Object> {
    let first = reference(authority, name, 1);
    let stem = first.name.trim_end_matches('1');
    let changes = observed.changes().iter().map(|change| &change.answer);
    changes
        .filter(|object| object.namespace() == CLIENTS_NAMESPACE && object.name().starts_with(stem))
        .find(|object| {
            Entry::read(object).is_ok_and(|entry| {
                let pem = target.unlisted.as_ref().map(Certificate::pem);
                entry.certificate == pem
            })
        })
}

/// The client's name, from its URI SAN or its common name, else its serial number.
fn name(certificate: &Certificate, authority: &str) -> Result<ClientName, Failure> {
    let subject = certificate.subject();
    let common = subject
        .split([',', '+'])
        .find_map(|part| part.strip_prefix("CN="))
        .filter(|_| !subject.contains('\\'))
        .and_then(|name| name.parse::<ClientName>().ok());
    let prefix = format!("spiffe://{authority}-clients/");
    let of_uri = certificate.uri_sans().iter().find_map(|uri| {
        let name: ClientName = uri.strip_prefix(&prefix)?.parse().ok()?;
        (default_uri(authority, &name) == *uri).then_some(name)
    });
    let digits: String = certificate
        .serial_hex()
        .chars()
        .take(SERIAL_DIGITS)
        .collect();
    match of_uri.or(common) {
        Some(name) => Ok(name),
        None => format!("serial-{digits}")
            .parse()
            .map_err(|error: crate::pki::names::Error| Failure::failed(error.to_string())),
    }
}
