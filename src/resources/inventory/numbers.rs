//! The numbers of the certificates of one name.

use super::{Object, PRUNED_ANNOTATION, RENEWS_ANNOTATION, Unreadable};

/// The largest number of a certificate. No name has that many; an object with a larger number was not written by this plugin.
pub const LARGEST_NUMBER: u32 = 1_000_000_000;

/// A number of a certificate; `None` for a text that is none.
fn read(text: &str) -> Option<u32> {
    let number = text.parse().ok()?;
    (1..=LARGEST_NUMBER).contains(&number).then_some(number)
}

/// The number of an entry, at the end of its object's name.
pub(super) fn of_entry(object: &Object) -> Result<u32, Unreadable> {
    let end = object.name().rsplit('-').next();
    end.and_then(read).ok_or_else(|| {
        object.unreadable(format!(
            "the name of the entry does not end in a number from 1 to {LARGEST_NUMBER}"
        ))
    })
}

/// The number of the certificate that this one renews.
pub(super) fn renewed(object: &Object) -> Option<u32> {
    object.annotation(RENEWS_ANNOTATION).and_then(read)
}

/// The number up to which entries of a name were removed, from its first entry; 0 if none was.
pub fn pruned_to(first: &Object) -> Result<u32, Unreadable> {
    let Some(text) = first.annotation(PRUNED_ANNOTATION) else {
        return Ok(0);
    };
    read(text).ok_or_else(|| {
        first.unreadable(format!(
            "{PRUNED_ANNOTATION}: not a number from 1 to {LARGEST_NUMBER}"
        ))
    })
}
