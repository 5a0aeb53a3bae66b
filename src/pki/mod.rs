//! Cryptography: keys, certificates, revocation lists, trust bundles, keystores.
//!
//! Bytes in, bytes out. No function here reads a file, a cluster or the clock: `now` is an argument, and so are the random bytes of serial
//! numbers and passwords. Only two libraries draw their own randomness: aws-lc-rs for keys and signatures, p12-keystore for salts.
//!
//! Certificates are built by rcgen, except for their names: its `DistinguishedName` is a map, which loses a second `OU` or `DC`, also of an
//! imported issuer. [`seal`] writes the exact names in and signs the result.

pub mod authority;
pub mod bundle;
pub mod chain;
pub mod crl;
pub mod csr;
mod der;
pub mod foreign;
pub mod inspect;
pub mod key;
pub mod keystore;
pub mod leaf;
pub mod names;
pub mod pem_text;
pub mod public_key;
mod seal;
pub mod serial;
pub mod server;
pub(crate) mod sha256;
#[cfg(test)]
pub(crate) mod tests;
pub mod when;
