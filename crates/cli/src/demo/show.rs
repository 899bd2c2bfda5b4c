//! What came of it, for people.

use jiff::civil::Date;

use super::client::{Comparison, Day, Forecast};
use super::{chart, forecast_chart};
use crate::table::table;

/// Days shown in the table: around the first public holiday of the summer, which has a bit of everything.
const TABLE_DAYS: usize = 9;
/// Rows of the chart of prices, and of the chart of rain.
const PRICE_ROWS: usize = 6;
const RAIN_ROWS: usize = 3;
/// Rows of the chart of the forecast, and days of the past that it shows.
const FORECAST_ROWS: usize = 12;
const PAST_DAYS: usize = 45;

/// What the enrichment added, in a few lines.
pub fn facts(days: &[Day]) -> String {
    let with_weather = days.iter().filter(|day| day.weather.temperature_max_c.is_some()).count();
    let holidays = days.iter().filter(|day| day.public_holiday.is_some()).count();
    let school = days.iter().filter(|day| day.school_holiday.is_some()).count();
    let long = days.iter().filter(|day| day.long_weekend).count();
    let wet = |day: &&Day| day.weather.precipitation_mm.is_some_and(|mm| mm >= 1.0);
    let dry = |day: &&Day| day.weather.precipitation_mm.is_some_and(|mm| mm < 1.0);
    format!(
        "{with_weather} days have weather, {holidays} are public holidays, {school} school holidays, {long} part of a long weekend.\n\
         Mean price on dry days {:.0}, on wet days {:.0}.",
        mean(days.iter().filter(dry).filter_map(price)),
        mean(days.iter().filter(wet).filter_map(price)),
    )
}

/// A few enriched days.
pub fn days_table(days: &[Day]) -> comfy_table::Table {
    let summer =
        days.iter().position(|day| day.public_holiday.is_some() && (6..=8).contains(&day.date.month()));
    let from = summer.unwrap_or(0).saturating_sub(TABLE_DAYS / 2);
    let header = [
        "day",
        "",
        "price",
        "low °C",
        "high °C",
        "rain mm",
        "days to holiday",
        "season",
        "public holiday",
        "long weekend",
    ];
    let mut table = table(header, 2..7);
    for day in days.iter().skip(from).take(TABLE_DAYS) {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.1}"));
        table.add_row([
            day.date.to_string(),
            weekday(day.date),
            price(day).map_or(String::new(), |price| format!("{price:.2}")),
            number(day.weather.temperature_min_c),
            number(day.weather.temperature_max_c),
            number(day.weather.precipitation_mm),
            day.days_to_holiday.map_or(String::new(), |days| days.to_string()),
            day.season.clone(),
            day.public_holiday.clone().unwrap_or_default(),
            if day.long_weekend { "yes".to_owned() } else { String::new() },
        ]);
    }
    table
}

/// Where the property stands among its competitors, in a line.
pub fn comparison(found: &Comparison) -> String {
    let currency = found.currency.as_deref().unwrap_or_default();
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    format!(
        "{} competitors ask {} to {} {currency} for a night of that weekend, {} in the middle; ours is {}, number {} of {}.",
        found.priced,
        number(found.min),
        number(found.max),
        number(found.median),
        number(found.our_price),
        found.our_rank.map_or("-".to_owned(), |rank| rank.to_string()),
        found.priced + usize::from(found.our_price.is_some()),
    )
}

/// What each competitor asks, the cheapest first, and the property among them.
pub fn prices_table(found: &Comparison) -> comfy_table::Table {
    let currency = found.currency.clone().unwrap_or_default();
    let mut rows: Vec<(Option<f64>, [String; 3])> = found
        .competitors
        .iter()
        .map(|of| {
            let shown = of.shown.as_ref().map(|it| format!("{:.2} {}", it.amount, it.currency));
            let told = shown.unwrap_or_else(|| of.status.clone());
            (of.price, [of.name.clone(), told, price_text(of.price)])
        })
        .collect();
    rows.push((found.our_price, ["→ our hotel".to_owned(), String::new(), price_text(found.our_price)]));
    // Those without a price last.
    rows.sort_by(|(a, _), (b, _)| a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY)));
    let mut table = table(["hotel", "as its page says", currency.as_str()], 2..3);
    for (_, row) in rows {
        table.add_row(row);
    }
    table
}

fn price_text(price: Option<f64>) -> String {
    price.map_or(String::new(), |price| format!("{price:.2}"))
}

/// Price and rain by week, one column each.
pub fn chart(days: &[Day]) -> Vec<String> {
    let weeks: Vec<&[Day]> = days.chunks(7).collect();
    let prices: Vec<f64> = weeks.iter().map(|week| mean(week.iter().filter_map(price))).collect();
    let rain: Vec<f64> =
        weeks.iter().map(|week| week.iter().filter_map(|day| day.weather.precipitation_mm).sum()).collect();
    let holidays: String = weeks
        .iter()
        .map(|week| if week.iter().any(|day| day.public_holiday.is_some()) { '▲' } else { ' ' })
        .collect();
    let mut lines = vec!["mean price by week".to_owned()];
    lines.extend(chart::columns(&prices, PRICE_ROWS, "$ "));
    lines.push(format!("{:>10} │{holidays}", "holidays"));
    lines.push("rain by week".to_owned());
    lines.extend(chart::columns(&rain, RAIN_ROWS, "mm"));
    lines.push(format!("{:>10} └{}", "", months(&weeks)));
    lines
}

/// What is expected, how it was found and how far to trust it, in a few lines.
pub fn forecast(made: &Forecast) -> String {
    let of = &made.forecast;
    let sum: f64 = made.points.iter().map(|point| point.mean).sum();
    let parts: Vec<String> = of
        .details
        .models
        .iter()
        .filter(|model| model.weight > 0.0)
        .map(|model| format!("{} {:.0} %", model.model, model.weight * 100.0))
        .collect();
    let season = of.season.map_or_else(|| "no season".to_owned(), |days| format!("a season of {days} days"));
    let off = of.accuracy.mape.map_or_else(|| "-".to_owned(), |mape| format!("{mape:.1} %"));
    format!(
        "{sum:.0} bookings are expected in the next {} days, with {season}, by {}.\n\
         On the past the same was off by {off} of the value (MASE {:.2}); the intervals held {:.0} and {:.0} of 100 days.",
        made.points.len(),
        parts.join(", "),
        of.accuracy.mase,
        of.accuracy.coverage80,
        of.accuracy.coverage95,
    )
}

/// The last days and the days to come.
pub fn forecast_chart(days: &[Day], made: &Forecast) -> Vec<String> {
    let booked: Vec<(Date, f64)> =
        days.iter().filter_map(|day| Some((day.date, *day.observed.get("bookings")?))).collect();
    let shown = &booked[booked.len().saturating_sub(PAST_DAYS)..];
    let mut lines = vec!["bookings by day".to_owned()];
    lines.extend(forecast_chart::lines(shown, &made.points, FORECAST_ROWS));
    lines.push(format!("{:>9} {}", "", forecast_chart::LEGEND));
    lines
}

/// The months under the columns, each where its first week stands.
fn months(weeks: &[&[Day]]) -> String {
    let mut text = String::new();
    let mut month = 0;
    for (at, week) in weeks.iter().enumerate() {
        let Some(first) = week.first() else { continue };
        if first.date.month() != month && text.chars().count() <= at {
            month = first.date.month();
            text.extend(std::iter::repeat_n(' ', at - text.chars().count()));
            text += &first.date.strftime("%b").to_string();
        }
    }
    text
}

fn price(day: &Day) -> Option<f64> {
    day.observed.get("price").copied()
}

fn weekday(day: Date) -> String {
    day.strftime("%a").to_string()
}

/// The mean; not a number for nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
    sum / f64::from(n)
}
