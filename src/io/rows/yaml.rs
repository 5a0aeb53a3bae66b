//! YAML: a list of mappings. It is read whole, so its size is limited; aliases and the like are refused.

use std::collections::VecDeque;
use std::io::Read;

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Options, Spanned};
use zeroize::Zeroizing;

use super::fields::Fields;
use super::{BadRow, Input, Record, unreadable};
use crate::error::Failure;

/// The largest number of rows; longer tables belong in a format that is read row by row.
const MOST_ROWS: usize = 5_000;
const MOST_BYTES: u64 = 16 << 20;
const SECOND_DOCUMENT: &str = "a second document begins";

/// Reads the whole list.
pub(super) fn read(input: Input) -> Result<VecDeque<Result<Record, BadRow>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    input
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > MOST_BYTES {
        return Err(too_many());
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::usage("the table is not UTF-8; save it as UTF-8"))?;
    let rows: Vec<Spanned<Fields>> =
        serde_saphyr::from_str_with_options(text, options()).map_err(|error| said(&error))?;
    if rows.len() > MOST_ROWS {
        return Err(too_many());
    }
    let record = |row: Spanned<Fields>| {
        Ok(Record {
            line: row.referenced.line(),
            cells: row.value.0,
        })
    };
    Ok(rows.into_iter().map(record).collect())
}

/// The parser options: aliases, anchors, merges, tags and includes are refused, so that a row contains all its values itself.
fn options() -> Options {
    // A row has some thirty nodes at most.
    let budget = serde_saphyr::budget! {
        max_aliases: 0,
        max_anchors: 0,
        max_merge_keys: 0,
        max_documents: 1,
        max_depth: 8,
        max_inclusion_depth: 0,
        max_nodes: 40 * MOST_ROWS,
    };
    serde_saphyr::options! {
        budget: budget,
        with_snippet: false,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        strict_booleans: false,
    }
}

fn too_many() -> Failure {
    Failure::usage(format!("a YAML table may hold {MOST_ROWS} rows"))
        .hint("CSV and JSON lines are read a row at a time, and may be of any length")
}

/// An error with its place, without the library's message, which repeats the input.
fn said(error: &Error) -> Failure {
    let (line, column) = error
        .location()
        .map_or((0, 0), |place| (place.line(), place.column()));
    let reason = match error.without_snippet() {
        Error::Message { msg, .. } => msg.as_str(),
        Error::DuplicateMappingKey { .. } => "a field is given twice",
        Error::UnsupportedTag { .. } => "the table has a tag",
        Error::MergeKeyNotAllowed { .. } => "the table has a merge key (`<<`)",
        Error::MultipleDocuments { .. } => SECOND_DOCUMENT,
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. } => {
                "the table has an anchor or an alias"
            }
            BudgetBreach::Documents { .. } => SECOND_DOCUMENT,
            _ => "the table is larger than a table may be, or nested more deeply",
        },
        _ => "not YAML, or a value that a table cannot hold",
    };
    Failure::usage(format!("line {line}, column {column}: {reason}"))
        .hint("the table must be a list of mappings, such as `- name: alice`, without anchors and aliases")
}
