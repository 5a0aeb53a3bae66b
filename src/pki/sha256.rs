//! SHA-256, plain or as lower-case hexadecimal text.

use aws_lc_rs::digest;

/// SHA-256 of `data`, 64 lower-case hexadecimal digits.
pub fn hex_digest(data: &[u8]) -> String {
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
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
