//! The result of `unexpose`, for people.

use crate::plan::unexpose::Report;

/// One line per deleted object, as kubectl prints them; then what stays, and how it is removed.
pub fn table(report: &Report) -> String {
    let suffix = if report.dry_run { " (dry run)" } else { "" };
    let mut text = String::new();
    for deleted in &report.deleted {
        text.push_str(&format!(
            "{} in {} deleted{suffix}\n",
            deleted.object, deleted.namespace
        ));
    }
    for kept in &report.kept {
        text.push_str(&format!(
            "{} in {} kept: {}\n",
            kept.object, kept.namespace, kept.reason
        ));
    }
    for stays in &report.stays {
        text.push_str(&format!(
            "\nkept: {}; to remove it:\n  {}\n",
            stays.what, stays.remove
        ));
    }
    text
}

/// The names only, one per line.
pub fn names(report: &Report) -> String {
    report
        .deleted
        .iter()
        .map(|deleted| format!("{}\n", deleted.object))
        .collect()
}
