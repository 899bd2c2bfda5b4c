//! JSON: one array of objects, or one object a line. Members stand in the order of the columns.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::super::ExportError;
use super::super::table::{Columns, Row};
use super::Encoder;

/// One array.
#[derive(Default)]
pub(super) struct Array {
    is_begun: bool,
}

impl Encoder for Array {
    fn begin(&mut self, _: Columns, out: &mut Vec<u8>) -> Result<(), ExportError> {
        out.push(b'[');
        Ok(())
    }

    fn rows(&mut self, columns: Columns, rows: &[Row], out: &mut Vec<u8>) -> Result<(), ExportError> {
        for row in rows {
            out.extend_from_slice(if self.is_begun { b",\n" } else { b"\n" });
            self.is_begun = true;
            object(columns, row, out)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_begun { b"\n]\n" } else { b"]\n" });
    }
}

/// One object a line.
pub(super) struct Lines;

impl Encoder for Lines {
    fn begin(&mut self, _: Columns, _: &mut Vec<u8>) -> Result<(), ExportError> {
        Ok(())
    }

    fn rows(&mut self, columns: Columns, rows: &[Row], out: &mut Vec<u8>) -> Result<(), ExportError> {
        for row in rows {
            object(columns, row, out)?;
            out.push(b'\n');
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

struct Members<'a>(Columns, &'a Row);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, cell) in self.0.iter().zip(self.1) {
            map.serialize_entry(name, cell)?;
        }
        map.end()
    }
}

fn object(columns: Columns, row: &Row, out: &mut Vec<u8>) -> Result<(), ExportError> {
    serde_json::to_writer(out, &Members(columns, row)).map_err(|error| ExportError::Write(error.to_string()))
}
