//! The clients of an inventory by what others know them by.

use std::collections::HashMap;

use crate::pki::names::{ClientName, comparable};
use crate::resources::Object;
use crate::resources::inventory::identities;

/// The clients of an inventory.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// The names of the clients with a URI.
    of_uri: HashMap<String, Vec<String>>,
    /// The names that are the same to a verifier.
    of_name: HashMap<String, Vec<String>>,
}

fn add(names: &mut HashMap<String, Vec<String>>, key: String, name: &str) {
    let names = names.entry(key).or_default();
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

impl Owners {
    pub fn of(entries: &[Object]) -> Self {
        let mut owners = Self::default();
        for (name, uris) in entries.iter().filter_map(identities) {
            add(&mut owners.of_name, comparable(name), name);
            for uri in uris {
                add(&mut owners.of_uri, uri.to_owned(), name);
            }
        }
        owners
    }

    /// Another client with this URI, unless this client has it as well.
    pub fn with_uri(&self, uri: &str, name: &ClientName) -> Option<&str> {
        let names = self.of_uri.get(uri)?;
        let is_own = names.iter().any(|known| known == name.as_str());
        names.first().filter(|_| !is_own).map(String::as_str)
    }

    /// Another client whose name this common name is to a verifier.
    pub fn named(&self, common_name: &str, name: &ClientName) -> Option<&str> {
        let mut names = self.of_name.get(&comparable(common_name))?.iter();
        names
            .find(|known| *known != name.as_str())
            .map(String::as_str)
    }
}
