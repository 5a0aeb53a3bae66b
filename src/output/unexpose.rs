//! The result of `unexpose`, for people.

use crate::plan::unexpose::Report;

/// One line per deleted object, as kubectl prints them.
pub fn table(report: &Report) -> String {
    let suffix = if report.dry_run { " (dry run)" } else { "" };
    let lines = report.deleted.iter().map(|deleted| {
        format!(
            "{} in {} deleted{suffix}\n",
            deleted.object, deleted.namespace
        )
    });
    lines.collect()
}

/// The names only, one per line.
pub fn names(report: &Report) -> String {
    report
        .deleted
        .iter()
        .map(|deleted| format!("{}\n", deleted.object))
        .collect()
}
