//! Lengths of time as people write them in configuration.

/// Text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no length of time: write a whole number of milliseconds (300000), or one with ms, s, m, h or d (5m)"
)]
pub struct InvalidSpan {
    /// What was given, cut to 40 characters.
    pub text: String,
}

/// Milliseconds of `300000`, `300000ms`, `300s`, `5m`, `1h` or `2d`. A bare number is milliseconds, as the seeds write it.
///
/// # Errors
/// [`InvalidSpan`] for anything else, a fraction, a sign or more than 64 bits.
pub fn parse_span_ms(text: &str) -> Result<u64, InvalidSpan> {
    let invalid = || InvalidSpan { text: text.chars().take(40).collect() };
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(invalid()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_with_and_without_a_unit() {
        for (text, ms) in [
            ("300000", 300_000),
            ("5m", 300_000),
            ("30 s", 30_000),
            ("2d", 172_800_000),
            ("1ms", 1),
            ("0", 0),
        ] {
            assert_eq!(parse_span_ms(text), Ok(ms), "{text}");
        }
        for bad in
            ["", "m", "-5", "1.5s", "5 minutes", "+3", "99999999999999999999", "18446744073709551615d", "٣"]
        {
            assert!(parse_span_ms(bad).is_err(), "{bad:?}");
        }
    }
}
