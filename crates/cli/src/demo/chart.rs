//! A small chart for the terminal.

const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns of the given height, one per value, with the scale at the left. Values that are no numbers leave a gap.
pub fn columns(values: &[f64], height: usize, unit: &str) -> Vec<String> {
    let numbers = values.iter().copied().filter(|value| value.is_finite());
    let (min, max) = numbers
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(value), max.max(value)));
    if min > max {
        return Vec::new();
    }
    // A scale that almost reaches zero starts there. Above it the lowest value still shows: nothing would look like a gap.
    let near_zero = min >= 0.0 && min < max * 0.2;
    let floor = if near_zero { 0.0 } else { min - (max - min).max(1.0) * 0.1 };
    let eighths = |value: f64| {
        ((value - floor) / (max - floor).max(f64::EPSILON) * (height * 8) as f64).round() as usize
    };
    (0..height)
        .rev()
        .map(|row| {
            let label = match row {
                row if row + 1 == height => format!("{max:>7.0} {unit}"),
                0 => format!("{min:>7.0} {unit}"),
                _ => " ".repeat(8 + unit.chars().count()),
            };
            let cells = values.iter().map(|value| {
                if !value.is_finite() {
                    return ' ';
                }
                BLOCKS[eighths(*value).saturating_sub(row * 8).min(8)]
            });
            format!("{label} │{}", cells.collect::<String>())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_value_fills_its_column_and_the_lowest_still_shows() {
        let rows = columns(&[5.0, f64::NAN, 9.0], 2, "x");
        assert_eq!(rows.len(), 2);
        assert!(rows[0].ends_with("│  █"), "{}", rows[0]);
        assert!(rows[1].ends_with('█') && !rows[1].contains("│ "), "{}", rows[1]);
    }

    #[test]
    fn nothing_to_show_is_no_chart_and_equal_values_are_one() {
        assert!(columns(&[], 3, "").is_empty());
        assert!(columns(&[f64::NAN], 3, "").is_empty());
        assert_eq!(columns(&[5.0, 5.0], 3, "").len(), 3);
    }
}
