//! The result of `unexpose`, for people.

use super::Render;
use crate::plan::unexpose::Report;

impl Render for Report {
    /// One line per deleted object, as kubectl prints them; then the kept objects, with the
    /// commands that remove them.
    fn table(&self, _: bool) -> String {
        let suffix = if self.dry_run { " (dry run)" } else { "" };
        let mut text = String::new();
        for deleted in &self.deleted {
            text.push_str(&format!(
                "{} in {} deleted{suffix}\n",
                deleted.object, deleted.namespace
            ));
        }
        for kept in &self.kept {
            text.push_str(&format!(
                "{} in {} kept: {}\n",
                kept.object, kept.namespace, kept.reason
            ));
        }
        for stays in &self.stays {
            text.push_str(&format!(
                "\nkept: {}; to remove it:\n  {}\n",
                stays.what, stays.remove
            ));
        }
        text
    }

    /// The names only, one per line.
    fn names(&self) -> String {
        self.deleted
            .iter()
            .map(|deleted| format!("{}\n", deleted.object))
            .collect()
    }
}
