//! YAML: a list of mappings. It is read whole, so its size is limited; and nothing in it may stand for something else.

use std::collections::VecDeque;
use std::io::Read;

use serde_saphyr::{Error, Options, Spanned};
use zeroize::Zeroizing;

use super::fields::Fields;
use super::{BadRow, Input, Record, unreadable};
use crate::error::Failure;

/// More rows than this belong into a form that is read a row at a time.
const MOST_ROWS: usize = 5_000;
const MOST_BYTES: u64 = 16 << 20;

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
        .map_err(|_| Failure::usage("it is not UTF-8; save it as UTF-8"))?;
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

/// Aliases and anchors, merges, tags and includes are refused: a row says what it says where it stands.
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
    Failure::usage(format!("YAML may hold {MOST_ROWS} rows"))
        .hint("CSV and JSON lines are read a row at a time, and may be of any length")
}

/// The place, and our own words: those of the library repeat what stands there.
fn said(error: &Error) -> Failure {
    let (line, column) = error
        .location()
        .map_or((0, 0), |place| (place.line(), place.column()));
    let reason = match error.without_snippet() {
        Error::Message { msg, .. } => msg.clone(),
        Error::DuplicateMappingKey { .. } => "a field stands there twice".to_owned(),
        Error::MultipleDocuments { .. } => "a second document begins".to_owned(),
        Error::MergeKeyNotAllowed { .. } | Error::Budget { .. } | Error::UnsupportedTag { .. } => {
            "what is there stands for something else, or for more than a table may hold".to_owned()
        }
        _ => "it is no YAML, or not what a table has there".to_owned(),
    };
    Failure::usage(format!("line {line}, column {column}: {reason}"))
        .hint("it must be a list of mappings, such as `- name: alice`, without anchors and aliases")
}
