//! Expiry dates as bars.

use colored::Colorize;
use time::{Duration, OffsetDateTime};

use super::hanging;
use crate::plan::status::Timeline;

/// Columns of the longest bar.
const BAR: usize = 24;
/// The time that a full bar stands for; a later expiry has an arrow at its end.
const HORIZON: Duration = Duration::weeks(52);
/// Expiry within this time is red.
const URGENT: Duration = Duration::weeks(2);
/// Expiry within this time is yellow.
const SOON: Duration = Duration::weeks(8);

/// A bar for each expiry, and one for each week in which client certificates expire.
pub(super) fn render(timeline: &Timeline) -> String {
    let mut text = format!("{}\n", "expiry dates (a full bar is a year)".bold());
    for end in &timeline.ends {
        let left = end.at - timeline.now;
        let label = format!("{} {}", end.kind, end.name);
        text += &line(end.at, &bar(left), left, &label);
    }
    let most = timeline.clients.iter().map(|week| week.count).max();
    for week in &timeline.clients {
        let columns = scaled(week.count, most.unwrap_or(1));
        let bar = format!("{:BAR$}", "▇".repeat(columns));
        text += &line(
            week.from,
            &bar,
            week.from - timeline.now,
            &clients(week.count),
        );
    }
    text
}

/// A date, its bar, and what it is about, wrapped beside the bar: the library counts a bar's characters as two columns each.
fn line(at: OffsetDateTime, bar: &str, left: Duration, label: &str) -> String {
    let date = at.date().to_string();
    let indent = " ".repeat(2 + date.len() + 2 + BAR + 2);
    let label = hanging(label, &indent, &indent);
    format!("  {date}  {}  {}", coloured(bar, left), label.trim_start())
}

fn clients(count: usize) -> String {
    match count {
        1 => "1 client certificate ends within a week".to_owned(),
        count => format!("{count} client certificates end within a week"),
    }
}

fn bar(left: Duration) -> String {
    if left <= Duration::ZERO {
        return format!("{:BAR$}", "✗ ended");
    }
    if left > HORIZON {
        return "█".repeat(BAR - 1) + "▶";
    }
    let part = usize::try_from(left.whole_seconds()).unwrap_or(usize::MAX);
    let whole = usize::try_from(HORIZON.whole_seconds()).unwrap_or(usize::MAX);
    format!("{:BAR$}", "█".repeat(scaled(part, whole)))
}

/// Number of columns for a part of a whole, at least one.
fn scaled(part: usize, whole: usize) -> usize {
    let columns = part.saturating_mul(BAR) / whole.max(1);
    columns.clamp(1, BAR)
}

fn coloured(bar: &str, left: Duration) -> String {
    if left < URGENT {
        bar.red().to_string()
    } else if left < SOON {
        bar.yellow().to_string()
    } else {
        bar.green().to_string()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::plan::status::{End, Week};

    #[test]
    fn each_end_is_a_bar_as_long_as_what_is_left_of_a_year() {
        let now: OffsetDateTime = datetime!(2026-09-01 12:00 UTC);
        let end = |days: i64, kind: &'static str, name: &str| End {
            at: now + Duration::days(days),
            kind,
            name: name.to_owned(),
        };
        let timeline = Timeline {
            now,
            ends: vec![
                end(-1, "server certificate", "old.example.com"),
                end(60, "server certificate", "httpbin.example.com"),
                end(
                    100,
                    "server certificate",
                    "a-service-with-a-long-name.mtls.c-1a2b3c4.kyma.ondemand.com",
                ),
                end(1800, "client CA", "CA 1e54a643"),
            ],
            clients: vec![
                Week {
                    from: now + Duration::weeks(1),
                    count: 2,
                },
                Week {
                    from: now + Duration::weeks(9),
                    count: 20,
                },
            ],
        };
        let text = anstream::adapter::strip_str(&render(&timeline)).to_string();
        assert_eq!(
            text,
            "\
expiry dates (a full bar is a year)
  2026-08-31  ✗ ended                   server certificate old.example.com
  2026-10-31  ███                       server certificate httpbin.example.com
  2026-12-10  ██████                    server certificate
                                        a-service-with-a-long-name.mtls.c-1a2b3c4.kyma.ondemand.com
  2031-08-06  ███████████████████████▶  client CA CA 1e54a643
  2026-09-08  ▇▇                        2 client certificates end within a week
  2026-11-03  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇  20 client certificates end within a week
"
        );
    }
}
