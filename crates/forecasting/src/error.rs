//! Why there is no forecast.

use jiff::civil::Date;

use crate::Step;

/// Why there is no forecast. Except for [`Cancelled`](Self::Cancelled), trying again with the same history and settings fails alike.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ForecastError {
    /// No value at all.
    #[error("the history has no values; a forecast needs at least {needed}")]
    Empty {
        /// How many the shortest horizon needs.
        needed: usize,
    },
    /// Too few values for the horizon.
    #[error(
        "the history spans {}, and a forecast of {} needs {needed}; {}",
        step.counted(*found), step.counted(*horizon), advice_too_short(*longest)
    )]
    TooShort {
        /// Steps from the first value to the last.
        found: usize,
        /// Steps that are needed.
        needed: usize,
        /// What was asked for.
        horizon: usize,
        /// The longest horizon for which the history is enough; 0 if none.
        longest: usize,
        /// Distance of the points.
        step: Step,
    },
    /// All values are the same: there is nothing to learn, and no error to make an interval of.
    #[error(
        "all {count} values of the history are {value}; a forecast needs values that change, so check where they come from"
    )]
    Constant {
        /// The value.
        value: f64,
        /// How often it stands there.
        count: usize,
    },
    /// Not a number, or infinite.
    #[error("the value of {day} is {value}, which is not a number; correct it or leave the day out")]
    NotANumber {
        /// Its day.
        day: Date,
        /// As it was.
        value: f64,
    },
    /// A number so large that sums of its like leave the range of numbers.
    #[error("the value of {day} is {value:e}, beyond ±{limit:e}; correct it or use a larger unit")]
    TooLarge {
        /// Its day.
        day: Date,
        /// As it was.
        value: f64,
        /// The largest.
        limit: f64,
    },
    /// A gap too long to be filled in.
    #[error(
        "values are missing from {from} to {to}, {} in a row; at most {limit} can be filled in, so add them or begin the history after {to}",
        step.counted(*steps)
    )]
    GapTooLong {
        /// The first step without a value.
        from: Date,
        /// The last.
        to: Date,
        /// How many.
        steps: usize,
        /// The longest gap that is filled in.
        limit: usize,
        /// Distance of the points.
        step: Step,
    },
    /// More steps without a value than with one.
    #[error(
        "only {observed} of {of} {} from {from} to {to} have a value; a forecast needs at least half of them, so add the missing ones (0 \
         where there was nothing) or sum the values over a longer step", step.plural()
    )]
    TooManyGaps {
        /// Day of the first value.
        from: Date,
        /// Day of the last.
        to: Date,
        /// Steps with a value.
        observed: usize,
        /// Steps from the first value to the last.
        of: usize,
        /// Distance of the points.
        step: Step,
    },
    /// Two values of one day.
    #[error("{day} has two values, {first} and {second}; give each day one, their sum or their mean")]
    DuplicateDay {
        /// The day.
        day: Date,
        /// One value.
        first: f64,
        /// The other.
        second: f64,
    },
    /// Points that are neither days, nor weeks, nor months apart.
    #[error(
        "{second} follows {first}, and that is no regular series of days, weeks or months; give one value a day, a week (always on the same \
         weekday) or a month (always on the same day)"
    )]
    Irregular {
        /// A point.
        first: Date,
        /// The next one.
        second: Date,
    },
    /// A horizon of nothing, or one too long for any model.
    #[error("the horizon is {horizon}; it must be 1 to {max}")]
    Horizon {
        /// What was asked for.
        horizon: usize,
        /// The longest.
        max: usize,
    },
    /// No model was asked for.
    #[error("no model was asked for; name at least one of ma, linear, exp and seasonal")]
    NoModels,
    /// The seasonal model alone was asked for, and there is no season.
    #[error(
        "only the seasonal model was asked for, and the history shows no season; ask for ma, linear or exp, too"
    )]
    NoSeason,
    /// Days beyond the calendar's end.
    #[error("{} after {last} is beyond the calendar's last day, 9999-12-31; check the dates", step.counted(*horizon))]
    Calendar {
        /// Day of the last value.
        last: Date,
        /// What was asked for.
        horizon: usize,
        /// Distance of the points.
        step: Step,
    },
    /// The forecast leaves the range of numbers.
    #[error("the forecast for {day} is beyond the largest number; use a larger unit or a shorter horizon")]
    Overflow {
        /// The first such day.
        day: Date,
    },
    /// Nobody wants the forecast any more.
    #[error("the forecast was cancelled")]
    Cancelled,
}

/// What to do about a history that is too short.
fn advice_too_short(longest: usize) -> String {
    if longest == 0 {
        "add older values".to_owned()
    } else {
        format!("add older values or ask for at most {longest}")
    }
}
