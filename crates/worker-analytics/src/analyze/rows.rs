//! Rows that came with the job, made a table. Here bad data end, with the row, the column and the value.

use std::collections::HashSet;

use bulrush_catalog::jobs::analyze::{COLUMN_NAME_MAX, COLUMNS_MAX};
use jiff::civil::Date;
use serde_json::{Map, Value};

use super::AnalyzeError;
use super::halt::Halt;
use super::roles::Role;
use super::table::{Cells, Column, Table};
use super::words::{list, shown};

/// What a column of days is called.
const DATE_NAMES: [&str; 5] = ["date", "day", "ds", "datetime", "timestamp"];
/// The years that a day may be of.
const YEARS: std::ops::RangeInclusive<i16> = 1900..=2200;
/// Largest figure of a day: beyond it sums of squares lose the digits that matter.
const LARGEST: f64 = 1e15;
/// Rows read between two looks at whether to go on.
const LOOK_EVERY: usize = 512;

/// Makes a table of rows, in any order.
pub(super) fn table(data: Vec<Value>, date_column: Option<&str>, halt: &Halt) -> Result<Table, AnalyzeError> {
    let mut rows: Vec<Map<String, Value>> = Vec::with_capacity(data.len());
    for (place, row) in data.into_iter().enumerate() {
        match row {
            Value::Object(row) => rows.push(row),
            other => return Err(AnalyzeError::NotAnObject { row: place + 1, seen: value_shown(&other) }),
        }
    }
    let names = names(&rows, halt)?;
    let date = date_name(&names, date_column)?;
    let days = days(&rows, &date)?;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| days[*row]);
    for pair in order.windows(2) {
        if days[pair[0]] == days[pair[1]] {
            let (first, second) = (pair[0].min(pair[1]) + 1, pair[0].max(pair[1]) + 1);
            return Err(AnalyzeError::DayTwice { day: days[pair[0]], first, second });
        }
    }
    let mut columns = Vec::new();
    for name in names.iter().filter(|name| **name != date) {
        halt.check()?;
        let cells = cells(&rows, name)?;
        let mut role = Role::of(name);
        // A word or a flag is no figure, whatever it is called.
        if role == Role::Figure && !matches!(cells, Cells::Numbers(_)) {
            role = Role::Other;
        }
        columns.push(Column { name: name.clone(), role, cells: sorted(cells, &order) });
    }
    let days = order.iter().map(|row| days[*row]).collect();
    Ok(Table::new(days, columns, Vec::new()))
}

/// The columns, in the order in which they first occur.
fn names(rows: &[Map<String, Value>], halt: &Halt) -> Result<Vec<String>, AnalyzeError> {
    let mut names: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for (place, row) in rows.iter().enumerate() {
        if place % LOOK_EVERY == 0 {
            halt.check()?;
        }
        for name in row.keys() {
            if !seen.insert(name.as_str()) {
                continue;
            }
            if name.len() > COLUMN_NAME_MAX || name.is_empty() || name.chars().any(char::is_control) {
                return Err(AnalyzeError::BadValue {
                    row: place + 1,
                    column: name.chars().take(64).collect(),
                    value: "a value".to_owned(),
                    why: "has no name that a column can have: 1 to 128 bytes, no control characters",
                });
            }
            names.push(name.clone());
            if names.len() > COLUMNS_MAX {
                return Err(AnalyzeError::TooManyColumns { most: COLUMNS_MAX });
            }
        }
    }
    Ok(names)
}

fn date_name(names: &[String], wanted: Option<&str>) -> Result<String, AnalyzeError> {
    let found = match wanted {
        Some(wanted) => names.iter().find(|name| *name == wanted),
        None => DATE_NAMES
            .iter()
            .find_map(|usual| names.iter().find(|name| name.trim().eq_ignore_ascii_case(usual))),
    };
    found.cloned().ok_or_else(|| AnalyzeError::NoDateColumn {
        looked_for: wanted.map_or_else(|| DATE_NAMES.join(", "), shown),
        there: list(names.iter().map(String::as_str)),
    })
}

fn days(rows: &[Map<String, Value>], column: &str) -> Result<Vec<Date>, AnalyzeError> {
    let read = |(place, row): (usize, &Map<String, Value>)| {
        let value = row.get(column).filter(|value| !is_missing(value));
        let value =
            value.ok_or_else(|| AnalyzeError::NoDate { row: place + 1, column: column.to_owned() })?;
        let day = value.as_str().and_then(day_of);
        day.filter(|day| YEARS.contains(&day.year())).ok_or_else(|| AnalyzeError::BadDate {
            row: place + 1,
            column: column.to_owned(),
            value: value_shown(value),
        })
    };
    rows.iter().enumerate().map(read).collect()
}

/// The day of `2026-01-31`, and of a moment of it as it is written, `2026-01-31T22:00:00Z`: the writer's day, in no other time zone.
fn day_of(text: &str) -> Option<Date> {
    let text = text.trim();
    let (day, time) = (text.get(..10)?, text.get(10..)?);
    let is_time = time.is_empty()
        || time.strip_prefix(['T', ' ']).is_some_and(|time| {
            time.len() >= 5
                && time.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'Z' | b'+' | b'-'))
        });
    let is_plain = day.bytes().enumerate().all(|(place, b)| match place {
        4 | 7 => b == b'-',
        _ => b.is_ascii_digit(),
    });
    (is_time && is_plain).then(|| day.parse().ok()).flatten()
}

/// What is as good as not there.
fn is_missing(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// A cell by what it can be.
enum Cell<'r> {
    Missing,
    Number(f64),
    /// A text that is a number.
    NumberText(f64, &'r str),
    Flag(bool),
    /// A text that is a flag.
    FlagText(bool, &'r str),
    /// `NaN` or `inf`, or a number too large.
    NoNumber,
    Text(&'r str),
    Nested,
}

impl<'r> Cell<'r> {
    fn of(value: Option<&'r Value>) -> Self {
        let in_range = |number: f64| number.abs() <= LARGEST;
        match value {
            None => Self::Missing,
            Some(value) if is_missing(value) => Self::Missing,
            Some(Value::Bool(flag)) => Self::Flag(*flag),
            Some(Value::Number(number)) => match number.as_f64() {
                Some(number) if in_range(number) => Self::Number(number),
                _ => Self::NoNumber,
            },
            Some(Value::String(text)) => match text.trim() {
                "true" | "True" | "TRUE" => Self::FlagText(true, text),
                "false" | "False" | "FALSE" => Self::FlagText(false, text),
                trimmed => match trimmed.parse::<f64>() {
                    Ok(number) if in_range(number) => Self::NumberText(number, text),
                    Ok(_) => Self::NoNumber,
                    Err(_) => Self::Text(text),
                },
            },
            _ => Self::Nested,
        }
    }
}

/// What a column holds: numbers, flags or words, never a mixture.
fn cells(rows: &[Map<String, Value>], name: &str) -> Result<Cells, AnalyzeError> {
    let value = |row: usize| rows[row].get(name);
    let said = |row: usize| value(row).map(value_shown).unwrap_or_default();
    let read: Vec<Cell<'_>> = (0..rows.len()).map(|row| Cell::of(value(row))).collect();
    let first = |is: fn(&Cell<'_>) -> bool| read.iter().position(is);
    let wrong = |row: usize, why| {
        Err(AnalyzeError::BadValue { row: row + 1, column: name.to_owned(), value: said(row), why })
    };
    if let Some(row) = first(|cell| matches!(cell, Cell::Nested)) {
        return wrong(row, "is an object or an array where a number, a flag or a text may be");
    }
    let number = first(|cell| matches!(cell, Cell::Number(_)));
    let number_text = first(|cell| matches!(cell, Cell::NumberText(..)));
    let flag = first(|cell| matches!(cell, Cell::Flag(_)));
    let flag_text = first(|cell| matches!(cell, Cell::FlagText(..)));
    let text = first(|cell| matches!(cell, Cell::Text(_)));
    let no_number = first(|cell| matches!(cell, Cell::NoNumber));
    let mixed = |row: usize, other: usize| {
        let (row, other) = (row.max(other), row.min(other));
        Err(AnalyzeError::Mixed {
            column: name.to_owned(),
            row: row + 1,
            value: said(row),
            other_row: other + 1,
            other: said(other),
        })
    };
    // Texts that are numbers are those of a file without types; with other texts among them the column is one of words.
    let is_numbers = number.is_some() || (text.is_none() && flag_text.is_none() && number_text.is_some());
    if let (true, Some(at)) = (is_numbers, number.or(number_text)) {
        if let Some(other) = text.or(flag).or(flag_text) {
            return mixed(at, other);
        }
        if let Some(row) = no_number {
            return wrong(row, "is no number to compute with (at most 1e15)");
        }
        let numbers = read.iter().map(|cell| match cell {
            Cell::Number(number) | Cell::NumberText(number, _) => Some(*number),
            _ => None,
        });
        return Ok(Cells::Numbers(numbers.collect()));
    }
    if let Some(row) = no_number.filter(|_| text.is_none()) {
        return wrong(row, "is no number to compute with (at most 1e15)");
    }
    if let Some(at) = flag
        && let Some(other) = text.or(number_text)
    {
        return mixed(at, other);
    }
    if (flag.is_some() || flag_text.is_some()) && text.is_none() && number_text.is_none() {
        let flags = read.iter().map(|cell| match cell {
            Cell::Flag(flag) | Cell::FlagText(flag, _) => Some(f64::from(u8::from(*flag))),
            _ => None,
        });
        return Ok(Cells::Flags(flags.collect()));
    }
    if text.is_none() && number_text.is_none() {
        // Nothing is known on any day: numbers that are missing.
        return Ok(Cells::Numbers(vec![None; rows.len()]));
    }
    let words = (0..rows.len()).map(|row| match &read[row] {
        Cell::Text(text) | Cell::NumberText(_, text) | Cell::FlagText(_, text) => Some((*text).to_owned()),
        Cell::NoNumber => value(row).and_then(Value::as_str).map(ToOwned::to_owned),
        _ => None,
    });
    Ok(Cells::Words(words.collect()))
}

fn sorted(cells: Cells, order: &[usize]) -> Cells {
    match cells {
        Cells::Numbers(values) => Cells::Numbers(order.iter().map(|row| values[*row]).collect()),
        Cells::Flags(values) => Cells::Flags(order.iter().map(|row| values[*row]).collect()),
        Cells::Words(mut values) => {
            Cells::Words(order.iter().map(|row| std::mem::take(&mut values[*row])).collect())
        }
    }
}

/// A value of the client's, as it may stand in a message.
fn value_shown(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written_and_nothing_else_is() {
        for text in [
            "2024-02-29",
            " 2024-02-29 ",
            "2024-02-29T23:30:00Z",
            "2024-02-29 01:00",
            "2024-02-29T00:00:00.000+02:00",
        ] {
            assert_eq!(day_of(text), Some(jiff::civil::date(2024, 2, 29)), "{text}");
        }
        for bad in [
            "2023-02-29",
            "29.02.2024",
            "2024-2-29",
            "2024-02-29x",
            "+02024-02-9",
            "2024-02-29T",
            "",
            "2024-02-2é",
        ] {
            assert_eq!(day_of(bad), None, "{bad}");
        }
    }
}
