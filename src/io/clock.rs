//! The local clock, durations as users write them, and random bytes: the pure modules take these as arguments.

use std::time::Duration;

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

/// Reads a duration such as `90s`, `5m`, `1h30m` or `90d`; a number needs a unit, except `0`.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "the time needs a unit: `{text}s`, `{text}m`, `{text}h` or `{text}d`"
        ));
    }
    humantime::parse_duration(text)
        .map_err(|_| "give a time such as `90s`, `5m`, `12h` or `90d`".to_owned())
}
