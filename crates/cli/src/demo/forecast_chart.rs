//! A forecast in the terminal: the days that were, and the days that are expected with their intervals.

use jiff::civil::Date;

use super::client::ForecastPoint;

/// Where a day's cell shows the forecast, and what the lighter cells around it hold.
pub const LEGEND: &str = "• booked   ━ expected   ▒ in 80 of 100 cases   ░ in 95 of 100 cases";

/// The scale of a chart: which row a value stands in.
struct Scale {
    low: f64,
    high: f64,
    rows: usize,
}

impl Scale {
    fn row(&self, value: f64) -> usize {
        let share = (value - self.low) / (self.high - self.low).max(f64::EPSILON);
        ((share * self.rows as f64) as usize).min(self.rows - 1)
    }
}

/// A column for each day of `history` and for each point, `rows` high, with the scale at the left and days below.
pub fn lines(history: &[(Date, f64)], points: &[ForecastPoint], rows: usize) -> Vec<String> {
    let values = history.iter().map(|(_, value)| *value);
    let ends = points.iter().flat_map(|point| [point.low95, point.high95]);
    let (low, high) = values
        .chain(ends)
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high || rows == 0 {
        return Vec::new();
    }
    let scale = Scale { low, high, rows };
    let mut lines: Vec<String> = (0..rows)
        .rev()
        .map(|row| {
            let label = match row {
                row if row + 1 == rows => format!("{high:>8.0}"),
                0 => format!("{low:>8.0}"),
                _ => " ".repeat(8),
            };
            let past = history.iter().map(|(_, value)| if scale.row(*value) == row { '•' } else { ' ' });
            let ahead = points.iter().map(|point| cell(&scale, point, row));
            format!("{label} │{}│{}", past.collect::<String>(), ahead.collect::<String>())
        })
        .collect();
    let days = |first: Option<Date>, width: usize| {
        let text = first.map_or_else(String::new, |day| day.strftime("%b %-d").to_string());
        format!("{text:<width$}")
    };
    lines.push(format!(
        "{:>8} └{}└{}",
        "",
        days(history.first().map(|(day, _)| *day), history.len()),
        days(points.first().map(|point| point.day), points.len()).trim_end()
    ));
    lines
}

fn cell(scale: &Scale, point: &ForecastPoint, row: usize) -> char {
    let within = |low: f64, high: f64| (scale.row(low)..=scale.row(high)).contains(&row);
    if scale.row(point.mean) == row {
        '━'
    } else if within(point.low80, point.high80) {
        '▒'
    } else if within(point.low95, point.high95) {
        '░'
    } else {
        ' '
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn point(mean: f64) -> ForecastPoint {
        ForecastPoint {
            day: date(2026, 1, 3),
            mean,
            low80: mean - 10.0,
            high80: mean + 10.0,
            low95: mean - 20.0,
            high95: mean + 20.0,
        }
    }

    #[test]
    fn the_expected_stands_within_its_intervals_beside_what_was() {
        let history = [(date(2026, 1, 1), 0.0), (date(2026, 1, 2), 100.0)];
        let drawn = lines(&history, &[point(50.0)], 10);
        let column = |at: usize| -> String {
            drawn[..10].iter().rev().map(|line| line.chars().nth(at).unwrap_or(' ')).collect()
        };
        assert_eq!(column(10), "•         ");
        assert_eq!(column(11), "         •");
        assert_eq!(column(13), "   ░▒━▒░  ");
        assert!(drawn[0].starts_with("     100 │") && drawn[9].starts_with("       0 │"), "{drawn:?}");
        assert!(drawn[10].contains("Jan 1") && drawn[10].contains("Jan 3"), "{drawn:?}");
    }

    #[test]
    fn nothing_to_show_is_no_chart_and_equal_values_are_one() {
        assert!(lines(&[], &[], 5).is_empty());
        assert_eq!(lines(&[(date(2026, 1, 1), 5.0)], &[], 5).len(), 6);
    }
}
