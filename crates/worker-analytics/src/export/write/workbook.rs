//! A workbook of Excel. It is a compressed archive, so it is written to a temporary file by a thread of its own and kept from there.

use std::fs::File;
use std::io::{BufWriter, Seek as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use tokio::sync::mpsc::Receiver;

use super::super::ExportError;
use super::super::table::{Batch, Cell, Columns};

/// Most characters of a cell.
pub(crate) const CELL_MAX: usize = 32_767;
/// Most rows of a sheet, its header included.
const SHEET_ROWS: u32 = 1_048_576;

/// A workbook, at its beginning.
pub(crate) struct Book {
    pub file: File,
    /// Texts that did not fit into a cell.
    pub texts_cut: u64,
}

/// Writes rows, and counts them. What does not fit on a sheet goes on with the next one.
pub(crate) async fn workbook(
    columns: Columns,
    mut batches: Receiver<Batch>,
    written: Arc<AtomicU64>,
) -> Result<Book, ExportError> {
    let book = tokio::task::spawn_blocking(move || {
        let mut sheets = Sheets::new(columns, SHEET_ROWS);
        loop {
            // Ends with the reader: a job that is stopped leaves no thread behind.
            match batches.blocking_recv() {
                Some(Batch::Rows(rows)) => {
                    for row in &rows {
                        sheets.row(row)?;
                    }
                    written.fetch_add(rows.len() as u64, Ordering::Relaxed);
                }
                Some(Batch::End) => return sheets.finish(),
                None => return Err(ExportError::CutOff),
            }
        }
    });
    // The library panics where it cannot write.
    book.await.map_err(|_| {
        ExportError::Write(
            "the workbook did not fit into the temporary folder; make room there, or export csv".to_owned(),
        )
    })?
}

impl From<XlsxError> for ExportError {
    fn from(error: XlsxError) -> Self {
        Self::Write(error.to_string())
    }
}

/// Sheets of a workbook, filled one after the other. Only the row that is written is in memory.
struct Sheets {
    columns: Columns,
    sheet_rows: u32,
    book: Workbook,
    /// How many there are.
    count: usize,
    /// The next row of the last one.
    next: u32,
    texts_cut: u64,
}

impl Sheets {
    fn new(columns: Columns, sheet_rows: u32) -> Self {
        Self { columns, sheet_rows, book: Workbook::new(), count: 0, next: 0, texts_cut: 0 }
    }

    fn sheet(&mut self) -> Result<&mut Worksheet, XlsxError> {
        if self.count == 0 || self.next >= self.sheet_rows {
            self.count += 1;
            self.next = 1;
            let bold = Format::new().set_bold();
            let sheet = self.book.add_worksheet_with_constant_memory()?;
            sheet.set_name(format!("Data {}", self.count))?;
            for (column, name) in (0_u16..).zip(self.columns) {
                sheet.write_string_with_format(0, column, *name, &bold)?;
            }
        }
        self.book.worksheet_from_index(self.count - 1)
    }

    fn row(&mut self, row: &[Cell]) -> Result<(), XlsxError> {
        self.sheet()?;
        let at = self.next;
        let mut cut = 0;
        let sheet = self.book.worksheet_from_index(self.count - 1)?;
        for (column, cell) in (0_u16..).zip(row) {
            // Text is written as text, so nothing of it is computed.
            let mut text = |sheet: &mut Worksheet, text: &str| -> Result<(), XlsxError> {
                // Excel counts in units of UTF-16.
                let mut units = 0;
                let fitting = text.char_indices().find(|(_, c)| {
                    units += c.len_utf16();
                    units > CELL_MAX
                });
                let text = fitting.map_or(text, |(end, _)| {
                    cut += 1;
                    &text[..end]
                });
                sheet.write_string(at, column, text)?;
                Ok(())
            };
            match cell {
                Cell::Text(value) => text(sheet, value)?,
                Cell::Object(map) => text(sheet, &serde_json::to_string(map).unwrap_or_default())?,
                Cell::Number(value) if value.is_finite() => drop(sheet.write_number(at, column, *value)?),
                Cell::Empty | Cell::Number(_) => {}
                Cell::Whole(value) => drop(sheet.write_number(at, column, *value as f64)?),
                Cell::Flag(value) => drop(sheet.write_boolean(at, column, *value)?),
            }
        }
        self.texts_cut += cut;
        self.next += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Book, ExportError> {
        // A workbook has a sheet, and a sheet its header, also without rows.
        if self.count == 0 {
            self.sheet()?;
        }
        let trouble = |error: std::io::Error| ExportError::Write(error.to_string());
        let mut file = BufWriter::new(tempfile::tempfile().map_err(trouble)?);
        self.book.save_to_writer(&mut file)?;
        file.flush().map_err(trouble)?;
        let mut file = file.into_inner().map_err(|error| trouble(error.into_error()))?;
        file.rewind().map_err(trouble)?;
        Ok(Book { file, texts_cut: self.texts_cut })
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use calamine::{Data, Reader as _};

    use super::*;

    #[test]
    fn what_does_not_fit_on_a_sheet_goes_on_with_the_next_and_what_does_not_fit_into_a_cell_is_cut() {
        let mut sheets = Sheets::new(&["a"], 3);
        let long = "é".repeat(CELL_MAX + 1);
        for text in ["1", "2", "=3", &long] {
            sheets.row(&[Cell::text(text)]).unwrap();
        }
        let book = sheets.finish().unwrap();
        assert_eq!(book.texts_cut, 1);
        let mut book: calamine::Xlsx<_> = calamine::open_workbook_from_rs(BufReader::new(book.file)).unwrap();
        assert_eq!(book.sheet_names(), ["Data 1", "Data 2"]);
        for (name, texts) in [("Data 1", ["a", "1", "2"]), ("Data 2", ["a", "=3", &long[..2 * CELL_MAX]])] {
            let sheet = book.worksheet_range(name).unwrap();
            for (row, text) in (0..).zip(texts) {
                assert_eq!(sheet.get((row, 0)), Some(&Data::String(text.into())), "{name}");
            }
        }
    }
}
