//! How a test makes DNS management behave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::zone;
use crate::stand_in::resources::ObjectKey;

/// Orders to the DNS stand-in; clones share them, and they take effect at the next look at a provider.
#[derive(Clone, Debug, Default)]
pub struct DnsControls(Arc<Mutex<HashMap<ObjectKey, Vec<String>>>>);

impl DnsControls {
    /// Says which hosted zones the account of a `DNSProvider` has. Without that it has the domains that the provider includes,
    /// whatever they are.
    pub fn hosted_zones(&self, provider: ObjectKey, zones: &[&str]) {
        let zones = zones.iter().map(|zone| zone::normalize(zone)).collect();
        let mut orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        orders.insert(provider, zones);
    }

    /// The zones of the account of a provider that includes these domains.
    pub(super) fn zones_of(&self, provider: &ObjectKey, included: &[String]) -> Vec<String> {
        let orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let zones = orders.get(provider).cloned();
        zones.unwrap_or_else(|| included.iter().map(|zone| zone::normalize(zone)).collect())
    }
}
