//! Rows of an export.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// Nothing is known.
    Empty,
    /// Text. In a table of text it is made harmless for programs that would compute it.
    Text(String),
    /// A number; in JSON, what is no number is null.
    Number(f64),
    /// A whole number.
    Whole(i64),
    /// True or false.
    Flag(bool),
    /// An object; a table holds its text.
    Object(Map<String, Value>),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn number(value: Option<f64>) -> Self {
        value.map_or(Self::Empty, Self::Number)
    }

    pub fn whole(value: Option<i64>) -> Self {
        value.map_or(Self::Empty, Self::Whole)
    }

    pub fn text_opt(text: Option<String>) -> Self {
        text.map_or(Self::Empty, Self::Text)
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            // serde_json writes null for what is no number.
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Whole(value) => serializer.serialize_i64(*value),
            Self::Flag(value) => serializer.serialize_bool(*value),
            Self::Object(map) => map.serialize(serializer),
        }
    }
}

/// The names of the columns.
pub(super) type Columns = &'static [&'static str];
/// One value for each column.
pub(super) type Row = Vec<Cell>;

/// What goes from the reader to the writer. That a reader ends is said, so that one that broke off is not taken for one that is done.
#[derive(Debug)]
pub(super) enum Batch {
    /// Some rows.
    Rows(Vec<Row>),
    /// There are no more.
    End,
}
