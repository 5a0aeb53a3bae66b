//! The issuers of a certificate, up to a root.

use super::inspect::Certificate;

/// The certificates of `pool` that are issuers above `bottom`, the nearest one first, by their signatures; ends at a self-signed
/// certificate, or where the next one is missing.
pub fn above(bottom: &Certificate, pool: &[Certificate]) -> Vec<Certificate> {
    let mut chain: Vec<Certificate> = Vec::new();
    let mut last = bottom;
    while !last.is_self_signed() {
        let is_next =
            |one: &&Certificate| !chain.contains(one) && *one != bottom && last.is_signed_by(one);
        let Some(next) = pool.iter().find(is_next) else {
            break;
        };
        chain.push(next.clone());
        last = next;
    }
    chain
}

/// The part of a chain that a gateway builds and checks: up to the first trusted CA, and on from there through trusted CAs only
/// (`BoringSSL`, `X509_verify_cert` with `X509_V_FLAG_TRUSTED_FIRST`). Empty if no CA of the chain is trusted.
pub fn verified<'a>(chain: &'a [Certificate], trusted: &[Certificate]) -> &'a [Certificate] {
    let is_trusted = |ca: &Certificate| trusted.contains(ca);
    let Some(anchor) = chain.iter().position(is_trusted) else {
        return &[];
    };
    let above = chain[anchor..].iter().take_while(|ca| is_trusted(ca));
    &chain[..anchor + above.count()]
}

/// The part of a chain that a client sends along: a verifier either has the root, or cannot use it.
pub fn without_root(chain: &[Certificate]) -> impl Iterator<Item = &Certificate> {
    chain.iter().filter(|ca| !ca.is_self_signed())
}
