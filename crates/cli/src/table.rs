//! Tables for people.

use comfy_table::{CellAlignment, Table};
use comfy_table::{LineStyle, TableStyle};

/// A line under the header and none between rows, so that many rows stay readable.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// An empty table with a header; numbers stand at the right in the columns named.
pub fn table<const N: usize>(header: [&str; N], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(header);
    for column in numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
