//! A table that comes as CSV: found out by its content, read with bounds, and told row by row where it is wrong.
//!
//! Columns are found by their headers, in any order; which there are is said by a type for each kind of table ([`Column`]).

use std::cell::Cell;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use csv::{ByteRecord, ReaderBuilder, Trim};
use jiff::civil::Date;
use serde::Serialize;

/// Bytes that are looked at to find out what the file is.
const HEAD_BYTES: usize = 8 << 10;
/// Longest row, bytes: an unclosed quote must not swallow the file into memory.
const ROW_BYTES_MAX: usize = 256 << 10;
/// What the CSV reader takes ahead of the row it is at.
const BUFFER_BYTES: usize = 64 << 10;
/// Most columns.
const COLUMNS_MAX: usize = 256;
/// Problems that are told; a file that is wrong throughout is told enough by a few.
pub const PROBLEMS_MAX: usize = 20;
/// Years that a table can be about.
pub const YEARS: std::ops::RangeInclusive<i16> = 1970..=2099;
/// Highest price, and most of what is counted in a day.
pub const AMOUNT_MAX: f64 = 1e9;

/// The columns of a kind of table.
pub trait Column: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// What it is called: the metric of its values, if it has some.
    fn name(self) -> &'static str;

    /// Headers that mean this column, without case, blanks, underscores, hyphens and what stands in parentheses.
    fn headers(self) -> &'static [&'static str];
}

/// Something wrong in one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowProblem {
    /// The row as a spreadsheet counts it: the header is 1. None for the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// The column's header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is wrong and what is accepted.
    pub reason: String,
}

/// A file that is not the table that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotATable {
    /// It is something else than text.
    #[error("the file is {0}, not CSV; save it as CSV in UTF-8")]
    OtherContent(&'static str),
    /// It is text, and wrong.
    #[error("the file has rows that are wrong")]
    Malformed(Vec<RowProblem>),
    /// It could not be read.
    #[error("the file could not be read")]
    Unreadable,
}

/// Reads a table; `begin` looks at its header, and `each` takes a row, whose problems it notes there. A row of another length than the
/// header, and one without anything in it, are not shown to it. Ends after a few problems.
///
/// # Errors
/// What is wrong with it, with the rows.
pub fn read<C: Column>(
    mut source: impl Read,
    begin: impl FnOnce(&Layout<C>) -> Result<(), NotATable>,
    mut each: impl FnMut(&mut Row<'_, C>) -> Result<(), NotATable>,
) -> Result<Layout<C>, NotATable> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    source.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|_| NotATable::Unreadable)?;
    let head = check_content(head)?;
    let delimiter = delimiter_of(&head);
    let budget = Rc::new(Cell::new(ROW_BYTES_MAX));
    let source = Budgeted { inner: Cursor::new(head).chain(source), left: budget.clone() };
    let mut rows = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .trim(Trim::All)
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(source);
    let mut problems = Vec::new();
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord, row: u64| {
        budget.set(ROW_BYTES_MAX + BUFFER_BYTES);
        rows.read_byte_record(record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                whole(Some(row), format!("is longer than {} KiB; is a quote left open?", ROW_BYTES_MAX >> 10))
            }
            csv::ErrorKind::Io(_) => NotATable::Unreadable,
            _ => whole(Some(row), "cannot be read as CSV"),
        })
    };
    if !next(&mut record, 1)? {
        return Err(whole(None, "the file is empty"));
    }
    let layout = Layout::of(&record, delimiter)?;
    begin(&layout)?;
    let (mut number, mut is_empty) = (1, true);
    while next(&mut record, number + 1)? {
        number += 1;
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        is_empty = false;
        if record.len() == layout.headers.len() {
            each(&mut Row { number, record: &record, layout: &layout, problems: &mut problems })?;
        } else {
            let reason = format!("has {} columns and the header has {}", record.len(), layout.headers.len());
            problems.push(RowProblem { row: Some(number), column: None, reason });
        }
        if problems.len() >= PROBLEMS_MAX {
            break;
        }
    }
    if !problems.is_empty() {
        return Err(NotATable::Malformed(problems));
    }
    if is_empty {
        return Err(whole(None, "the file has a header and no rows"));
    }
    Ok(layout)
}

/// A problem of the file as a whole, or of one row as a whole.
pub fn whole(row: Option<u64>, reason: impl Into<String>) -> NotATable {
    NotATable::Malformed(vec![RowProblem { row, column: None, reason: reason.into() }])
}

/// Refuses what is no UTF-8 text by its first bytes; returns them without a byte order mark.
fn check_content(mut head: Vec<u8>) -> Result<Vec<u8>, NotATable> {
    let magic: [(&[u8], &str); 9] = [
        (b"\x7fELF", "a program"),
        (b"MZ", "a program"),
        (b"PK\x03\x04", "an Excel workbook or another archive"),
        (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
        (b"%PDF", "a PDF document"),
        (b"\x89PNG", "a picture"),
        (b"GIF8", "a picture"),
        (b"\xff\xd8\xff", "a picture"),
        (b"\x1f\x8b", "compressed"),
    ];
    // `MZ` could begin a header of text; a program has a NUL soon after.
    let has_nul = head.contains(&0);
    if let Some((_, what)) =
        magic.iter().find(|(mark, _)| head.starts_with(mark) && (*mark != b"MZ" || has_nul))
    {
        return Err(NotATable::OtherContent(what));
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err(whole(None, "the file is UTF-16; save it as UTF-8"));
    }
    if head.starts_with(b"\xef\xbb\xbf") {
        head.drain(..3);
    }
    if has_nul {
        return Err(NotATable::OtherContent("binary"));
    }
    if head.iter().all(u8::is_ascii_whitespace) {
        return Err(whole(None, "the file is empty"));
    }
    Ok(head)
}

/// The delimiter that the first line has most of.
fn delimiter_of(head: &[u8]) -> u8 {
    let line = head.split(|b| matches!(b, b'\n' | b'\r')).find(|line| !line.is_empty()).unwrap_or_default();
    let count = |delimiter: u8| line.split(|b| *b == delimiter).count();
    // Of equals the last one counts, so the comma stands last.
    [b'\t', b';', b','].into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

/// Which column is where.
pub struct Layout<C> {
    headers: Vec<String>,
    places: Vec<(C, usize)>,
    /// A file that separates columns by semicolons may write numbers with commas.
    decimal_comma: bool,
}

impl<C: Column> Layout<C> {
    fn of(record: &ByteRecord, delimiter: u8) -> Result<Self, NotATable> {
        if record.len() > COLUMNS_MAX {
            return Err(whole(Some(1), format!("has {} columns; {COLUMNS_MAX} are accepted", record.len())));
        }
        let mut headers = Vec::with_capacity(record.len());
        for field in record {
            let text = std::str::from_utf8(field)
                .map_err(|_| whole(Some(1), "is not UTF-8 text; save the file as UTF-8"))?;
            headers.push(text.chars().filter(|c| !c.is_control()).take(64).collect::<String>());
        }
        let mut places: Vec<(C, usize)> = Vec::new();
        for (place, header) in headers.iter().enumerate() {
            let key = header_key(header);
            let means = |column: &&C| column.headers().contains(&key.as_str());
            let Some(column) = C::ALL.iter().find(means).copied() else { continue };
            if let Some((_, first)) = places.iter().find(|(known, _)| *known == column) {
                let reason = format!(
                    "means the same as the column {:?}; keep one of them",
                    headers.get(*first).map(String::as_str).unwrap_or_default()
                );
                let problem = RowProblem { row: Some(1), column: Some(header.clone()), reason };
                return Err(NotATable::Malformed(vec![problem]));
            }
            places.push((column, place));
        }
        Ok(Self { headers, places, decimal_comma: delimiter == b';' })
    }

    /// Whether the table has a column.
    pub fn has(&self, column: C) -> bool {
        self.place(column).is_some()
    }

    /// Refuses a table that lacks one of these columns.
    pub fn need(&self, columns: &[C]) -> Result<(), NotATable> {
        let missing: Vec<&str> =
            columns.iter().filter(|column| !self.has(**column)).map(|column| column.name()).collect();
        if missing.is_empty() { Ok(()) } else { Err(self.lacks(&missing.join(" and "))) }
    }

    /// What is said of a table that has no column for `what`.
    pub fn lacks(&self, what: &str) -> NotATable {
        let found =
            self.headers.iter().take(20).map(|header| format!("{header:?}")).collect::<Vec<_>>().join(", ");
        whole(Some(1), format!("the header has no column for {what}; its columns are {found}"))
    }

    /// Headers that mean nothing here.
    pub fn ignored(&self) -> Vec<String> {
        let is_used = |place: usize| self.places.iter().any(|(_, used)| *used == place);
        let unused = self.headers.iter().enumerate().filter(|(place, _)| !is_used(*place));
        unused.map(|(_, header)| header.clone()).collect()
    }

    fn place(&self, column: C) -> Option<usize> {
        self.places.iter().find_map(|(known, place)| (*known == column).then_some(*place))
    }

    fn header(&self, column: C) -> String {
        self.place(column).and_then(|place| self.headers.get(place)).cloned().unwrap_or_default()
    }
}

/// A row that is as long as the header.
pub struct Row<'t, C> {
    /// The row as a spreadsheet counts it: the header is 1.
    pub number: u64,
    record: &'t ByteRecord,
    layout: &'t Layout<C>,
    problems: &'t mut Vec<RowProblem>,
}

impl<'t, C: Column> Row<'t, C> {
    /// Notes what is wrong in a column.
    pub fn problem(&mut self, column: C, reason: impl Into<String>) {
        let column = Some(self.layout.header(column));
        self.problems.push(RowProblem { row: Some(self.number), column, reason: reason.into() });
    }

    /// A cell; none where the table has no such column, or the cell is no text.
    pub fn text(&mut self, column: C) -> Option<&'t str> {
        let field = self.record.get(self.layout.place(column)?)?;
        let text = std::str::from_utf8(field).ok();
        if text.is_none() {
            self.problem(column, "is not UTF-8 text; save the file as UTF-8");
        }
        text
    }

    /// A day that must be there.
    pub fn day(&mut self, column: C) -> Option<Date> {
        let text = self.text(column)?;
        let day = parse_day(text);
        if day.is_none() {
            self.problem(column, format!("{:?} is not a day; write it as 2024-12-31", shown(text)));
        }
        day
    }

    /// A number from 0 to `max`; none where the cell is empty.
    pub fn amount(&mut self, column: C, max: f64) -> Option<f64> {
        let text = self.text(column).filter(|text| !text.is_empty())?;
        match parse_amount(text, self.layout.decimal_comma) {
            Some(amount) if (0.0..=max).contains(&amount) => Some(amount),
            Some(_) => {
                let reason = format!("{:?} is out of range; 0 to {max} is accepted", shown(text));
                self.problem(column, reason);
                None
            }
            None => {
                self.problem(column, format!("{:?} is not a number; write it as 1234.50", shown(text)));
                None
            }
        }
    }

    /// The same, where something must be.
    pub fn amount_of_each(&mut self, column: C, max: f64, reason: &str) -> Option<f64> {
        if self.text(column)?.is_empty() {
            self.problem(column, reason);
            return None;
        }
        self.amount(column, max)
    }
}

/// The start of a cell, for a message.
pub fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn header_key(header: &str) -> String {
    let plain = header.split('(').next().unwrap_or_default();
    plain
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// `2024-12-31`, `2024/12/31` or `31.12.2024`, perhaps with a time of day behind it. Forms that are read differently in different
/// countries (`01/02/2024`) are not guessed.
pub fn parse_day(text: &str) -> Option<Date> {
    let (text, rest) = text.split_at(text.find(['T', ' ']).unwrap_or(text.len()));
    let is_time = |c: char| c.is_ascii_digit() || matches!(c, 'T' | ' ' | ':' | '.' | 'Z' | '+' | '-');
    if !rest.chars().all(is_time) {
        return None;
    }
    let parts =
        |separator: char| -> Option<[&str; 3]> { text.split(separator).collect::<Vec<_>>().try_into().ok() };
    let [year, month, day] = parts('-')
        .or_else(|| parts('/'))
        .or_else(|| parts('.').map(|[day, month, year]| [year, month, day]))?;
    let digits = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !digits(year, 4..=4) || !digits(month, 1..=2) || !digits(day, 1..=2) {
        return None;
    }
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    YEARS.contains(&date.year()).then_some(date)
}

/// A plain number, perhaps with a currency's sign before or a percent sign behind it.
fn parse_amount(text: &str, decimal_comma: bool) -> Option<f64> {
    let text = text.trim_start_matches(['€', '$', '£']).trim_end_matches(['%', '€', '$', '£']).trim();
    let text = if decimal_comma && !text.contains('.') { text.replace(',', ".") } else { text.to_owned() };
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    if plain { text.parse().ok().filter(|number: &f64| number.is_finite()) } else { None }
}

/// A reader that gives no more than is left for one row.
struct Budgeted<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the row is too long"));
        }
        let most = buffer.len().min(self.left.get());
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - read);
        Ok(read)
    }
}
