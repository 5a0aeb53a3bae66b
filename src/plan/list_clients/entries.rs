//! The entries of an inventory.

use crate::pki::names::ClientName;
use crate::resources::Object;
use crate::resources::Unreadable;
use crate::resources::inventory::Entry;

/// Entries of an inventory, and the errors of those that cannot be read.
pub fn entries(objects: &[Object]) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
    for object in objects {
        match entry(object) {
            Ok(entry) => entries.push(entry),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    (entries, unreadable)
}

/// As [`entries`], but an entry with a damaged serial number counts as unreadable: a revocation needs the serial number.
pub(in crate::plan) fn with_serials(objects: &[Object]) -> (Vec<Entry>, Vec<Unreadable>) {
    let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
    for object in objects {
        match entry(object).and_then(|entry| entry.with_serial(object)) {
            Ok(entry) => entries.push(entry),
            Err(error) => unreadable.push(error),
        }
    }
    (entries, unreadable)
}

/// One entry.
pub(in crate::plan) fn entry(object: &Object) -> Result<Entry, Unreadable> {
    Entry::read(object).and_then(|entry| checked(entry, object))
}

/// Refuses an entry whose annotations hold an invalid client name, or text that would control a terminal.
fn checked(entry: Entry, object: &Object) -> Result<Entry, Unreadable> {
    let name: Result<ClientName, _> = entry.name.parse();
    if let Err(error) = name {
        return Err(object.unreadable(error.to_string()));
    }
    let revoked_by = entry.revoked_by.as_deref().unwrap_or_default();
    let issued_by = entry.issued_by.as_deref().unwrap_or_default();
    let texts = [
        &entry.serial,
        &entry.issuer_ski,
        &entry.uri,
        revoked_by,
        issued_by,
    ];
    let further = entry.further_uris.iter().map(String::as_str);
    if texts
        .into_iter()
        .chain(further)
        .any(|text| text.chars().any(char::is_control))
    {
        return Err(object.unreadable("the annotations of the entry hold control characters"));
    }
    Ok(entry)
}
