//! A table of clients, as rows: CSV and JSON lines are read row by row; YAML is read whole, and therefore limited.
//!
//! A row that cannot be read is reported with its line, and reading continues with the next one, if the rest still makes sense.

mod csv;
mod fields;
mod json_lines;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use clap::ValueEnum;

use super::interrupt::while_blocked;
use super::{files, platform};
use crate::error::Failure;
use crate::plan::issue_client::{Cell, Column};

/// The longest row, in bytes: a longer one lacks a closing quote, or the file is not a table.
const LONGEST_ROW: u64 = 1 << 20;

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// A header that names the columns, then a row each
    Csv,
    /// An object per line
    #[value(name = "json")]
    JsonLines,
    /// A list of mappings
    Yaml,
}

impl TableFormat {
    /// The format that the ending of a file name stands for.
    pub fn of_path(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::JsonLines),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// One row, not yet parsed into a client.
#[derive(Debug)]
pub struct Record {
    /// The line on which the row begins, counted from 1.
    pub line: u64,
    /// The row's cells.
    pub cells: Vec<(Column, Cell)>,
}

/// Why a row was not read.
#[derive(Debug)]
pub struct BadRow {
    /// The line, counted from 1; 0 if the error concerns the whole table.
    pub line: u64,
    /// The reason.
    pub failure: Failure,
    /// Whether no later row can be read either.
    pub is_last: bool,
}

impl BadRow {
    fn new(line: u64, failure: Failure) -> Self {
        Self {
            line,
            failure,
            is_last: false,
        }
    }

    fn last(line: u64, failure: Failure) -> Self {
        Self {
            is_last: true,
            ..Self::new(line, failure)
        }
    }
}

/// The rows of a table.
pub struct Rows {
    source: Source,
    size: Option<u64>,
}

enum Source {
    Csv(Box<csv::Table>),
    JsonLines(json_lines::Lines),
    Yaml(VecDeque<Result<Record, BadRow>>, usize),
}

type Input = BufReader<Box<dyn Read + Send>>;

impl Rows {
    /// Opens a table; `-` means stdin.
    pub fn open(path: &Path, format: TableFormat) -> Result<Self, Failure> {
        let mut is_pipe = false;
        let (input, size): (Box<dyn Read + Send>, Option<u64>) = if path == Path::new("-") {
            (Box::new(files::open_stdin()), None)
        } else {
            let failed = |error| {
                Failure::failed(format!("could not read `{}`", path.display())).caused_by(error)
            };
            let file = files::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if metadata.is_dir() {
                return Err(failed(io::ErrorKind::IsADirectory.into()));
            }
            is_pipe = platform::is_pipe(metadata.file_type());
            let size = metadata.is_file().then_some(metadata.len());
            (Box::new(file), size)
        };
        let place = if path == Path::new("-") {
            "stdin".to_owned()
        } else {
            format!("`{}`", path.display())
        };
        let failed = |failure: Failure| failure.within(&place);
        let mut input = BufReader::with_capacity(1 << 16, input);
        let is_empty = while_blocked(|| input.fill_buf().map(<[u8]>::is_empty));
        if is_empty.map_err(|error| failed(unreadable(error)))? && is_pipe {
            return Err(failed(Failure::usage("a pipe that nobody writes into")));
        }
        Self::read(input, format, size).map_err(failed)
    }

    fn read(mut input: Input, format: TableFormat, size: Option<u64>) -> Result<Self, Failure> {
        let start = input.fill_buf().map_err(unreadable)?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err(Failure::usage("UTF-16 text; save the table as UTF-8"));
        }
        if start.starts_with(&[0xef, 0xbb, 0xbf]) {
            input.consume(3);
        }
        Ok(Self {
            source: match format {
                TableFormat::Csv => Source::Csv(Box::new(csv::Table::open(input)?)),
                TableFormat::JsonLines => Source::JsonLines(json_lines::Lines::new(input)),
                TableFormat::Yaml => {
                    let rows = yaml::read(input)?;
                    let count = rows.len();
                    Source::Yaml(rows, count)
                }
            },
            size,
        })
    }

    /// The part of the table that has been read, from 0 to 1, if its size is known.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the value is shown as a percentage"
    )]
    pub fn part_read(&self) -> Option<f64> {
        let read = match &self.source {
            Source::Csv(table) => table.bytes_read(),
            Source::JsonLines(lines) => lines.bytes_read(),
            Source::Yaml(rows, count) => {
                return Some(1.0 - rows.len() as f64 / (*count).max(1) as f64);
            }
        };
        let size = self.size.filter(|size| *size > 0)?;
        Some((read as f64 / size as f64).min(1.0))
    }
}

impl Iterator for Rows {
    type Item = Result<Record, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Csv(table) => table.next(),
            Source::JsonLines(lines) => lines.next(),
            Source::Yaml(rows, _) => rows.pop_front(),
        }
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::failed("the table could not be read").caused_by(error)
}

fn too_long() -> Failure {
    Failure::usage(format!(
        "the row is longer than {} MiB; a quote may be missing",
        LONGEST_ROW >> 20
    ))
}

/// The column of this name, or the error. The error repeats a name only if it is misspelt: any other text may be a value of a table without
/// a header, such as a password.
fn column(name: &str, number: usize) -> Result<Column, Failure> {
    Column::of_name(name).ok_or_else(|| {
        let failure = match Column::misspelt(name) {
            Some(meant) => Failure::usage(format!(
                "unknown column `{}` (did you mean `{meant}`?)",
                name.trim()
            )),
            None => Failure::usage(format!("the name of column {number} is unknown")),
        };
        failure.hint(format!("columns are: {}", Column::names()))
    })
}
