//! SHA-256, plain or as lower-case hexadecimal text.

use aws_lc_rs::digest;
use std::fmt::Write;

/// SHA-256 of `data`, 64 lower-case hexadecimal digits.
pub(super) fn hex_digest(data: &[u8]) -> String {
    hex(&digest(data))
}

/// SHA-256 of `data`.
pub(super) fn digest(data: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    bytes
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
