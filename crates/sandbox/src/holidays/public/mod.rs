//! The public holidays of ten countries, as rules that hold from 1990 on. Where a holiday came or went since, its years say
//! so; single days that were free once (jubilees, a state funeral) are rules of one year.

mod alpine;
mod anglo;
mod france_benelux;
mod germany;
mod south;

use super::rule::{self, Holiday, Rule};

/// The holidays of a country of the table in a year, by date; nothing for a country that is not there.
pub(super) fn holidays(country: &str, year: i16) -> Vec<Holiday> {
    rule::holidays(rules(country), year)
}

fn rules(country: &str) -> &'static [Rule] {
    match country {
        "AT" => alpine::AUSTRIA,
        "CA" => anglo::CANADA,
        "CH" => alpine::SWITZERLAND,
        "DE" => germany::GERMANY,
        "ES" => south::SPAIN,
        "FR" => france_benelux::FRANCE,
        "GB" => anglo::UNITED_KINGDOM,
        "IT" => south::ITALY,
        "NL" => france_benelux::NETHERLANDS,
        "US" => anglo::UNITED_STATES,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::super::YEARS;
    use super::super::countries::COUNTRIES;
    use super::*;
    use std::collections::BTreeSet;

    /// The days that all of a country, or this part of it, has free.
    fn days(country: &str, region: &str, year: i16) -> Vec<String> {
        let days: BTreeSet<String> = holidays(country, year)
            .into_iter()
            .filter(|holiday| holiday.regions.is_empty() || holiday.regions.contains(&region))
            .map(|holiday| holiday.date.strftime("%m-%d").to_string())
            .collect();
        days.into_iter().collect()
    }

    #[test]
    fn every_country_has_holidays_in_every_year_in_parts_that_it_has() {
        for country in &COUNTRIES {
            for year in YEARS {
                let holidays = holidays(country.code, year);
                assert!(holidays.len() >= 8, "{} {year}", country.code);
                assert!(holidays.iter().any(|h| h.date.month() == 1 && h.date.day() == 1));
                for holiday in holidays {
                    assert_eq!(holiday.date.year(), year);
                    let unknown: Vec<_> =
                        holiday.regions.iter().filter(|r| !country.regions.contains(r)).collect();
                    assert!(unknown.is_empty(), "{}: {unknown:?}", holiday.name);
                }
            }
        }
        assert!(holidays("XX", 2024).is_empty());
    }

    #[test]
    fn german_states_differ() {
        let national = ["01-01", "03-29", "04-01", "05-01", "05-09", "05-20", "10-03", "12-25", "12-26"];
        let with = |more: &[&str]| {
            let all: BTreeSet<String> = national.iter().chain(more).map(|&day| day.to_owned()).collect();
            all.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(days("DE", "", 2024), national);
        assert_eq!(days("DE", "DE-BY", 2024), with(&["01-06", "05-30", "11-01"]));
        assert_eq!(days("DE", "DE-SN", 2024), with(&["10-31", "11-20"]));
        assert_eq!(days("DE", "DE-BE", 2024), with(&["03-08"]));
        assert!(days("DE", "DE-HH", 2017).contains(&"10-31".to_owned()), "500 years of Reformation");
        assert!(!days("DE", "DE-HH", 2016).contains(&"10-31".to_owned()));
    }

    #[test]
    fn american_days_off_cross_the_year() {
        assert_eq!(
            days("US", "", 2021),
            [
                "01-01", "01-18", "02-15", "05-31", "06-18", "06-19", "07-04", "07-05", "09-06", "10-11",
                "11-11", "11-25", "12-24", "12-25", "12-31"
            ]
        );
        assert!(!days("US", "", 2020).contains(&"06-19".to_owned()));
    }

    #[test]
    fn british_days_off_wait_for_a_free_weekday() {
        // Christmas on a Saturday: Monday and Tuesday. On a Sunday: Tuesday, after Boxing Day.
        assert_eq!(days("GB", "GB-ENG", 2021)[6..], ["12-25", "12-26", "12-27", "12-28"]);
        assert_eq!(days("GB", "GB-ENG", 2022)[9..], ["12-25", "12-26", "12-27"]);
        assert_eq!(days("GB", "GB-ENG", 2022)[..2], ["01-01", "01-03"]);
        assert_eq!(days("GB", "GB-SCT", 2022)[..4], ["01-01", "01-02", "01-03", "01-04"]);
        assert_eq!(days("GB", "GB-ENG", 2023)[..2], ["01-01", "01-02"]);
        assert_eq!(days("GB", "GB-SCT", 2023)[..3], ["01-01", "01-02", "01-03"]);
        assert!(days("GB", "GB-ENG", 2020).contains(&"05-08".to_owned()));
        assert!(!days("GB", "GB-ENG", 2020).contains(&"05-04".to_owned()));
        assert!(!days("GB", "GB-SCT", 2024).contains(&"04-01".to_owned()));
    }

    #[test]
    fn kings_and_queens_have_their_days() {
        let has = |year: i16, day: &str| days("NL", "", year).contains(&day.to_owned());
        assert!(has(2013, "04-30") && !has(2013, "04-27"));
        assert!(has(2024, "04-27") && !has(2024, "04-30"));
        // The 27th of April 2025 was a Sunday.
        assert!(has(2025, "04-26") && !has(2025, "04-27"));
        assert!(has(2025, "05-05") && !has(2024, "05-05"));
    }

    #[test]
    fn the_other_countries_have_what_their_calendars_say() {
        assert_eq!(
            days("FR", "", 2024),
            [
                "01-01", "04-01", "05-01", "05-08", "05-09", "05-20", "07-14", "08-15", "11-01", "11-11",
                "12-25"
            ]
        );
        assert_eq!(days("FR", "FR-GES", 2024).len(), 13);
        assert_eq!(days("AT", "", 2024).len(), 13);
        assert_eq!(
            days("ES", "", 2024),
            ["01-01", "01-06", "03-29", "05-01", "08-15", "10-12", "11-01", "12-06", "12-08", "12-25"]
        );
        assert_eq!(days("IT", "", 2024).len(), 12);
        assert_eq!(days("CH", "", 2024), ["01-01", "05-09", "08-01", "12-25"]);
        assert_eq!(
            days("CA", "CA-ON", 2024),
            ["01-01", "02-19", "03-29", "05-20", "07-01", "08-05", "09-02", "10-14", "12-25", "12-26"]
        );
        // The first of July 2018 was a Sunday.
        assert!(days("CA", "", 2018).contains(&"07-02".to_owned()));
    }
}
