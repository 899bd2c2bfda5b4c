//! A product's demand: a row for each day, week or month, with how much was asked for; price, stock and returns are taken where they are.
//!
//! A day stands once, so a history has at most as many rows as the calendar has days and fits in memory whatever the file's size.

use std::collections::HashMap;
use std::io::Read;

use jiff::civil::Date;

use super::series::Dated;
use super::table::{self, AMOUNT_MAX, NotATable};

/// What a file says: by day, the values of [`METRICS`].
pub type Demand = Dated<4>;

/// The metrics, in the order of the values.
pub const METRICS: [&str; 4] = ["demand", "price", "stock", "returns"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Date,
    Demand,
    Price,
    Stock,
    Returns,
}

impl table::Column for Column {
    const ALL: &'static [Self] = &[Self::Date, Self::Demand, Self::Price, Self::Stock, Self::Returns];

    fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Demand => "demand",
            Self::Price => "price",
            Self::Stock => "stock",
            Self::Returns => "returns",
        }
    }

    fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Date => {
                &["date", "day", "week", "month", "period", "salesdate", "orderdate", "datum", "ds"]
            }
            Self::Demand => {
                &["demand", "units", "unitssold", "sales", "quantity", "qty", "sold", "orders", "absatz", "y"]
            }
            Self::Price => &["price", "unitprice", "averageprice", "avgprice", "preis"],
            Self::Stock => &["stock", "onhand", "inventory", "stocklevel", "bestand"],
            Self::Returns => &["returns", "returned", "unitsreturned", "refunds"],
        }
    }
}

/// Reads a product's demand.
///
/// # Errors
/// What is wrong with it, with the rows.
pub fn parse(source: impl Read) -> Result<Demand, NotATable> {
    let mut days: Vec<(Date, [Option<f64>; 4])> = Vec::new();
    let mut rows_by_day: HashMap<Date, u64> = HashMap::new();
    let layout = table::read(
        source,
        |layout| layout.need(&[Column::Date, Column::Demand]),
        |row| {
            let day = row.day(Column::Date);
            let reason = "is empty; write 0 where nothing was asked for, and leave out what is not known";
            let demand = row.amount_of_each(Column::Demand, AMOUNT_MAX, reason);
            let others = [Column::Price, Column::Stock, Column::Returns];
            let [price, stock, returns] = others.map(|column| row.amount(column, AMOUNT_MAX));
            let (Some(day), Some(_)) = (day, demand) else { return Ok(()) };
            match rows_by_day.insert(day, row.number) {
                None => days.push((day, [demand, price, stock, returns])),
                Some(first) => {
                    row.problem(Column::Date, format!("is the day of row {first} again; give each day once"));
                }
            }
            Ok(())
        },
    )?;
    days.sort_by_key(|(day, _)| *day);
    let columns = [Column::Demand, Column::Price, Column::Stock, Column::Returns];
    let metrics = columns.into_iter().filter(|column| layout.has(*column));
    Ok(Demand { days, metrics: metrics.map(table::Column::name).collect(), ignored: layout.ignored() })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn demand_is_found_by_what_people_call_it() {
        for header in ["demand", "Units", "sales", "Quantity", "sold", "Orders", "units_sold"] {
            let text = format!("Date,{header},On hand,note\n2024-01-02,7,100,x\n2024-01-01,0,,\n");
            let found = parse(text.as_bytes()).unwrap();
            assert_eq!(
                (found.metrics.as_slice(), found.ignored.as_slice()),
                (&["demand", "stock"][..], &["note".to_owned()][..]),
                "{header}"
            );
            assert_eq!(
                found.days,
                [
                    (date(2024, 1, 1), [Some(0.0), None, None, None]),
                    (date(2024, 1, 2), [Some(7.0), None, Some(100.0), None]),
                ]
            );
        }
    }

    #[test]
    fn rows_that_are_no_demand_are_named() {
        let text = "date,units,price\n2024-01-01,,5\n2024-01-02,-1,5\n2024-01-03,x,5\n2024-01-04,1,1e12\n2024-13-01,1,1\n\
                    2024-01-05,1,\n2024-01-05,2,\n";
        let Err(NotATable::Malformed(problems)) = parse(text.as_bytes()) else { panic!("it is taken") };
        let places: Vec<_> =
            problems.iter().map(|p| (p.row.unwrap(), p.column.as_deref().unwrap())).collect();
        assert_eq!(
            places,
            [(2, "units"), (3, "units"), (4, "units"), (5, "price"), (6, "date"), (8, "date")]
        );
        let Err(NotATable::Malformed(problems)) = parse(&b"date,price\n2024-01-01,1\n"[..]) else {
            panic!("it is taken")
        };
        assert!(problems[0].reason.contains("no column for demand"), "{problems:?}");
        let twice = parse(&b"date,units,sales\n2024-01-01,1,1\n"[..]);
        assert!(matches!(twice, Err(NotATable::Malformed(_))));
    }
}
