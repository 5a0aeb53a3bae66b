//! Tables for people.

use std::borrow::Cow;

use crate::resources::printable::printable_line;

/// Widest column; a longer cell sticks out instead of widening every row.
const WIDEST: usize = 160;

/// Names and their values, a line each, as [`columns`].
pub(super) fn pairs<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows = rows.into_iter();
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    columns(&rows.collect::<Vec<_>>())
}

/// Aligns cells in columns, two spaces apart; the last column is not padded. Line ends in a cell are replaced.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable_line(cell)).collect())
        .collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(move |row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .filter(|width| *width <= WIDEST)
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    // Not by `{:<width$}`, which panics where a width is over 65 535.
    let padded = |(cell, width): (&Cow<'_, str>, &usize)| {
        let missing = width.saturating_sub(cell.chars().count());
        format!("{cell}{}", " ".repeat(missing))
    };
    let line = |row: &Vec<Cow<'_, str>>| {
        let cells = row.iter().zip(&widths).map(padded);
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let rows = [
            vec!["a".to_owned(), "b".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(columns(&rows), "a     b\nlong\n");
    }

    #[test]
    fn a_cell_of_any_length_is_shown_and_leaves_the_other_rows_as_they_are() {
        let long = "x".repeat(70_000);
        let rows = [
            vec![long.clone(), "b".to_owned()],
            vec!["a".to_owned(), "b".to_owned()],
        ];
        assert_eq!(columns(&rows), format!("{long}  b\na  b\n"));
    }
}
