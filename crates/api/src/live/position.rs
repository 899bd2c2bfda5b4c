//! Where a reader stands in all queues at once: the opaque id of an event.
//!
//! The form is `1.` and, for each queue that has events, its prefix and its position in base 36, in the queues' order, with a check sum
//! at the end, so that what was cut or changed is told apart from what was issued. It is no secret and gives no rights: what a stream
//! shows is decided by who reads it.

use std::fmt::Write as _;

use crc32fast::hash;

/// Longest id that is looked at, bytes.
const TEXT_MAX: usize = 2_048;
/// Most digits of a position in base 36.
const DIGITS_MAX: usize = 13;

/// A position in each queue, in the order of the catalogue; 0 where there is nothing yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions(pub Vec<u64>);

impl Positions {
    /// The id.
    pub fn to_text(&self, prefixes: &[&str]) -> String {
        let mut text = String::with_capacity(16 * self.0.len());
        text.push_str("1.");
        for (prefix, position) in prefixes.iter().zip(&self.0) {
            if *position > 0 {
                text.push_str(prefix);
                push_base36(&mut text, *position);
                text.push('.');
            }
        }
        let sum = hash(text.as_bytes());
        let _ = write!(text, "{sum:08x}");
        text
    }

    /// What an id says; none for one that was not issued here. A queue that it does not name is at 0: its events are all new.
    pub fn parse(text: &str, prefixes: &[&str]) -> Option<Self> {
        if text.len() > TEXT_MAX || !text.is_ascii() {
            return None;
        }
        let (body, sum) = text.split_at_checked(text.len().checked_sub(8)?)?;
        if u32::from_str_radix(sum, 16).ok()? != hash(body.as_bytes()) {
            return None;
        }
        let mut positions = vec![0; prefixes.len()];
        for part in body.strip_prefix("1.")?.split_terminator('.') {
            let (prefix, digits) = part.split_at_checked(3)?;
            let at = prefixes.iter().position(|known| *known == prefix)?;
            if digits.is_empty() || digits.len() > DIGITS_MAX {
                return None;
            }
            positions[at] = u64::from_str_radix(digits, 36).ok()?;
        }
        Some(Self(positions))
    }
}

fn push_base36(text: &mut String, mut number: u64) {
    let mut digits = [0_u8; DIGITS_MAX];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize];
        number /= 36;
        if number == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIXES: [&str; 3] = ["enr", "for", "ana"];

    #[test]
    fn what_is_written_is_read_again() {
        for positions in [[0, 0, 0], [1, 0, 36], [u64::MAX, 1_764_000_000_000, 0]] {
            let positions = Positions(positions.into());
            let text = positions.to_text(&PREFIXES);
            assert_eq!(Positions::parse(&text, &PREFIXES), Some(positions), "{text}");
        }
    }

    #[test]
    fn what_was_not_issued_is_no_position() {
        let good = Positions(vec![5, 7, 0]).to_text(&PREFIXES);
        for at in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] ^= 1;
            assert_eq!(Positions::parse(&String::from_utf8(bad).unwrap_or_default(), &PREFIXES), None);
        }
        for bad in
            ["", "-1", "12", "18446744073709551616", "text", "1.", &good[1..], &"9".repeat(10_000), "é"]
        {
            assert_eq!(Positions::parse(bad, &PREFIXES), None, "{bad:?}");
        }
    }
}
