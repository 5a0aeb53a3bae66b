//! The result of `renew-client`, for people.

use serde::Serialize;

use super::Render;
use super::issue_client::{Issued, Record};
use super::table::columns;
use crate::error::Failure;
use crate::pki::when;

/// The results of a renewal for several clients.
#[derive(Debug, Serialize)]
pub struct Renewed {
    /// The renewed certificates, in the order in which they were issued.
    pub renewed: Vec<Issued>,
    /// The clients that were not renewed, or could not be read.
    pub failed: Vec<String>,
}

impl Renewed {
    /// The failure, if not every certificate was renewed.
    pub fn failure(&self) -> Option<Failure> {
        let Self { renewed, failed } = self;
        if failed.is_empty() {
            return None;
        }
        let failure = Failure::failed(format!(
            "{} of {} certificates were not renewed: {}",
            failed.len(),
            failed.len() + renewed.len(),
            failed.join(", ")
        ));
        Some(failure.hint(if renewed.is_empty() {
            "each reason is above"
        } else {
            "the other certificates are renewed; each reason is above"
        }))
    }
}

impl Render for Renewed {
    /// The report as a table for people: one line per certificate.
    fn table(&self, is_wide: bool) -> String {
        if self.renewed.is_empty() {
            return String::new();
        }
        let mut header = vec!["NAME", "NUMBER", "RENEWS", "EXPIRES", "SERIAL"];
        if is_wide {
            header.extend(["IDENTITY", "SUBJECT"]);
        }
        header.push("FILES");
        let header = header.into_iter().map(str::to_owned).collect();
        let rows = self.renewed.iter().map(|issued| row(issued, is_wide));
        let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        columns(&rows)
    }

    /// `client/NAME`, one per line.
    fn names(&self) -> String {
        self.renewed.iter().map(Render::names).collect()
    }
}

fn row(issued: &Issued, is_wide: bool) -> Vec<String> {
    let Record::Entry(entry) = &issued.entry else {
        return Vec::new();
    };
    let mut row = vec![
        entry.name.clone(),
        entry.number.to_string(),
        entry
            .renews
            .map_or_else(|| "-".to_owned(), |number| number.to_string()),
        when::end(entry.not_after, entry.not_before),
        entry.serial.clone(),
    ];
    if is_wide {
        row.extend([entry.uri.clone(), issued.subject.clone()]);
    }
    row.push(issued.files.join(" "));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_called_renewed_where_every_renewal_failed() {
        let none = Renewed {
            renewed: Vec::new(),
            failed: vec!["alice".to_owned()],
        };
        let failure = none.failure().unwrap();
        assert_eq!(
            failure.to_string(),
            "1 of 1 certificates were not renewed: alice"
        );
        assert_eq!(failure.what_to_do(), ["each reason is above"]);
    }
}
