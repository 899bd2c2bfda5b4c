//! The time zone that was probably meant, for error messages.

use jiff::tz::TimeZoneDatabase;

use crate::suggest::nearest;

/// A time zone of the IANA list that looks like `name`: the same letters in another case, the same place, or a slip of the keyboard.
pub fn nearest_zone(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > 64 {
        return None;
    }
    let zones: Vec<String> = TimeZoneDatabase::bundled()
        .available()
        .map(|zone| zone.as_str().to_owned())
        .filter(|zone| zone.contains('/') && !zone.starts_with("Etc/") || zone == "UTC")
        .collect();
    let plain = name.replace(' ', "_");
    let place = |zone: &str| zone.rsplit('/').next().unwrap_or_default().to_owned();
    let same = zones.iter().find(|zone| zone.eq_ignore_ascii_case(&plain));
    let there = || zones.iter().find(|zone| place(zone).eq_ignore_ascii_case(&plain));
    let near = || nearest(&plain, zones.iter().map(String::as_str)).map(str::to_owned);
    same.or_else(there).cloned().or_else(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_guessed_from_its_case_its_place_and_a_slip() {
        for (given, meant) in [
            ("europe/berlin", Some("Europe/Berlin")),
            ("Berlin", Some("Europe/Berlin")),
            ("new york", Some("America/New_York")),
            ("Europe/Berln", Some("Europe/Berlin")),
            ("utc", Some("UTC")),
            ("Mars/Base", None),
            ("../../etc/passwd", None),
            ("", None),
        ] {
            assert_eq!(nearest_zone(given).as_deref(), meant, "{given}");
        }
        assert_eq!(nearest_zone(&"x".repeat(1_024)), None);
    }
}
