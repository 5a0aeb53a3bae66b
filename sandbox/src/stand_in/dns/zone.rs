//! The names that the DNS server knows, and how a question is answered from them (RFC 1034 section 4.3.2, RFC 4592).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::stand_in::resources::ObjectKey;

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Address(IpAddr),
    Host(String),
    Text(String),
}

/// What one DNSEntry publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordSet {
    /// Lower case, no dot at the end; may begin with `*.`.
    pub name: String,
    pub ttl: u32,
    pub targets: Vec<Target>,
}

/// The answer to a question, before the record type is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Records(&'a RecordSet),
    /// The name exists only because something exists below it; a wildcard does not reach it.
    Empty,
    Nothing,
}

/// All record sets; `None` is the owner of those that no DNSEntry made.
#[derive(Clone, Debug, Default)]
pub(super) struct Zone {
    sets: BTreeMap<Option<ObjectKey>, RecordSet>,
}

impl Zone {
    /// A zone with one record set of its own.
    pub(super) fn new(own: RecordSet) -> Self {
        Self {
            sets: BTreeMap::from([(None, own)]),
        }
    }

    /// Publishes what an entry holds, in place of what it held.
    pub(super) fn publish(&mut self, owner: ObjectKey, set: RecordSet) {
        self.sets.insert(Some(owner), set);
    }

    /// Takes back what an entry held.
    pub(super) fn withdraw(&mut self, owner: &ObjectKey) {
        self.sets.remove(&Some(owner.clone()));
    }

    /// Looks a name up, in any case, with or without the dot at the end.
    pub(super) fn find(&self, name: &str) -> Found<'_> {
        let name = normalize(name);
        if let Some(set) = self.exact(&name) {
            return Found::Records(set);
        }
        let existing: BTreeSet<&str> = self
            .sets
            .values()
            .flat_map(|set| ancestors(&set.name))
            .collect();
        if existing.contains(name.as_str()) {
            return Found::Empty;
        }
        // Only a wildcard directly below the closest name that exists matches.
        let encloser = ancestors(&name).find(|ancestor| existing.contains(ancestor));
        encloser
            .and_then(|encloser| self.exact(&format!("*.{encloser}")))
            .map_or(Found::Nothing, Found::Records)
    }

    fn exact(&self, name: &str) -> Option<&RecordSet> {
        // An entry beats what stands there by default.
        self.sets
            .iter()
            .rev()
            .map(|(_, set)| set)
            .find(|set| set.name == name)
    }
}

/// Lower case, without the dot at the end.
pub(super) fn normalize(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// Whether a name is a domain, or below it.
pub(super) fn is_within(name: &str, domain: &str) -> bool {
    name == domain
        || name
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'))
}

/// The name itself, then what remains when labels are taken from the left.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| {
        name.split_once('.').map(|(_, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, address: [u8; 4]) -> RecordSet {
        RecordSet {
            name: name.into(),
            ttl: 600,
            targets: vec![Target::Address(address.into())],
        }
    }

    fn address(found: &Found<'_>) -> Option<Target> {
        match found {
            Found::Records(set) => set.targets.first().cloned(),
            Found::Empty | Found::Nothing => None,
        }
    }

    fn zone() -> Zone {
        Zone::new(set("*.example.com", [127, 0, 0, 1]))
    }

    #[test]
    fn the_default_wildcard_covers_every_depth_but_not_the_domain_itself() {
        for name in ["orders.example.com", "Orders.MTLS.Example.com."] {
            assert_eq!(
                address(&zone().find(name)),
                Some(Target::Address([127, 0, 0, 1].into()))
            );
        }
        assert_eq!(zone().find("example.com"), Found::Empty);
        assert_eq!(zone().find("example.org"), Found::Nothing);
    }

    #[test]
    fn a_name_below_hides_its_branch_from_the_wildcard() {
        let mut zone = zone();
        let challenge = ObjectKey::new("kube-system", "challenge");
        zone.publish(
            challenge.clone(),
            set("_acme-challenge.mtls.example.com", [127, 0, 0, 9]),
        );
        assert_eq!(zone.find("mtls.example.com"), Found::Empty);
        assert_eq!(zone.find("orders.mtls.example.com"), Found::Nothing);
        assert!(address(&zone.find("orders.example.com")).is_some());
        zone.publish(
            ObjectKey::new("shop", "dns-entry"),
            set("*.mtls.example.com", [127, 0, 0, 2]),
        );
        assert_eq!(
            address(&zone.find("orders.mtls.example.com")),
            Some(Target::Address([127, 0, 0, 2].into()))
        );
        zone.withdraw(&challenge);
        zone.withdraw(&ObjectKey::new("shop", "dns-entry"));
        assert_eq!(
            address(&zone.find("orders.mtls.example.com")),
            Some(Target::Address([127, 0, 0, 1].into()))
        );
    }
}
