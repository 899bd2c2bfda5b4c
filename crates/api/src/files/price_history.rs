//! A property's price history as CSV: found out by its content, read with bounds, and told row by row where it is wrong.
//!
//! Columns are found by their headers, in any order: a date and a price are needed, occupancy and bookings are taken where they are.
//! A day stands once, so a history has at most as many rows as the calendar has days and fits in memory whatever the file's size.

use std::cell::Cell;
use std::collections::HashMap;
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
const PROBLEMS_MAX: usize = 20;
/// Years that a price history can be about.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2099;
/// Highest price and most bookings of a day.
const AMOUNT_MAX: f64 = 1e9;

/// One day.
#[derive(Debug, Clone, PartialEq)]
pub struct PricedDay {
    pub day: Date,
    pub price: f64,
    /// 0 to 1.
    pub occupancy: Option<f64>,
    pub bookings: Option<f64>,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceHistory {
    /// By day.
    pub days: Vec<PricedDay>,
    /// The metrics that it has.
    pub metrics: Vec<&'static str>,
    /// Headers that mean nothing here.
    pub ignored: Vec<String>,
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

/// A file that is no price history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPriceHistory {
    /// It is something else than text.
    #[error("the file is {0}, not CSV; save it as CSV in UTF-8")]
    OtherContent(&'static str),
    /// It is text, and wrong.
    #[error("the file is not a price history")]
    Malformed(Vec<RowProblem>),
    /// It could not be read.
    #[error("the file could not be read")]
    Unreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Column {
    Date,
    Price,
    Occupancy,
    Bookings,
}

impl Column {
    const ALL: [Self; 4] = [Self::Date, Self::Price, Self::Occupancy, Self::Bookings];

    fn metric(self) -> Option<&'static str> {
        match self {
            Self::Date => None,
            Self::Price => Some("price"),
            Self::Occupancy => Some("occupancy"),
            Self::Bookings => Some("bookings"),
        }
    }

    /// Headers that mean this column, without case, blanks, underscores, hyphens and what stands in parentheses.
    fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Date => &[
                "date",
                "day",
                "staydate",
                "checkin",
                "checkindate",
                "arrivaldate",
                "nightof",
                "datum",
                "ds",
            ],
            Self::Price => &[
                "price",
                "rate",
                "roomrate",
                "nightlyrate",
                "dailyrate",
                "adr",
                "avgprice",
                "averageprice",
                "pricepernight",
                "baseprice",
                "preis",
            ],
            Self::Occupancy => {
                &["occupancy", "occ", "occupancyrate", "occupancypercent", "occupancypct", "occupancy%"]
            }
            Self::Bookings => {
                &["bookings", "booked", "reservations", "roomssold", "roomnights", "numbookings"]
            }
        }
    }
}

/// Reads a price history.
///
/// # Errors
/// What is wrong with it, with the rows.
pub fn parse(mut source: impl Read) -> Result<PriceHistory, NotAPriceHistory> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    source
        .by_ref()
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(|_| NotAPriceHistory::Unreadable)?;
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
    let mut problems = Problems::default();
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord, row: u64| {
        budget.set(ROW_BYTES_MAX + BUFFER_BYTES);
        rows.read_byte_record(record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                whole(Some(row), format!("is longer than {} KiB; is a quote left open?", ROW_BYTES_MAX >> 10))
            }
            csv::ErrorKind::Io(_) => NotAPriceHistory::Unreadable,
            _ => whole(Some(row), "cannot be read as CSV"),
        })
    };
    if !next(&mut record, 1)? {
        return Err(whole(None, "the file is empty"));
    }
    let layout = Layout::of(&record, delimiter)?;
    let mut days: Vec<PricedDay> = Vec::new();
    let mut rows_by_day: HashMap<Date, u64> = HashMap::new();
    let mut row = 1;
    while next(&mut record, row + 1)? {
        row += 1;
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        if let Some(day) = layout.read(&record, row, &mut problems) {
            match rows_by_day.insert(day.day, row) {
                None => days.push(day),
                Some(first) => problems.add(
                    row,
                    &layout.header(Column::Date),
                    format!("is the day of row {first} again; give each day once"),
                ),
            }
        }
        if problems.0.len() >= PROBLEMS_MAX {
            break;
        }
    }
    if !problems.0.is_empty() {
        return Err(NotAPriceHistory::Malformed(problems.0));
    }
    if days.is_empty() {
        return Err(whole(None, "the file has a header and no rows"));
    }
    Ok(layout.finish(days))
}

fn whole(row: Option<u64>, reason: impl Into<String>) -> NotAPriceHistory {
    NotAPriceHistory::Malformed(vec![RowProblem { row, column: None, reason: reason.into() }])
}

#[derive(Default)]
struct Problems(Vec<RowProblem>);

impl Problems {
    fn add(&mut self, row: u64, column: &str, reason: impl Into<String>) {
        self.0.push(RowProblem { row: Some(row), column: Some(column.to_owned()), reason: reason.into() });
    }
}

/// Refuses what is no UTF-8 text by its first bytes; returns them without a byte order mark.
fn check_content(mut head: Vec<u8>) -> Result<Vec<u8>, NotAPriceHistory> {
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
        return Err(NotAPriceHistory::OtherContent(what));
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err(whole(None, "the file is UTF-16; save it as UTF-8"));
    }
    if head.starts_with(b"\xef\xbb\xbf") {
        head.drain(..3);
    }
    if has_nul {
        return Err(NotAPriceHistory::OtherContent("binary"));
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
struct Layout {
    headers: Vec<String>,
    places: HashMap<Column, usize>,
    /// A file that separates columns by semicolons may write numbers with commas.
    decimal_comma: bool,
}

impl Layout {
    fn of(record: &ByteRecord, delimiter: u8) -> Result<Self, NotAPriceHistory> {
        if record.len() > COLUMNS_MAX {
            return Err(whole(Some(1), format!("has {} columns; {COLUMNS_MAX} are accepted", record.len())));
        }
        let mut headers = Vec::with_capacity(record.len());
        for field in record {
            let text = std::str::from_utf8(field)
                .map_err(|_| whole(Some(1), "is not UTF-8 text; save the file as UTF-8"))?;
            headers.push(text.chars().filter(|c| !c.is_control()).take(64).collect::<String>());
        }
        let mut places = HashMap::new();
        for (place, header) in headers.iter().enumerate() {
            let key = header_key(header);
            let Some(column) =
                Column::ALL.into_iter().find(|column| column.headers().contains(&key.as_str()))
            else {
                continue;
            };
            if let Some(first) = places.insert(column, place) {
                let reason = format!(
                    "means the same as the column {:?}; keep one of them",
                    headers.get(first).map(String::as_str).unwrap_or_default()
                );
                let problem = RowProblem { row: Some(1), column: Some(header.clone()), reason };
                return Err(NotAPriceHistory::Malformed(vec![problem]));
            }
        }
        let missing: Vec<&str> = [(Column::Date, "date"), (Column::Price, "price")]
            .into_iter()
            .filter(|(column, _)| !places.contains_key(column))
            .map(|(_, name)| name)
            .collect();
        if !missing.is_empty() {
            let found =
                headers.iter().take(20).map(|header| format!("{header:?}")).collect::<Vec<_>>().join(", ");
            return Err(whole(
                Some(1),
                format!("the header has no column for {}; its columns are {found}", missing.join(" and ")),
            ));
        }
        Ok(Self { headers, places, decimal_comma: delimiter != b',' })
    }

    fn header(&self, column: Column) -> String {
        self.places.get(&column).and_then(|place| self.headers.get(*place)).cloned().unwrap_or_default()
    }

    fn read(&self, record: &ByteRecord, row: u64, problems: &mut Problems) -> Option<PricedDay> {
        if record.len() != self.headers.len() {
            problems.0.push(RowProblem {
                row: Some(row),
                column: None,
                reason: format!("has {} columns and the header has {}", record.len(), self.headers.len()),
            });
            return None;
        }
        let mut cell = |column: Column| -> Option<&str> {
            let field = record.get(*self.places.get(&column)?)?;
            let text = std::str::from_utf8(field).ok();
            if text.is_none() {
                problems.add(row, &self.header(column), "is not UTF-8 text; save the file as UTF-8");
            }
            text
        };
        let (date, price) = (cell(Column::Date), cell(Column::Price));
        let (occupancy, bookings) = (cell(Column::Occupancy), cell(Column::Bookings));
        let day = date.and_then(|text| {
            let day = parse_day(text);
            if day.is_none() {
                let reason = format!("{:?} is not a day; write it as 2024-12-31", shown(text));
                problems.add(row, &self.header(Column::Date), reason);
            }
            day
        });
        let mut amount = |column: Column, text: Option<&str>, max: f64| -> Option<f64> {
            let text = text.filter(|text| !text.is_empty())?;
            match parse_amount(text, self.decimal_comma) {
                Some(amount) if (0.0..=max).contains(&amount) => Some(amount),
                Some(_) => {
                    let reason = format!("{:?} is out of range; 0 to {max} is accepted", shown(text));
                    problems.add(row, &self.header(column), reason);
                    None
                }
                None => {
                    let reason = format!("{:?} is not a number; write it as 1234.50", shown(text));
                    problems.add(row, &self.header(column), reason);
                    None
                }
            }
        };
        let priced = amount(Column::Price, price, AMOUNT_MAX);
        let occupancy = amount(Column::Occupancy, occupancy, 100.0);
        let bookings = amount(Column::Bookings, bookings, AMOUNT_MAX);
        if price.is_some_and(str::is_empty) {
            problems.add(row, &self.header(Column::Price), "is empty; every day needs a price");
        }
        Some(PricedDay { day: day?, price: priced?, occupancy, bookings })
    }

    fn finish(&self, mut days: Vec<PricedDay>) -> PriceHistory {
        days.sort_by_key(|day| day.day);
        // Occupancy comes as a fraction or in percent; one value above 1 tells which for the whole column.
        if days.iter().filter_map(|day| day.occupancy).any(|occupancy| occupancy > 1.0) {
            for occupancy in days.iter_mut().filter_map(|day| day.occupancy.as_mut()) {
                *occupancy /= 100.0;
            }
        }
        let used: Vec<usize> = self.places.values().copied().collect();
        let ignored = self.headers.iter().enumerate().filter(|(place, _)| !used.contains(place));
        PriceHistory {
            days,
            metrics: Column::ALL
                .into_iter()
                .filter(|column| self.places.contains_key(column))
                .filter_map(Column::metric)
                .collect(),
            ignored: ignored.map(|(_, header)| header.clone()).collect(),
        }
    }
}

/// The start of a cell, for a message.
fn shown(text: &str) -> String {
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
fn parse_day(text: &str) -> Option<Date> {
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

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn rows(text: &str) -> Vec<(Option<u64>, Option<String>, String)> {
        match parse(text.as_bytes()) {
            Err(NotAPriceHistory::Malformed(problems)) => {
                problems.into_iter().map(|p| (p.row, p.column, p.reason)).collect()
            }
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    #[test]
    fn columns_are_found_by_their_headers_in_any_order() {
        let text = "Room Rate (EUR),Note,Stay-Date,Occupancy %,Rooms Sold\r\n€129.00,x,2024-01-02,85,17\r\n99.5,,2024-01-01T00:00:00Z,70%,\r\n";
        let history = parse(text.as_bytes()).unwrap();
        assert_eq!(history.metrics, ["price", "occupancy", "bookings"]);
        assert_eq!(history.ignored, ["Note"]);
        assert_eq!(
            history.days,
            [
                PricedDay { day: date(2024, 1, 1), price: 99.5, occupancy: Some(0.7), bookings: None },
                PricedDay {
                    day: date(2024, 1, 2),
                    price: 129.0,
                    occupancy: Some(0.85),
                    bookings: Some(17.0)
                },
            ]
        );
    }

    #[test]
    fn other_delimiters_line_ends_and_ways_to_write_a_day_are_understood() {
        for text in [
            "date;price\n31.12.2024;129,50\n",
            "\u{feff}date\tprice\r\n2024/12/31\t129.50",
            "date,price\r2024-12-31,129.50\r",
            "\"date\",\"price\"\n\n\"2024-12-31\",\"129.50\"\n\n",
            "day,adr,x\n2024-12-31 08:00:00+01:00,$129.50,a\n",
        ] {
            let history = parse(text.as_bytes()).unwrap();
            assert_eq!((history.days[0].day, history.days[0].price), (date(2024, 12, 31), 129.5), "{text:?}");
        }
        let fractions = parse("date,price,occ\n2024-01-01,1,0.5\n2024-01-02,1,1\n".as_bytes()).unwrap();
        assert_eq!(
            fractions.days.iter().map(|day| day.occupancy).collect::<Vec<_>>(),
            [Some(0.5), Some(1.0)]
        );
    }

    #[test]
    fn every_bad_row_is_named_with_its_column_and_reason() {
        let found = rows(
            "date,price,occupancy\n2024-01-01,abc,5\n01/02/2024,100,5\n2024-01-03,100\n2024-01-04,,5\n2024-01-05,-1,5\n\
             2024-01-06,100,101\n2024-02-30,100,5\n2024-01-08,1e999,5\n2024-01-08,NaN,5\n",
        );
        let places: Vec<_> = found.iter().map(|(row, column, _)| (row.unwrap(), column.as_deref())).collect();
        assert_eq!(
            places,
            [
                (2, Some("price")),
                (3, Some("date")),
                (4, None),
                (5, Some("price")),
                (6, Some("price")),
                (7, Some("occupancy")),
                (8, Some("date")),
                (9, Some("price")),
                (10, Some("price")),
            ]
        );
        assert!(found[0].2.contains("\"abc\" is not a number"), "{:?}", found[0]);
        assert!(found[2].2.contains("2 columns and the header has 3"), "{:?}", found[2]);
    }

    #[test]
    fn a_day_that_stands_twice_is_told_with_both_rows() {
        let found = rows("date,price\n2024-01-01,1\n2024-01-02,1\n01.01.2024,2\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].0 == Some(4) && found[0].2.contains("row 2"), "{found:?}");
    }

    #[test]
    fn a_header_without_what_is_needed_says_what_it_has() {
        let found = rows("when,cost\n2024-01-01,1\n");
        assert!(found[0].2.contains("date and price") && found[0].2.contains("\"when\""), "{found:?}");
        assert!(rows("date,price,rate\n")[0].2.contains("\"price\""));
        assert!(rows("date,price\n")[0].2.contains("no rows"));
        for empty in ["", "\n\n", "   ", "\u{feff}"] {
            assert!(rows(empty)[0].2.contains("empty"), "{empty:?}");
        }
    }

    #[test]
    fn what_is_no_csv_is_told_by_its_content() {
        let contents: [&[u8]; 6] = [
            b"\x7fELF\x02\x01",
            b"PK\x03\x04rest",
            b"%PDF-1.7",
            b"\x89PNG\r\n",
            b"\x1f\x8b\x08",
            b"date,price\n\0\0",
        ];
        for content in contents {
            assert!(matches!(parse(content), Err(NotAPriceHistory::OtherContent(_))), "{content:?}");
        }
        assert!(matches!(parse(&b"\xff\xfed\0a\0"[..]), Err(NotAPriceHistory::Malformed(_))));
        assert!(matches!(parse(&b"date,price\n2024-01-01,\xe9\n"[..]), Err(NotAPriceHistory::Malformed(_))));
    }

    #[test]
    fn hostile_shapes_are_cut_off_with_a_bound() {
        let open_quote = format!("date,price\n2024-01-01,\"{}", "x".repeat(3 << 20));
        assert!(rows(&open_quote)[0].2.contains("quote left open"));
        let wide = format!("{}\n", "a,".repeat(1_000_000));
        assert!(!rows(&wide).is_empty());
        let many = format!("date,price\n{}", "x,y\n".repeat(1_000_000));
        assert!((PROBLEMS_MAX..PROBLEMS_MAX + 4).contains(&rows(&many).len()));
        assert!(matches!(parse(Broken), Err(NotAPriceHistory::Unreadable)));
    }

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
}
