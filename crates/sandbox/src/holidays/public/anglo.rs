//! The United States (federal), Canada and the United Kingdom: much on Mondays, and days off for what a weekend swallows.

use jiff::civil::Weekday::{Monday, Thursday};

use crate::holidays::rule::{Rule, Weekend, When, Years};

/// A holiday with the same name in the country's language.
const fn named(when: When, name: &'static str) -> Rule {
    Rule::new(when, name, name)
}

pub(super) const UNITED_STATES: &[Rule] = &[
    named(When::Fixed(1, 1), "New Year's Day").weekend(Weekend::NearestWorkday),
    named(When::Nth(3, Monday, 1), "Martin Luther King, Jr. Day"),
    named(When::Nth(3, Monday, 2), "Presidents Day"),
    named(When::Nth(-1, Monday, 5), "Memorial Day"),
    named(When::Fixed(6, 19), "Juneteenth National Independence Day")
        .years(Years::Since(2021))
        .weekend(Weekend::NearestWorkday),
    named(When::Fixed(7, 4), "Independence Day").weekend(Weekend::NearestWorkday),
    named(When::Nth(1, Monday, 9), "Labor Day"),
    named(When::Nth(2, Monday, 10), "Columbus Day"),
    named(When::Fixed(11, 11), "Veterans Day").weekend(Weekend::NearestWorkday),
    named(When::Nth(4, Thursday, 11), "Thanksgiving Day"),
    named(When::Fixed(12, 25), "Christmas Day").weekend(Weekend::NearestWorkday),
];

pub(super) const CANADA: &[Rule] = &[
    named(When::Fixed(1, 1), "New Year's Day"),
    named(When::Nth(3, Monday, 2), "Family Day").only_in(&["CA-AB"]),
    named(When::Nth(3, Monday, 2), "Family Day").only_in(&["CA-SK"]).years(Years::Since(2007)),
    named(When::Nth(3, Monday, 2), "Family Day").only_in(&["CA-ON"]).years(Years::Since(2008)),
    named(When::Nth(2, Monday, 2), "Family Day").only_in(&["CA-BC"]).years(Years::Between(2013, 2018)),
    named(When::Nth(3, Monday, 2), "Family Day").only_in(&["CA-BC"]).years(Years::Since(2019)),
    named(When::Nth(3, Monday, 2), "Family Day").only_in(&["CA-NB"]).years(Years::Since(2018)),
    named(When::Nth(3, Monday, 2), "Louis Riel Day").only_in(&["CA-MB"]).years(Years::Since(2008)),
    named(When::Nth(3, Monday, 2), "Heritage Day").only_in(&["CA-NS"]).years(Years::Since(2015)),
    named(When::Nth(3, Monday, 2), "Islander Day").only_in(&["CA-PE"]).years(Years::Since(2010)),
    named(When::Easter(-2), "Good Friday"),
    named(When::Before(Monday, 5, 25), "Victoria Day")
        .only_in(&["CA-AB", "CA-BC", "CA-MB", "CA-NT", "CA-NU", "CA-ON", "CA-SK", "CA-YT"]),
    Rule::new(When::Before(Monday, 5, 25), "National Patriots' Day", "Journée nationale des patriotes")
        .only_in(&["CA-QC"])
        .years(Years::Since(2003)),
    named(When::Fixed(6, 21), "National Indigenous Peoples Day")
        .only_in(&["CA-NT", "CA-YT"])
        .years(Years::Since(2017)),
    Rule::new(When::Fixed(6, 24), "Saint-Jean-Baptiste Day", "Fête nationale du Québec").only_in(&["CA-QC"]),
    named(When::Fixed(7, 1), "Canada Day").weekend(Weekend::MondayAfterSunday),
    named(When::Nth(1, Monday, 8), "Civic Holiday")
        .only_in(&["CA-AB", "CA-BC", "CA-MB", "CA-NB", "CA-NT", "CA-NU", "CA-ON", "CA-SK"]),
    named(When::Nth(1, Monday, 9), "Labour Day"),
    named(When::Fixed(9, 30), "National Day for Truth and Reconciliation")
        .only_in(&["CA-BC", "CA-MB", "CA-NT", "CA-NU", "CA-PE", "CA-YT"])
        .years(Years::Since(2021)),
    named(When::Nth(2, Monday, 10), "Thanksgiving")
        .only_in(&["CA-AB", "CA-BC", "CA-MB", "CA-NT", "CA-NU", "CA-ON", "CA-QC", "CA-SK", "CA-YT"]),
    named(When::Fixed(11, 11), "Remembrance Day")
        .only_in(&["CA-AB", "CA-BC", "CA-NB", "CA-NL", "CA-NT", "CA-NU", "CA-PE", "CA-SK", "CA-YT"]),
    named(When::Fixed(12, 25), "Christmas Day"),
    named(When::Fixed(12, 26), "Boxing Day").only_in(&["CA-ON"]),
];

const ALL_BUT_SCOTLAND: &[&str] = &["GB-ENG", "GB-NIR", "GB-WLS"];
const SCOTLAND: &[&str] = &["GB-SCT"];
const NORTHERN_IRELAND: &[&str] = &["GB-NIR"];

pub(super) const UNITED_KINGDOM: &[Rule] = &[
    named(When::Fixed(1, 1), "New Year's Day").only_in(ALL_BUT_SCOTLAND).weekend(Weekend::NextWorkday),
    named(When::Fixed(1, 1), "New Year's Day").only_in(SCOTLAND).weekend(Weekend::NextWorkday),
    named(When::Fixed(1, 2), "2 January").only_in(SCOTLAND).weekend(Weekend::NextWorkday),
    named(When::Fixed(3, 17), "Saint Patrick's Day").only_in(NORTHERN_IRELAND).weekend(Weekend::NextWorkday),
    named(When::Easter(-2), "Good Friday"),
    named(When::Easter(1), "Easter Monday").only_in(ALL_BUT_SCOTLAND),
    named(When::Fixed(4, 29), "Royal Wedding").years(Years::Only(&[2011])),
    // Moved for the 50th and the 75th anniversary of the end of the war.
    named(When::Nth(1, Monday, 5), "Early May Bank Holiday").years(Years::Except(&[1995, 2020])),
    named(When::Fixed(5, 8), "Early May Bank Holiday").years(Years::Only(&[1995, 2020])),
    named(When::Fixed(5, 8), "Coronation of King Charles III").years(Years::Only(&[2023])),
    // Moved to June for the jubilees of Queen Elizabeth.
    named(When::Nth(-1, Monday, 5), "Spring Bank Holiday").years(Years::Except(&[2002, 2012, 2022])),
    named(When::Fixed(6, 4), "Spring Bank Holiday").years(Years::Only(&[2002, 2012])),
    named(When::Fixed(6, 2), "Spring Bank Holiday").years(Years::Only(&[2022])),
    named(When::Fixed(6, 3), "Queen's Golden Jubilee").years(Years::Only(&[2002])),
    named(When::Fixed(6, 5), "Queen's Diamond Jubilee").years(Years::Only(&[2012])),
    named(When::Fixed(6, 3), "Queen's Platinum Jubilee").years(Years::Only(&[2022])),
    named(When::Fixed(7, 12), "Battle of the Boyne").only_in(NORTHERN_IRELAND).weekend(Weekend::NextWorkday),
    named(When::Nth(1, Monday, 8), "Summer Bank Holiday").only_in(SCOTLAND),
    named(When::Nth(-1, Monday, 8), "Summer Bank Holiday").only_in(ALL_BUT_SCOTLAND),
    named(When::Fixed(9, 19), "State Funeral of Queen Elizabeth II").years(Years::Only(&[2022])),
    named(When::Fixed(11, 30), "Saint Andrew's Day")
        .only_in(SCOTLAND)
        .years(Years::Since(2007))
        .weekend(Weekend::NextWorkday),
    named(When::Fixed(12, 25), "Christmas Day").weekend(Weekend::NextWorkday),
    named(When::Fixed(12, 26), "Boxing Day").weekend(Weekend::NextWorkday),
    named(When::Fixed(12, 31), "Millennium Eve").years(Years::Only(&[1999])),
];
