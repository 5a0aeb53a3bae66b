//! Expiry dates: server certificates, CAs, revocation lists, and client certificates by week.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use super::entries::Entries;
use super::report::{End, Report, Timeline, Week};

/// A week of the histogram.
const WEEK: Duration = Duration::weeks(1);

/// The timeline of a report.
pub(super) fn of(report: &Report, inventory: Entries<'_>, now: OffsetDateTime) -> Timeline {
    let servers = report.hosts.iter().flat_map(|host| {
        let shown = host.server_certificates.iter();
        shown.map(|shown| End {
            at: shown.not_after,
            kind: "server certificate",
            name: host.host.clone(),
        })
    });
    let of_authorities = report.authorities.iter();
    let of_authorities =
        of_authorities.flat_map(|authority| authority.cas.iter().map(|ca| &ca.trusted));
    // A Gateway may read what somebody else manages.
    let of_hosts = report.hosts.iter().flat_map(|host| &host.client_cas);
    let of_cas = of_authorities.chain(of_hosts).flat_map(|ca| {
        let crl = ca.crl.as_ref().and_then(|crl| crl.next_update);
        let list = crl.map(|at| End {
            at,
            kind: "revocation list",
            name: format!("of CA {}", ca.id),
        });
        let ca = End {
            at: ca.not_after,
            kind: "client CA",
            name: ca.id.clone(),
        };
        std::iter::once(ca).chain(list)
    });
    let mut ends: Vec<End> = servers.chain(of_cas).collect();
    ends.sort();
    ends.dedup();
    let mut weeks: BTreeMap<i64, usize> = BTreeMap::new();
    for authority in &report.authorities {
        let entries = inventory.of(&authority.name).iter();
        for entry in entries.filter(|entry| entry.is_live(now)) {
            let week = (entry.not_after - now).whole_weeks();
            *weeks.entry(week).or_default() += 1;
        }
    }
    let from = |number: i64| {
        let after = WEEK.checked_mul(number.try_into().ok()?)?;
        now.checked_add(after)
    };
    let week = |(number, count): (i64, usize)| {
        let from = from(number)?;
        Some(Week { from, count })
    };
    Timeline {
        now,
        ends,
        clients: weeks.into_iter().filter_map(week).collect(),
    }
}
