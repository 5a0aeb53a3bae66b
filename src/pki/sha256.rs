//! SHA-256 as lower-case hexadecimal text.

use aws_lc_rs::digest;
use std::fmt::Write;

/// SHA-256 of `data`, 64 lower-case hexadecimal digits.
pub(super) fn hex_digest(data: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, data).as_ref())
}

/// Two lower-case hexadecimal digits per byte, no separators.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
