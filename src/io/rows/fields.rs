//! An object of JSON or YAML, as cells.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::plan::issue_client::{Cell, Column};

/// The cells of one row, in the order in which they stand; repeated keys are kept.
#[derive(Debug)]
pub(super) struct Fields(pub Vec<(Column, Cell)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object such as {\"name\": \"alice\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let column = super::column(&name).map_err(|failure| {
                let hints = failure.what_to_do().join("; ");
                A::Error::custom(format!("{failure}; {hints}"))
            })?;
            fields.push((column, map.next_value::<Texts>()?.0));
        }
        Ok(Fields(fields))
    }
}

/// A text, a list of texts, or null.
struct Texts(Cell);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

/// Numbers are refused: `007` and `1e3` would come out as other texts than they went in.
impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes, or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts(Cell::of_text(text)))
    }

    fn visit_unit<E: Error>(self) -> Result<Texts, E> {
        Ok(Texts(Cell::default()))
    }

    fn visit_none<E: Error>(self) -> Result<Texts, E> {
        Ok(Texts(Cell::default()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
        let mut cell = Cell::default();
        while let Some(text) = list.next_element::<String>()? {
            cell.0.push(text);
        }
        Ok(Texts(cell))
    }
}
