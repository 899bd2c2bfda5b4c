//! School holidays that could be: the real ones are decreed year by year and part by part, so these are the usual seasons of
//! each country, staggered by a week between its parts where it does so.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::civil::Weekday::{Monday, Saturday, Thursday};

use super::countries::Country;
use super::rule::When;

/// A season of school holidays.
struct Season {
    first: When,
    days: i64,
    name: &'static str,
    local: &'static str,
    /// Codes of the parts that have it; empty for the whole country.
    regions: &'static [&'static str],
    /// Parts begin up to so many weeks later, each in its turn.
    stagger_weeks: i64,
}

const fn season(first: When, days: i64, name: &'static str, local: &'static str) -> Season {
    Season { first, days, name, local, regions: &[], stagger_weeks: 0 }
}

impl Season {
    const fn staggered(mut self, weeks: i64) -> Self {
        self.stagger_weeks = weeks;
        self
    }

    const fn only_in(mut self, regions: &'static [&'static str]) -> Self {
        self.regions = regions;
        self
    }
}

/// School holidays of some parts of a country.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SchoolHoliday {
    pub first: Date,
    pub last: Date,
    /// English.
    pub name: &'static str,
    /// In the country's language.
    pub local: &'static str,
    /// Codes of the parts that have it; empty for the whole country.
    pub regions: Vec<&'static str>,
}

/// All that begin in a year, by first day.
pub(super) fn holidays(country: &Country, year: i16) -> Vec<SchoolHoliday> {
    let mut holidays: Vec<SchoolHoliday> =
        seasons(country.code).iter().flat_map(|season| of_season(country, season, year)).collect();
    holidays.sort_by(|a, b| (a.first, &a.regions).cmp(&(b.first, &b.regions)));
    holidays
}

/// One entry for each week of the stagger, with the parts that begin in it.
fn of_season(country: &Country, season: &Season, year: i16) -> Vec<SchoolHoliday> {
    let Some(first) = season.first.on(year) else { return Vec::new() };
    let entry = |weeks: i64, regions: Vec<&'static str>| {
        let first = first.saturating_add((weeks * 7).days());
        let last = first.saturating_add((season.days - 1).days());
        SchoolHoliday { first, last, name: season.name, local: season.local, regions }
    };
    if season.stagger_weeks == 0 {
        return vec![entry(0, season.regions.to_vec())];
    }
    let regions = if season.regions.is_empty() { country.regions } else { season.regions };
    let turns = season.stagger_weeks + 1;
    (0..turns)
        .map(|week| {
            let has_its_turn = |region: &&str| (turn(region, country) + i64::from(year)) % turns == week;
            entry(week, regions.iter().copied().filter(has_its_turn).collect())
        })
        .filter(|holiday| !holiday.regions.is_empty())
        .collect()
}

/// Where a part stands in the rota: the three zones of France, elsewhere the place in the list.
fn turn(region: &str, country: &Country) -> i64 {
    match region {
        "FR-ARA" | "FR-BFC" | "FR-NAQ" => 0,
        "FR-IDF" | "FR-OCC" => 2,
        _ if country.code == "FR" => 1,
        _ => country.regions.iter().position(|code| *code == region).unwrap_or(0) as i64,
    }
}

fn seasons(country: &str) -> &'static [Season] {
    match country {
        "AT" => AUSTRIA,
        "CA" => CANADA,
        "CH" => SWITZERLAND,
        "DE" => GERMANY,
        "ES" => SPAIN,
        "FR" => FRANCE,
        "GB" => UNITED_KINGDOM,
        "IT" => ITALY,
        "NL" => NETHERLANDS,
        "US" => UNITED_STATES,
        _ => &[],
    }
}

const AUSTRIA: &[Season] = &[
    season(When::From(Monday, 2, 1), 6, "Semester break", "Semesterferien").staggered(2),
    season(When::Easter(-8), 10, "Easter holidays", "Osterferien"),
    season(When::From(Saturday, 6, 28), 65, "Summer holidays", "Sommerferien").staggered(1),
    season(When::Fixed(10, 26), 7, "Autumn holidays", "Herbstferien"),
    season(When::Fixed(12, 24), 14, "Christmas holidays", "Weihnachtsferien"),
];

const CANADA: &[Season] = &[
    season(When::From(Monday, 3, 10), 5, "March break", "March break").staggered(1),
    season(When::Fixed(6, 28), 66, "Summer holidays", "Summer holidays"),
    season(When::Fixed(12, 22), 14, "Winter break", "Winter break"),
];

const SWITZERLAND: &[Season] = &[
    season(When::From(Monday, 2, 1), 12, "Sports holidays", "Sportferien").staggered(2),
    season(When::From(Monday, 4, 5), 12, "Spring holidays", "Frühlingsferien").staggered(2),
    season(When::From(Monday, 7, 1), 33, "Summer holidays", "Sommerferien").staggered(1),
    season(When::From(Monday, 9, 28), 13, "Autumn holidays", "Herbstferien").staggered(1),
    season(When::Fixed(12, 24), 12, "Christmas holidays", "Weihnachtsferien"),
];

const GERMANY: &[Season] = &[
    season(When::From(Monday, 2, 1), 6, "Winter holidays", "Winterferien")
        .only_in(&["DE-BB", "DE-BE", "DE-BY", "DE-HH", "DE-MV", "DE-SL", "DE-SN", "DE-ST", "DE-TH"])
        .staggered(2),
    season(When::Easter(-13), 15, "Easter holidays", "Osterferien"),
    season(When::Easter(51), 12, "Whitsun holidays", "Pfingstferien").only_in(&["DE-BW", "DE-BY"]),
    // Fourteen states take turns, the two in the south come last each year.
    season(When::From(Thursday, 6, 22), 44, "Summer holidays", "Sommerferien")
        .only_in(&[
            "DE-BB", "DE-BE", "DE-HB", "DE-HE", "DE-HH", "DE-MV", "DE-NI", "DE-NW", "DE-RP", "DE-SH",
            "DE-SL", "DE-SN", "DE-ST", "DE-TH",
        ])
        .staggered(4),
    season(When::From(Thursday, 7, 25), 45, "Summer holidays", "Sommerferien").only_in(&["DE-BW", "DE-BY"]),
    season(When::From(Monday, 10, 5), 13, "Autumn holidays", "Herbstferien").staggered(3),
    season(When::Fixed(12, 22), 15, "Christmas holidays", "Weihnachtsferien"),
];

const SPAIN: &[Season] = &[
    season(When::Easter(-9), 11, "Easter holidays", "Semana Santa"),
    season(When::From(Monday, 6, 18), 78, "Summer holidays", "Vacaciones de verano").staggered(1),
    season(When::Fixed(12, 23), 16, "Christmas holidays", "Vacaciones de Navidad"),
];

const FRANCE: &[Season] = &[
    season(When::From(Saturday, 2, 6), 16, "Winter holidays", "Vacances d'hiver").staggered(2),
    season(When::From(Saturday, 4, 5), 16, "Spring holidays", "Vacances de printemps").staggered(2),
    season(When::From(Saturday, 7, 4), 58, "Summer holidays", "Vacances d'été"),
    season(When::From(Saturday, 10, 17), 16, "All Saints' holidays", "Vacances de la Toussaint"),
    season(When::From(Saturday, 12, 18), 16, "Christmas holidays", "Vacances de Noël"),
];

const UNITED_KINGDOM: &[Season] = &[
    season(When::From(Monday, 2, 12), 5, "February half term", "February half term"),
    season(When::Easter(-6), 12, "Easter holidays", "Easter holidays"),
    season(When::Nth(-1, Monday, 5), 5, "May half term", "May half term").only_in(&["GB-ENG", "GB-WLS"]),
    season(When::From(Monday, 6, 26), 49, "Summer holidays", "Summer holidays").only_in(&["GB-SCT"]),
    season(When::Fixed(7, 1), 62, "Summer holidays", "Summer holidays").only_in(&["GB-NIR"]),
    season(When::From(Monday, 7, 21), 43, "Summer holidays", "Summer holidays")
        .only_in(&["GB-ENG", "GB-WLS"]),
    season(When::From(Monday, 10, 23), 5, "October half term", "October half term"),
    season(When::Fixed(12, 21), 14, "Christmas holidays", "Christmas holidays"),
];

const ITALY: &[Season] = &[
    season(When::Easter(-3), 6, "Easter holidays", "Vacanze di Pasqua"),
    season(When::From(Saturday, 6, 6), 90, "Summer holidays", "Vacanze estive").staggered(1),
    season(When::Fixed(12, 23), 15, "Christmas holidays", "Vacanze di Natale"),
];

const NETHERLANDS: &[Season] = &[
    season(When::From(Saturday, 2, 12), 9, "Spring holidays", "Voorjaarsvakantie").staggered(1),
    season(When::From(Saturday, 4, 24), 9, "May holidays", "Meivakantie"),
    season(When::From(Saturday, 7, 5), 44, "Summer holidays", "Zomervakantie").staggered(2),
    season(When::From(Saturday, 10, 11), 9, "Autumn holidays", "Herfstvakantie").staggered(1),
    season(When::From(Saturday, 12, 19), 16, "Christmas holidays", "Kerstvakantie"),
];

const UNITED_STATES: &[Season] = &[
    season(When::From(Monday, 3, 10), 5, "Spring break", "Spring break").staggered(4),
    season(When::From(Monday, 6, 1), 75, "Summer break", "Summer break").staggered(3),
    season(When::Nth(4, Thursday, 11), 2, "Thanksgiving break", "Thanksgiving break"),
    season(When::Fixed(12, 23), 11, "Winter break", "Winter break"),
];

#[cfg(test)]
mod tests {
    use super::super::YEARS;
    use super::super::countries::{COUNTRIES, find};
    use super::*;

    #[test]
    fn every_part_of_every_country_has_a_summer() {
        for country in &COUNTRIES {
            for year in YEARS.step_by(7) {
                let holidays = holidays(country, year);
                for region in country.regions {
                    let free: i64 = holidays
                        .iter()
                        .filter(|h| h.regions.is_empty() || h.regions.contains(region))
                        .map(|h| h.first.duration_until(h.last).as_hours() / 24 + 1)
                        .sum();
                    assert!((50..150).contains(&free), "{region} {year}: {free} days");
                    let summers = holidays
                        .iter()
                        .filter(|h| h.name.starts_with("Summer"))
                        .filter(|h| h.regions.is_empty() || h.regions.contains(region));
                    assert_eq!(summers.count(), 1, "{region} {year}");
                }
            }
        }
    }

    #[test]
    fn the_states_of_germany_begin_their_summers_one_after_another() {
        let summers: Vec<Date> = holidays(find("DE").unwrap(), 2024)
            .into_iter()
            .filter(|holiday| holiday.name == "Summer holidays")
            .map(|holiday| holiday.first)
            .collect();
        assert_eq!(summers.len(), 6);
        assert!(summers.is_sorted());
    }
}
