//! The clients: who has a certificate that opens the gateway, and for how long.

use time::{Duration, OffsetDateTime};

use super::hosts::Host;
use super::{Link, Mark, inventory, states};
use crate::plan::World;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::Entry;

const SOON: Duration = Duration::days(14);
const NAMES_SHOWN: usize = 5;

pub(super) fn examine(host: &Host, world: &World, now: OffsetDateTime) -> Link {
    let Some(authority) = authority(host, world) else {
        return Link::new("clients", "not known: their CA is not of this plugin");
    };
    let listed = world.list(&inventory());
    let Some(objects) = listed.found().copied() else {
        return Link::new("clients", "not read").with(
            Mark::Unknown,
            format!(
                "the inventory could not be read: {}",
                listed.unknown().unwrap_or_default()
            ),
            "`kubectl mtls rbac status` prints the Role that allows it",
        );
    };
    let (readable, damaged): (Vec<_>, Vec<_>) =
        objects.iter().map(Entry::read).partition(Result::is_ok);
    let entries = readable
        .into_iter()
        .flatten()
        .filter(|entry| entry.authority == authority);
    let live: Vec<Entry> = entries.filter(|entry| entry.is_live(now)).collect();
    let mut link = Link::new("clients", says(&live));
    let ending: Vec<&Entry> = live
        .iter()
        .filter(|entry| entry.not_after - now < SOON)
        .collect();
    if !ending.is_empty() {
        let names: Vec<&str> = ending
            .iter()
            .take(NAMES_SHOWN)
            .map(|entry| entry.name.as_str())
            .collect();
        let more = ending.len().saturating_sub(NAMES_SHOWN);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        link.find(
            Mark::Warning,
            format!(
                "certificates that end within {} days: {}{more}",
                SOON.whole_days(),
                names.join(", ")
            ),
            "issue new ones with `kubectl mtls issue-client NAME --another`",
        );
    }
    for error in damaged.into_iter().filter_map(Result::err) {
        link.find(
            Mark::Warning,
            error.to_string(),
            "restore it; it may stand for a live certificate",
        );
    }
    link
}

fn says(live: &[Entry]) -> String {
    let Some(first) = live.iter().map(|entry| entry.not_after).min() else {
        return "none has a certificate; `kubectl mtls issue-client NAME` issues one".to_owned();
    };
    let count = live.len();
    let plural = if count == 1 {
        "certificate"
    } else {
        "certificates"
    };
    format!("{count} live {plural}, the first ends on {}", first.date())
}

fn authority(host: &Host, world: &World) -> Option<String> {
    let secret = host.server.client_ca_secret();
    let listed = world.list(&states());
    let mut states = listed
        .found()
        .copied()?
        .iter()
        .filter_map(|object| AuthorityState::read(object).ok());
    states
        .find(|state| state.client_ca_secret.as_deref() == Some(&secret))
        .map(|state| state.authority)
}
