//! Keys from a password as PKCS#12 derives them (RFC 7292, appendix B.2).

use aws_lc_rs::digest::{self, Algorithm};
use zeroize::Zeroizing;

/// Both hashes that are used here take blocks of 64 bytes.
const BLOCK: usize = 64;

/// What a key is for; its number keeps it apart from the others of the same password and salt (appendix B.3).
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Encryption = 1,
    Iv = 2,
    Mac = 3,
}

/// Derives `length` bytes. The password is ASCII, and stands there as a `BMPString` with its final zero (appendix B.1).
pub(super) fn derive(
    algorithm: &'static Algorithm,
    password: &str,
    salt: &[u8],
    iterations: u32,
    purpose: Purpose,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let mut wide = Zeroizing::new(Vec::with_capacity(2 * password.len() + 2));
    for byte in password.bytes().chain([0]) {
        wide.extend([0, byte]);
    }
    let mut input = Zeroizing::new(filled(salt));
    input.extend(filled(&wide));
    let mut output = Zeroizing::new(Vec::with_capacity(length + algorithm.output_len()));
    while output.len() < length {
        let mut first = Zeroizing::new(vec![purpose as u8; BLOCK]);
        first.extend_from_slice(&input);
        let mut hash = digest::digest(algorithm, &first);
        for _ in 1..iterations {
            hash = digest::digest(algorithm, hash.as_ref());
        }
        output.extend_from_slice(hash.as_ref());
        let added: Vec<u8> = hash.as_ref().iter().copied().cycle().take(BLOCK).collect();
        input
            .chunks_mut(BLOCK)
            .for_each(|block| add_and_one(block, &added));
    }
    output.truncate(length);
    output
}

/// Repeats bytes until whole blocks are full.
fn filled(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().div_ceil(BLOCK) * BLOCK;
    bytes.iter().copied().cycle().take(length).collect()
}

/// Adds another number of as many bytes, and one, to a big-endian number; what does not fit is dropped.
fn add_and_one(number: &mut [u8], other: &[u8]) {
    let mut carry = 1u16;
    for (byte, added) in number.iter_mut().zip(other).rev() {
        let sum = u16::from(*byte) + u16::from(*added) + carry;
        *byte = sum.to_be_bytes()[1];
        carry = sum >> 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::sha256::hex;
    use digest::SHA1_FOR_LEGACY_USE_ONLY;

    /// The vectors of Bouncy Castle's `PKCS12Test`, which OpenSSL has too.
    #[test]
    fn known_passwords_give_the_known_keys() {
        let salt = [0x0a, 0x58, 0xcf, 0x64, 0x53, 0x0d, 0x82, 0x3f];
        let derived = |purpose, length| {
            let key = derive(&SHA1_FOR_LEGACY_USE_ONLY, "smeg", &salt, 1, purpose, length);
            hex(&key)
        };
        assert_eq!(
            derived(Purpose::Encryption, 24),
            "8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3"
        );
        assert_eq!(derived(Purpose::Iv, 8), "79993dfe048d3b76");
    }
}
