//! The result of `list-clients --prune`, for people.

use super::Render;
use super::list_clients::state;
use super::table::columns;
use crate::plan::prune_clients::{Removed, Report};

impl Render for Report {
    fn table(&self, _: bool) -> String {
        if self.removed.is_empty() {
            return String::new();
        }
        let header = ["NAME", "NUMBER", "STATE", "EXPIRED", "SERIAL"];
        let header = header.map(str::to_owned).to_vec();
        let rows = std::iter::once(header).chain(self.removed.iter().map(row));
        columns(&rows.collect::<Vec<_>>())
    }

    /// `client/NAME`, each name once.
    fn names(&self) -> String {
        let mut names: Vec<String> = self
            .removed
            .iter()
            .map(|removed| format!("client/{}\n", removed.name))
            .collect();
        names.dedup();
        names.concat()
    }
}

fn row(removed: &Removed) -> Vec<String> {
    vec![
        removed.name.clone(),
        removed.number.to_string(),
        state(removed.state).to_owned(),
        removed.not_after.date().to_string(),
        removed.serial.clone(),
    ]
}
