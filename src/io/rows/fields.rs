//! An object of JSON or YAML, as cells.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::plan::issue_client::{Cell, Column};

/// The cells of one row, in order; repeated keys are kept.
#[derive(Debug)]
pub(super) struct Fields(pub Vec<(Column, Cell)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Any: what is expected would be told with what is found.
        deserializer.deserialize_any(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object such as {\"name\": \"alice\"}")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Fields, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Fields, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Fields, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Fields, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Fields, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Fields, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Fields, E> {
        Err(E::custom(NOT_AN_OBJECT))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let column = super::column(&name, fields.len() + 1).map_err(|failure| {
                let hints = failure.what_to_do().join("; ");
                A::Error::custom(format!("{failure}; {hints}"))
            })?;
            fields.push((column, map.next_value_seed(TextsOf(column))?));
        }
        Ok(Fields(fields))
    }
}

const NOT_AN_OBJECT: &str = "the row is not an object such as {\"name\": \"alice\"}";

/// The value of a column: a text, a list of texts, or null. Errors do not show the value, which may be a password.
#[derive(Clone, Copy)]
struct TextsOf(Column);

impl TextsOf {
    fn refuse<T, E: Error>(self, found: &str) -> Result<T, E> {
        let column = self.0;
        Err(E::custom(format!(
            "`{column}` is {found}; give a text in quotes, or a list of them"
        )))
    }
}

impl<'de> DeserializeSeed<'de> for TextsOf {
    type Value = Cell;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Refuses numbers: `007` and `1e3` would change when they are read as numbers.
impl<'de> Visitor<'de> for TextsOf {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes, or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::of_text(text))
    }

    fn visit_unit<E: Error>(self) -> Result<Cell, E> {
        Ok(Cell::default())
    }

    fn visit_none<E: Error>(self) -> Result<Cell, E> {
        Ok(Cell::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Cell, E> {
        self.refuse("true or false")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Cell, E> {
        self.refuse("a number")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Cell, E> {
        self.refuse("a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Cell, E> {
        self.refuse("a number")
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Cell, E> {
        self.refuse("a number")
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Cell, E> {
        self.refuse("a number")
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Cell, A::Error> {
        self.refuse("an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell, A::Error> {
        let mut cell = Cell::default();
        while let Some(mut text) = list.next_element_seed(self)? {
            // A list in a list has no text of its own.
            if text.0.len() > 1 {
                return self.refuse("a list of lists");
            }
            cell.0.append(&mut text.0);
        }
        Ok(cell)
    }
}
