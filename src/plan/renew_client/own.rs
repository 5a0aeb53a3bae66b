//! Whether a certificate belongs to an inventory entry.

use crate::pki::inspect::Certificate;
use crate::resources::Object;
use crate::resources::inventory::{Entry, serial_label};

/// What differs between a certificate and its entry, including the labels of the entry's object.
pub(super) fn difference(
    entry: &Entry,
    object: Option<&Object>,
    certificate: &Certificate,
) -> Option<&'static str> {
    let serial = certificate.serial_hex();
    let issuer = certificate.aki_hex().unwrap_or_default();
    let uri = certificate.uri_sans().first().map_or("", String::as_str);
    let label = object.and_then(serial_label);
    let differences = [
        (entry.serial != serial, "the serial number"),
        (
            label.is_some_and(|label| label != serial),
            "the serial number",
        ),
        (entry.issuer_ski != issuer, "its CA"),
        (entry.not_before != certificate.not_before(), "its lifetime"),
        (entry.not_after != certificate.not_after(), "its lifetime"),
        (entry.uri != uri, "its URI"),
    ];
    let mut differences = differences.into_iter().filter(|(differs, _)| *differs);
    differences.next().map(|(_, what)| what)
}
