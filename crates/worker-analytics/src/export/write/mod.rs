//! Bytes out of rows.

mod delimited;
mod objects;
mod workbook;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bulrush_catalog::jobs::ExportFormat;
use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender};

use super::ExportError;
use super::table::{Batch, Columns, Row};

pub(super) use workbook::{CELL_MAX, workbook};

/// Makes text of rows.
pub(super) trait Encoder {
    /// What stands before the rows.
    fn begin(&mut self, columns: Columns, out: &mut Vec<u8>) -> Result<(), ExportError>;
    /// Some rows.
    fn rows(&mut self, columns: Columns, rows: &[Row], out: &mut Vec<u8>) -> Result<(), ExportError>;
    /// What stands behind them.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Writes rows as text in pieces, and counts them.
pub(super) async fn text(
    format: ExportFormat,
    columns: Columns,
    mut batches: Receiver<Batch>,
    pieces: Sender<Result<Bytes, ExportError>>,
    written: Arc<AtomicU64>,
) -> Result<(), ExportError> {
    let mut encoder: Box<dyn Encoder + Send> = match format {
        ExportFormat::Csv => Box::new(delimited::Csv),
        ExportFormat::Json => Box::new(objects::Array::default()),
        ExportFormat::Ndjson | ExportFormat::Xlsx => Box::new(objects::Lines),
    };
    let mut out = Vec::new();
    encoder.begin(columns, &mut out)?;
    loop {
        match batches.recv().await {
            Some(Batch::Rows(rows)) => {
                encoder.rows(columns, &rows, &mut out)?;
                written.fetch_add(rows.len() as u64, Ordering::Relaxed);
            }
            Some(Batch::End) => {
                encoder.end(&mut out);
                break send(&pieces, out).await;
            }
            None => {
                // The bytes must not end as if they were whole.
                let _ = pieces.send(Err(ExportError::CutOff)).await;
                break Err(ExportError::CutOff);
            }
        }
        send(&pieces, std::mem::take(&mut out)).await?;
    }
}

async fn send(pieces: &Sender<Result<Bytes, ExportError>>, out: Vec<u8>) -> Result<(), ExportError> {
    if out.is_empty() {
        return Ok(());
    }
    pieces.send(Ok(Bytes::from(out))).await.map_err(|_| ExportError::CutOff)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};
    use tokio::sync::mpsc;

    use super::super::table::Cell;
    use super::*;

    async fn written(format: ExportFormat, batches: Vec<Batch>) -> Result<String, ExportError> {
        let (rows, taken) = mpsc::channel(10);
        for batch in batches {
            rows.send(batch).await.unwrap();
        }
        drop(rows);
        let (pieces, mut bytes) = mpsc::channel(10);
        let count = Arc::new(AtomicU64::new(0));
        text(format, &["a", "b"], taken, pieces, count).await?;
        let mut all = Vec::new();
        while let Some(piece) = bytes.recv().await {
            all.extend_from_slice(&piece?);
        }
        Ok(String::from_utf8(all).unwrap())
    }

    fn rows() -> Vec<Batch> {
        let mut attributes = Map::new();
        attributes.insert("x".into(), json!("=1+1"));
        vec![
            Batch::Rows(vec![vec![Cell::text("=1+1"), Cell::Number(-5.0)]]),
            Batch::Rows(Vec::new()),
            Batch::Rows(vec![
                vec![Cell::text("a \"b\", c\nd"), Cell::Empty],
                vec![Cell::Object(attributes), Cell::Flag(true)],
                vec![Cell::Number(f64::NAN), Cell::Whole(7)],
            ]),
            Batch::End,
        ]
    }

    #[tokio::test]
    async fn each_format_says_the_same_rows() {
        let csv = written(ExportFormat::Csv, rows()).await.unwrap();
        assert_eq!(
            csv,
            "a,b\r\n'=1+1,-5\r\n\"a \"\"b\"\", c\nd\",\r\n\"{\"\"x\"\":\"\"=1+1\"\"}\",true\r\n,7\r\n"
        );
        let json = written(ExportFormat::Json, rows()).await.unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            parsed,
            json!([
                {"a": "=1+1", "b": -5.0}, {"a": "a \"b\", c\nd", "b": null}, {"a": {"x": "=1+1"}, "b": true},
                {"a": null, "b": 7},
            ])
        );
        let lines = written(ExportFormat::Ndjson, rows()).await.unwrap();
        assert_eq!(lines.lines().count(), 4);
        assert_eq!(lines.lines().next().unwrap(), r#"{"a":"=1+1","b":-5.0}"#, "columns keep their order");
    }

    #[tokio::test]
    async fn no_rows_make_a_file_without_rows() {
        assert_eq!(written(ExportFormat::Csv, vec![Batch::End]).await.unwrap(), "a,b\r\n");
        assert_eq!(written(ExportFormat::Json, vec![Batch::End]).await.unwrap(), "[]\n");
        assert_eq!(written(ExportFormat::Ndjson, vec![Batch::End]).await.unwrap(), "");
    }

    #[tokio::test]
    async fn rows_that_break_off_make_no_file() {
        for format in [ExportFormat::Csv, ExportFormat::Json, ExportFormat::Ndjson] {
            let mut batches = rows();
            batches.pop();
            assert!(matches!(written(format, batches).await, Err(ExportError::CutOff)));
        }
    }
}
