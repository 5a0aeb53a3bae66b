//! Points in time and spans as messages show them.

use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// The latest instant that a certificate can name (RFC 5280, 4.1.2.5: `99991231235959Z`).
pub(super) const LAST: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);

/// Drops the fraction of a second, which certificates cannot hold.
pub(super) fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.to_offset(UtcOffset::UTC).truncate_to_second()
}

/// RFC 3339 in UTC, whole seconds: `2026-11-24T01:56:43Z`.
pub(super) fn utc(at: OffsetDateTime) -> String {
    whole_seconds(at)
        .format(&Rfc3339)
        .unwrap_or_else(|_| at.to_string())
}

/// The span rounded down to its largest whole unit, as the `--ttl` flag takes it: `89d`, `3h`, `20m`, `5s`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.whole_seconds().max(0);
    match seconds {
        86_400.. => format!("{}d", seconds / 86_400),
        3_600.. => format!("{}h", seconds / 3_600),
        60.. => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
