//! JSON lines: an object per line.

use std::io::{BufRead, Read};

use serde_json::error::Category;
use zeroize::Zeroizing;

use super::fields::Fields;
use super::{BadRow, Input, LONGEST_ROW, Record, too_long, unreadable};
use crate::error::Failure;

/// A table that is read line by line.
pub(super) struct Lines {
    input: Input,
    line: u64,
    bytes: u64,
    /// The current line; wiped after use, since it may hold a password.
    text: Zeroizing<Vec<u8>>,
    ended: bool,
}

impl Lines {
    pub fn new(input: Input) -> Self {
        Self {
            input,
            line: 0,
            bytes: 0,
            text: Zeroizing::new(Vec::new()),
            ended: false,
        }
    }

    pub fn bytes_read(&self) -> u64 {
        self.bytes
    }

    pub fn next(&mut self) -> Option<Result<Record, BadRow>> {
        while !self.ended {
            self.text.clear();
            let mut limited = self.input.by_ref().take(LONGEST_ROW);
            let read = limited.read_until(b'\n', &mut self.text);
            self.line += 1;
            match read {
                Ok(0) => return None,
                Ok(read) => self.bytes += u64::try_from(read).unwrap_or_default(),
                Err(error) => return Some(Err(self.end(unreadable(error)))),
            }
            if self.bytes_of_line() == LONGEST_ROW && !self.text.ends_with(b"\n") {
                return Some(Err(self.end(too_long())));
            }
            let text = self.text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if self.line == 1 && text.starts_with(b"[") {
                let whole = Failure::usage(
                    "the table is a JSON array; write each client on a line of its own",
                )
                .hint("`jq -c '.[]'` makes such lines");
                return Some(Err(self.end(whole)));
            }
            return Some(match serde_json::from_slice::<Fields>(text) {
                Ok(Fields(cells)) => Ok(Record {
                    line: self.line,
                    cells,
                }),
                Err(error) => Err(BadRow::new(self.line, said(&error))),
            });
        }
        None
    }

    fn bytes_of_line(&self) -> u64 {
        u64::try_from(self.text.len()).unwrap_or(u64::MAX)
    }

    fn end(&mut self, failure: Failure) -> BadRow {
        self.ended = true;
        BadRow::last(self.line, failure)
    }
}

/// An error without the library's message, which repeats the input, and without its place, which counts from the start of the line; the
/// place alone for other errors.
fn said(error: &serde_json::Error) -> Failure {
    let said = error.to_string();
    let reason = said
        .rsplit_once(" at line ")
        .map_or(&*said, |(reason, _)| reason);
    match error.classify() {
        Category::Data => Failure::usage(reason.to_owned()),
        _ => Failure::usage(format!("column {}: not JSON", error.column())),
    }
}
