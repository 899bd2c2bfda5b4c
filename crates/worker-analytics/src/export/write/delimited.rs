//! CSV as RFC 4180 has it: UTF-8, commas, CRLF, quotes where they are needed.

use csv::{Terminator, WriterBuilder};

use super::super::ExportError;
use super::super::table::{Cell, Columns, Row};
use super::Encoder;

pub(super) struct Csv;

impl Encoder for Csv {
    fn begin(&mut self, columns: Columns, out: &mut Vec<u8>) -> Result<(), ExportError> {
        records(out, std::iter::once(columns.iter().map(ToString::to_string).collect()))
    }

    fn rows(&mut self, _: Columns, rows: &[Row], out: &mut Vec<u8>) -> Result<(), ExportError> {
        records(out, rows.iter().map(|row| row.iter().map(field).collect()))
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

fn records(out: &mut Vec<u8>, records: impl Iterator<Item = Vec<String>>) -> Result<(), ExportError> {
    let failed = |error: csv::Error| ExportError::Write(error.to_string());
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
    for record in records {
        writer.write_record(&record).map_err(failed)?;
    }
    writer.flush().map_err(|error| ExportError::Write(error.to_string()))
}

fn field(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => harmless(text),
        Cell::Number(value) if value.is_finite() => value.to_string(),
        Cell::Empty | Cell::Number(_) => String::new(),
        Cell::Whole(value) => value.to_string(),
        Cell::Flag(value) => value.to_string(),
        // Begins with a brace, so no program takes it for a formula.
        Cell::Object(map) => serde_json::to_string(map).unwrap_or_default(),
    }
}

/// Text that no spreadsheet computes: what could begin a formula gets a quote before it (OWASP ASVS 1.2.10). That is a text which, after
/// blanks and what does not print, begins with `=`, `+`, `-`, `@` or a full-width twin of them, or which begins with a tab, a line end
/// or NUL. A plain number stays one.
fn harmless(text: &str) -> String {
    let odd_beginning = text.starts_with(['\t', '\r', '\n', '\0']);
    let first = text.chars().find(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(*c));
    let may_compute = matches!(first, Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'));
    let is_number = || text.parse::<f64>().is_ok_and(f64::is_finite);
    if odd_beginning || (may_compute && !is_number()) { format!("'{text}") } else { text.to_owned() }
}

/// Characters of no width, which a program may skip.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_compute_is_text() {
        for text in [
            "=1+1",
            "+1+1",
            "-1+1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\0=1",
            "＝1",
            " =1+1",
            "\u{feff}=1",
            "\u{a0}=1",
            "\u{200b}+cmd|' /C calc'!A0",
            "-",
            "+49 30 1234",
            "＠x",
            "\nx",
            "-inf",
            "+NaN",
        ] {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        for text in ["-5", "+5.5", "-1e3", "a=1", "1+1", "", "it's", "0x5A", "2024-01-01", "{\"a\":1}"] {
            assert_eq!(harmless(text), text);
        }
    }
}
