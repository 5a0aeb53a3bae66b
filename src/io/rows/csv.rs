//! CSV (RFC 4180): a header that names the columns, then a row each.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::{BadRow, Input, LONGEST_ROW, Record, column, too_long};
use crate::error::Failure;
use crate::plan::issue_client::{Cell, Column};

/// A table that is read row by row.
pub(super) struct Table {
    reader: Reader<Limited>,
    columns: Vec<Column>,
    record: ByteRecord,
    allowance: Arc<AtomicU64>,
    ended: bool,
}

/// An input in which every line ends in a line feed alone, so that lines can be counted; fails if a row exceeds its limit, because an open
/// quote would swallow the whole file.
struct Limited {
    input: Input,
    allowance: Arc<AtomicU64>,
    last: u8,
}

impl Limited {
    fn new(input: Input, allowance: Arc<AtomicU64>) -> Self {
        Self {
            input,
            allowance,
            last: b'\n',
        }
    }
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let given = self.input.fill_buf()?;
        let (mut read, mut written) = (0, 0);
        while read < given.len() && written < buffer.len() {
            let byte = given[read];
            read += 1;
            // A carriage return is held back until it is known what follows.
            match (self.last, byte) {
                (b'\r', b'\n') => {}
                (b'\r', _) => {
                    buffer[written] = b'\r';
                    written += 1;
                }
                _ => {}
            }
            if written == buffer.len() {
                // No room for this byte: it is taken the next time.
                read -= 1;
                self.last = 0;
                break;
            }
            if byte != b'\r' {
                buffer[written] = byte;
                written += 1;
            }
            self.last = byte;
        }
        let ended = given.is_empty();
        self.input.consume(read);
        let taken = u64::try_from(read).unwrap_or(u64::MAX);
        self.allowance
            .store(left.saturating_sub(taken), Ordering::Relaxed);
        if ended && self.last != b'\n' && !buffer.is_empty() {
            self.last = b'\n';
            buffer[0] = b'\n';
            return Ok(1);
        }
        if written == 0 && read > 0 {
            return self.read(buffer);
        }
        Ok(written)
    }
}

impl Table {
    /// Reads the header.
    pub fn open(input: Input) -> Result<Self, Failure> {
        let allowance = Arc::new(AtomicU64::new(LONGEST_ROW));
        let limited = Limited::new(input, allowance.clone());
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(limited);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).map_err(said)? {
            return Err(Failure::usage("the table is empty")
                .hint("the first line names the columns: `name,O,dns`"));
        }
        let names = record.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let named = names
            .iter()
            .zip(1..)
            .map(|(name, number)| column(name, number));
        let columns = named.collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(|failure| match names.first() {
            Some(first) if first.contains([';', '\t']) => {
                failure.hint("columns are separated by commas")
            }
            _ => failure,
        })?;
        if !columns.contains(&Column::Name) {
            return Err(Failure::usage("the table has no column `name`")
                .hint("the first line names the columns: `name,O,dns`"));
        }
        Ok(Self {
            reader,
            columns,
            record,
            allowance,
            ended: false,
        })
    }

    pub fn bytes_read(&self) -> u64 {
        self.reader.position().byte()
    }

    pub fn next(&mut self) -> Option<Result<Record, BadRow>> {
        if self.ended {
            return None;
        }
        self.allowance.store(LONGEST_ROW, Ordering::Relaxed);
        let start = self.reader.position().line();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => None,
            Ok(true) => {
                let line = self.line_of_record();
                let cells = self.cells();
                Some(cells.map_or_else(
                    |failure| Err(BadRow::new(line, failure)),
                    |cells| Ok(Record { line, cells }),
                ))
            }
            Err(error) => {
                self.ended = true;
                Some(Err(BadRow::last(start, said(error))))
            }
        }
    }

    /// The line on which the row began: the reader has already passed its end, and counts blank lines before a row to it.
    fn line_of_record(&self) -> u64 {
        let inside = self.record.as_slice().split(|byte| *byte == b'\n').count() - 1;
        let end = self.reader.position().line().saturating_sub(1);
        end.saturating_sub(u64::try_from(inside).unwrap_or_default())
    }

    fn cells(&self) -> Result<Vec<(Column, Cell)>, Failure> {
        let (found, expected) = (self.record.len(), self.columns.len());
        if found != expected {
            return Err(Failure::usage(format!(
                "the row has {found} cells, but the header has {expected}; quote a cell that holds a comma"
            )));
        }
        let texts = self.record.iter().map(text);
        let columns = self.columns.iter().copied();
        columns
            .zip(texts)
            .map(|(column, text)| Ok((column, Cell::of_text(text?))))
            .collect()
    }
}

fn text(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes)
        .map_err(|_| Failure::usage("the table is not UTF-8; save it as UTF-8"))
}

/// An error without the library's message and without the row's content, which may hold a password.
fn said(error: csv::Error) -> Failure {
    match error.into_kind() {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => too_long(),
        ErrorKind::Io(error) => super::unreadable(error),
        _ => Failure::usage("the table is not CSV"),
    }
}
