//! What an upload says of a thing, whatever the thing is: values over time, ready to be kept.

use std::io::Read;

use bulrush_store::{EntityKind, Observation};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::table::NotATable;
use super::{demand, price_history, traffic};

/// What an upload is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subject {
    /// A property's prices.
    #[default]
    Property,
    /// A product's demand.
    Product,
    /// A publisher's traffic.
    Publisher,
}

impl Subject {
    /// All of them, with their names on the wire.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Property, "property"), (Self::Product, "product"), (Self::Publisher, "publisher")];

    /// What it is in the store.
    pub fn kind(self) -> EntityKind {
        match self {
            Self::Property => EntityKind::Property,
            Self::Product => EntityKind::Product,
            Self::Publisher => EntityKind::Publisher,
        }
    }

    /// The field that names it.
    pub fn id_field(self) -> &'static str {
        match self {
            Self::Property => "propertyId",
            Self::Product => "productId",
            Self::Publisher => "publisherId",
        }
    }

    /// What its file is called in messages.
    pub fn table(self) -> &'static str {
        match self {
            Self::Property => "a price history",
            Self::Product => "a product's demand",
            Self::Publisher => "a publisher's traffic",
        }
    }
}

/// Values by day.
#[derive(Debug, Clone, PartialEq)]
pub struct Dated<const N: usize> {
    /// In order.
    pub days: Vec<(Date, [Option<f64>; N])>,
    /// The metrics that the file has.
    pub metrics: Vec<&'static str>,
    /// Headers that mean nothing here.
    pub ignored: Vec<String>,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Rows of the file, the header not counted.
    pub rows: usize,
    /// The first day, on the thing's clock.
    pub first_day: Option<Date>,
    /// The last one.
    pub last_day: Option<Date>,
    /// The metrics that the file has.
    pub metrics: Vec<&'static str>,
    /// Headers that mean nothing here.
    pub ignored: Vec<String>,
    /// All values.
    pub observations: Vec<Observation>,
}

/// Reads a file about a thing whose clock is that of `zone`.
///
/// # Errors
/// What is wrong with it, with the rows.
pub fn parse(subject: Subject, source: impl Read, zone: &TimeZone) -> Result<Series, NotATable> {
    match subject {
        Subject::Property => {
            let history = price_history::parse(source)?;
            let days = history.days.iter();
            let days = days.map(|day| (day.day, [Some(day.price), day.occupancy, day.bookings])).collect();
            let dated = Dated { days, metrics: history.metrics, ignored: history.ignored };
            Ok(of_days(dated, ["price", "occupancy", "bookings"], zone))
        }
        Subject::Product => Ok(of_days(demand::parse(source)?, demand::METRICS, zone)),
        Subject::Publisher => {
            let traffic = traffic::parse(source, zone)?;
            let day_of = |row: Option<&(i64, _)>| {
                let at = Timestamp::from_millisecond(row?.0).ok()?;
                Some(zone.to_datetime(at).date())
            };
            Ok(Series {
                rows: traffic.rows.len(),
                first_day: day_of(traffic.rows.first()),
                last_day: day_of(traffic.rows.last()),
                observations: observations(traffic.rows.into_iter(), traffic::METRICS),
                metrics: traffic.metrics,
                ignored: traffic.ignored,
            })
        }
    }
}

/// Each value at the beginning of its day on the thing's clock.
fn of_days<const N: usize>(dated: Dated<N>, metrics: [&'static str; N], zone: &TimeZone) -> Series {
    let begin_ms = |day: Date| Some(bulrush_catalog::start_of_day(zone, day)?.as_millisecond());
    Series {
        rows: dated.days.len(),
        first_day: dated.days.first().map(|(day, _)| *day),
        last_day: dated.days.last().map(|(day, _)| *day),
        // The years of a table are such that each of its days has a beginning.
        observations: observations(
            dated.days.into_iter().filter_map(|(day, values)| Some((begin_ms(day)?, values))),
            metrics,
        ),
        metrics: dated.metrics,
        ignored: dated.ignored,
    }
}

fn observations<const N: usize>(
    rows: impl Iterator<Item = (i64, [Option<f64>; N])>,
    metrics: [&'static str; N],
) -> Vec<Observation> {
    rows.flat_map(|(ts_ms, values)| {
        metrics.into_iter().zip(values).filter_map(move |(metric, value)| {
            Some(Observation { metric: metric.to_owned(), ts_ms, value: value? })
        })
    })
    .collect()
}
