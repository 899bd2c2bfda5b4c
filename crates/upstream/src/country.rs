//! Codes of countries and of their parts, checked before they get near a URL.

use std::fmt;
use std::str::FromStr;

/// The assigned codes of ISO 3166-1 alpha-2, sorted.
const ASSIGNED: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV \
     BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM \
     FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM \
     JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR \
     MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS \
     RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ \
     UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// Longest part of a rejected text that an error repeats.
const ECHO_MAX: usize = 16;

/// An assigned ISO 3166-1 alpha-2 code in upper case, such as `DE`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountryCode([u8; 2]);

/// The text is no country code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen:?} is not a country code; give two upper-case letters of ISO 3166-1, such as \"DE\"")]
pub struct CountryCodeError {
    /// Start of the text.
    pub seen: String,
}

impl CountryCode {
    /// The two letters.
    pub fn as_str(&self) -> &str {
        // Only assigned codes get in, and those are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for CountryCode {
    type Err = CountryCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            &[a, b] if ASSIGNED.split(' ').any(|code| code == text) => Ok(Self([a, b])),
            _ => Err(CountryCodeError { seen: text.chars().take(ECHO_MAX).collect() }),
        }
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of a country in the form of ISO 3166-2, such as `DE-BY`, or a part of that, as OpenHolidays has them (`DE-BY-AU`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubdivisionCode(String);

/// The text is no code of a part of a country.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen:?} is not a subdivision code; give one of ISO 3166-2, such as \"DE-BY\"")]
pub struct SubdivisionCodeError {
    /// Start of the text.
    pub seen: String,
}

impl SubdivisionCode {
    /// The whole code, country included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The country it is a part of.
    pub fn belongs_to(&self, country: CountryCode) -> bool {
        self.0.split('-').next() == Some(country.as_str())
    }
}

impl FromStr for SubdivisionCode {
    type Err = SubdivisionCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let country_is_known = parts.next().is_some_and(|country| country.parse::<CountryCode>().is_ok());
        let parts: Vec<&str> = parts.take(4).collect();
        let well_formed = (1..=3).contains(&parts.len())
            && parts.iter().all(|part| {
                (1..=4).contains(&part.len())
                    && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            });
        if country_is_known && well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(SubdivisionCodeError { seen: text.chars().take(ECHO_MAX).collect() })
        }
    }
}

impl fmt::Display for SubdivisionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_assigned_codes_and_nothing_else_are_countries() {
        let codes: Vec<_> = ASSIGNED.split(' ').collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.is_sorted());
        for code in codes {
            assert_eq!(code.parse::<CountryCode>().unwrap().to_string(), code);
        }
        for bad in ["", "D", "de", "De", "USA", "XX", "🇺🇸", "'; DROP", "U S", "S ", "é", "../"] {
            assert!(bad.parse::<CountryCode>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn an_error_repeats_a_bounded_escaped_part_of_the_text() {
        let error = format!("\n{}", "x".repeat(5000)).parse::<CountryCode>().unwrap_err();
        assert!(error.to_string().len() < 120);
        assert!(!error.to_string().contains('\n'));
    }

    #[test]
    fn subdivisions_start_with_their_country() {
        let bavaria: SubdivisionCode = "DE-BY".parse().unwrap();
        assert!(bavaria.belongs_to("DE".parse().unwrap()));
        assert!(!bavaria.belongs_to("AT".parse().unwrap()));
        assert!("DE-BY-AU".parse::<SubdivisionCode>().is_ok());
        for bad in ["DE", "DE-", "XX-BY", "DE-by", "DE-BY&x=1", "DE-BYERN", "DE-A-B-C-D", "-BY"] {
            assert!(bad.parse::<SubdivisionCode>().is_err(), "{bad:?} was accepted");
        }
    }
}
