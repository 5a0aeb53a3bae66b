//! The local clock and random bytes: what the pure folders take as arguments.

use aws_lc_rs::rand;
use time::OffsetDateTime;

use crate::error::Failure;

/// The local time in UTC; with a cluster the API server's time is used instead.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Bytes from the operating system's generator.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)
        .map_err(|_| Failure::failed("the operating system gave no random bytes"))?;
    Ok(bytes)
}
