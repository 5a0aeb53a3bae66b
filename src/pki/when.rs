//! Points in time and durations as text for messages.

use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// The latest instant that a certificate can name (RFC 5280, 4.1.2.5: `99991231235959Z`).
pub(super) const LAST: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);

/// A time at least this far ahead is shown by its date alone.
const DATE_IS_ENOUGH: Duration = Duration::days(3);

/// Drops the fraction of a second, which certificates cannot contain.
pub(super) fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.to_offset(UtcOffset::UTC).truncate_to_second()
}

/// RFC 3339 in UTC, whole seconds: `2026-11-24T01:56:43Z`.
pub(super) fn utc(at: OffsetDateTime) -> String {
    whole_seconds(at)
        .format(&Rfc3339)
        .unwrap_or_else(|_| at.to_string())
}

/// UTC to the minute: `2026-11-24 01:56 UTC`.
pub fn minute(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())
}

/// An expiry time, in UTC: its date, and also its time if it lies less than three days after `from`.
pub fn end(at: OffsetDateTime, from: OffsetDateTime) -> String {
    if at - from < DATE_IS_ENOUGH {
        return minute(at);
    }
    at.to_offset(UtcOffset::UTC).date().to_string()
}

/// A duration rounded down to its largest whole unit, as the `--ttl` flag reads it: `89d`, `3h`, `20m`, `5s`.
pub fn span(span: Duration) -> String {
    let seconds = span.whole_seconds().max(0);
    match seconds {
        86_400.. => format!("{}d", seconds / 86_400),
        3_600.. => format!("{}h", seconds / 3_600),
        60.. => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_end_that_is_near_is_shown_with_its_time() {
        let from = datetime!(2026-11-24 12:00 UTC);
        assert_eq!(
            end(from + Duration::seconds(70), from),
            "2026-11-24 12:01 UTC"
        );
        assert_eq!(end(from + Duration::days(2), from), "2026-11-26 12:00 UTC");
        assert_eq!(end(from + Duration::days(3), from), "2026-11-27");
    }
}
