//! A property's price history: a row for each day, with a price; occupancy and bookings are taken where they are.
//!
//! A day stands once, so a history has at most as many rows as the calendar has days and fits in memory whatever the file's size.

use std::collections::HashMap;
use std::io::Read;

use jiff::civil::Date;

use super::table::{self, AMOUNT_MAX, NotATable};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Date,
    Price,
    Occupancy,
    Bookings,
}

impl table::Column for Column {
    const ALL: &'static [Self] = &[Self::Date, Self::Price, Self::Occupancy, Self::Bookings];

    fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Price => "price",
            Self::Occupancy => "occupancy",
            Self::Bookings => "bookings",
        }
    }

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
pub fn parse(source: impl Read) -> Result<PriceHistory, NotATable> {
    let mut days: Vec<PricedDay> = Vec::new();
    let mut rows_by_day: HashMap<Date, u64> = HashMap::new();
    let layout = table::read(
        source,
        |layout| layout.need(&[Column::Date, Column::Price]),
        |row| {
            let day = row.day(Column::Date);
            let price = row.amount_of_each(Column::Price, AMOUNT_MAX, "is empty; every day needs a price");
            let occupancy = row.amount(Column::Occupancy, 100.0);
            let bookings = row.amount(Column::Bookings, AMOUNT_MAX);
            let Some((day, price)) = day.zip(price) else { return Ok(()) };
            match rows_by_day.insert(day, row.number) {
                None => days.push(PricedDay { day, price, occupancy, bookings }),
                Some(first) => {
                    row.problem(Column::Date, format!("is the day of row {first} again; give each day once"));
                }
            }
            Ok(())
        },
    )?;
    days.sort_by_key(|day| day.day);
    // Occupancy comes as a fraction or in percent; one value above 1 tells which for the whole column.
    if days.iter().filter_map(|day| day.occupancy).any(|occupancy| occupancy > 1.0) {
        for occupancy in days.iter_mut().filter_map(|day| day.occupancy.as_mut()) {
            *occupancy /= 100.0;
        }
    }
    let metrics = [Column::Price, Column::Occupancy, Column::Bookings];
    let metrics = metrics.into_iter().filter(|column| layout.has(*column));
    Ok(PriceHistory { days, metrics: metrics.map(table::Column::name).collect(), ignored: layout.ignored() })
}

#[cfg(test)]
mod tests {
    use std::io;

    use jiff::civil::date;

    use super::super::table::PROBLEMS_MAX;
    use super::*;

    fn rows(text: &str) -> Vec<(Option<u64>, Option<String>, String)> {
        match parse(text.as_bytes()) {
            Err(NotATable::Malformed(problems)) => {
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
        // A thousand, or one and a quarter: whoever separates columns by tabs or commas has to say it with a point.
        assert!(parse("date\tprice\n2024-01-01\t1,234\n".as_bytes()).is_err());
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
            assert!(matches!(parse(content), Err(NotATable::OtherContent(_))), "{content:?}");
        }
        assert!(matches!(parse(&b"\xff\xfed\0a\0"[..]), Err(NotATable::Malformed(_))));
        assert!(matches!(parse(&b"date,price\n2024-01-01,\xe9\n"[..]), Err(NotATable::Malformed(_))));
    }

    #[test]
    fn hostile_shapes_are_cut_off_with_a_bound() {
        let open_quote = format!("date,price\n2024-01-01,\"{}", "x".repeat(3 << 20));
        assert!(rows(&open_quote)[0].2.contains("quote left open"));
        let wide = format!("{}\n", "a,".repeat(1_000_000));
        assert!(!rows(&wide).is_empty());
        let many = format!("date,price\n{}", "x,y\n".repeat(1_000_000));
        assert!((PROBLEMS_MAX..PROBLEMS_MAX + 4).contains(&rows(&many).len()));
        assert!(matches!(parse(Broken), Err(NotATable::Unreadable)));
    }

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
}
