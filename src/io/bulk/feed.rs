//! The rows as they arrive: read by a separate thread, which blocks while nobody takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::error::Failure;
use crate::io::rows::Rows;
use crate::plan::issue_client::{Row, Taken};

/// Number of rows that are read ahead.
const AHEAD: usize = 256;

/// The position of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The whole table.
    Table,
    /// A line of the table, counted from 1.
    Line(u64),
    /// The n-th name of the command line, counted from 1.
    Name(u64),
}

/// A row with its position, or the error in it.
#[derive(Debug)]
pub struct Fed<R> {
    /// The row's position.
    pub place: Place,
    /// The row's content, or the error in it.
    pub row: Result<R, Failure>,
}

/// The remaining rows.
pub struct Feed<R> {
    rows: Receiver<Fed<R>>,
    /// The estimated total number of rows, as the bits of an `f64`.
    expected: Arc<AtomicU64>,
    /// How often rows were taken.
    taken: u64,
}

impl Feed<Row> {
    /// The rows of a table.
    pub fn of_table(rows: Rows) -> Self {
        Self::begin(move |sender, expected| {
            let mut rows = rows;
            let mut taken = Taken::default();
            let mut read = 0.0;
            while let Some(next) = rows.next() {
                read += 1.0;
                if let Some(part) = rows.part_read() {
                    expected.store(f64::to_bits(read / part), Ordering::Relaxed);
                }
                let (line, row, ends) = match next {
                    Ok(record) => (record.line, Row::read(&record.cells), false),
                    Err(bad) => (bad.line, Err(bad.failure), bad.is_last),
                };
                let row = row.and_then(|row| {
                    taken.take(&row.name, line).map_err(|first| {
                        Failure::usage(format!(
                            "`{}` has the same file names as line {first}",
                            row.name
                        ))
                    })?;
                    Ok(row)
                });
                let place = if line == 0 {
                    Place::Table
                } else {
                    Place::Line(line)
                };
                if sender.blocking_send(Fed { place, row }).is_err() || ends {
                    break;
                }
            }
        })
    }

    /// Rows that are known already; a row whose files would be those of an earlier row is refused.
    pub fn of_rows(rows: Vec<Row>) -> Self {
        let mut taken = Taken::default();
        let distinct = (1..).zip(rows).map(|(number, row)| {
            taken.take(&row.name, number).map_err(|_| {
                Failure::usage(format!(
                    "`{}` has the same file names as an earlier name",
                    row.name
                ))
            })?;
            Ok(row)
        });
        Self::of_all(distinct.collect())
    }
}

impl<R: Send + 'static> Feed<R> {
    /// A feed of given rows. All are there at once, so that one with a fault ends those beside it before they begin.
    pub fn of_all(rows: Vec<Result<R, Failure>>) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the value is shown as a percentage"
        )]
        let count = rows.len() as f64;
        let (sender, fed) = channel(rows.len().max(1));
        for (number, row) in (1..).zip(rows) {
            let place = Place::Name(number);
            // The channel has room for each.
            let _ = sender.try_send(Fed { place, row });
        }
        Self {
            rows: fed,
            expected: Arc::new(AtomicU64::new(count.to_bits())),
            taken: 0,
        }
    }

    /// Starts the reading thread. It is not joined at the end: it may be blocked on a stdin that stays open.
    fn begin(read: impl FnOnce(Sender<Fed<R>>, &AtomicU64) + Send + 'static) -> Self {
        let (sender, rows) = channel(AHEAD);
        let expected = Arc::new(AtomicU64::new(f64::NAN.to_bits()));
        let shared = expected.clone();
        std::thread::spawn(move || read(sender, &shared));
        Self {
            rows,
            expected,
            taken: 0,
        }
    }

    /// The next rows, as many as are available, at least one; none at the end. They come with their number: 0, 1, 2 and so on.
    pub(super) async fn take(&mut self, most: usize) -> (u64, Vec<Fed<R>>) {
        let mut rows = Vec::new();
        self.rows.recv_many(&mut rows, most).await;
        let number = self.taken;
        self.taken += 1;
        (number, rows)
    }

    /// The estimated total number of rows.
    pub(super) fn expected(&self) -> Option<f64> {
        let expected = f64::from_bits(self.expected.load(Ordering::Relaxed));
        expected.is_finite().then_some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_known_are_taken_together() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for _ in 0..500 {
            let mut feed = Feed::of_all(vec![Ok("alice"), Ok("bob"), Ok("carol")]);
            let (first, taken) = runtime.block_on(feed.take(64));
            assert_eq!((first, taken.len()), (0, 3));
            let (second, taken) = runtime.block_on(feed.take(64));
            assert_eq!((second, taken.len()), (1, 0));
        }
    }
}
