//! Germany: nine days everywhere, the rest by state.

use crate::holidays::rule::{Rule, When, Years};
use jiff::civil::Weekday::Wednesday;

const ALL_BUT_SAXONY: &[&str] = &[
    "DE-BB", "DE-BE", "DE-BW", "DE-BY", "DE-HB", "DE-HE", "DE-HH", "DE-MV", "DE-NI", "DE-NW", "DE-RP",
    "DE-SH", "DE-SL", "DE-ST", "DE-TH",
];

pub(super) const GERMANY: &[Rule] = &[
    Rule::new(When::Fixed(1, 1), "New Year's Day", "Neujahr"),
    Rule::new(When::Fixed(1, 6), "Epiphany", "Heilige Drei Könige").only_in(&["DE-BW", "DE-BY", "DE-ST"]),
    Rule::new(When::Fixed(3, 8), "International Women's Day", "Internationaler Frauentag")
        .only_in(&["DE-BE"])
        .years(Years::Since(2019)),
    Rule::new(When::Fixed(3, 8), "International Women's Day", "Internationaler Frauentag")
        .only_in(&["DE-MV"])
        .years(Years::Since(2023)),
    Rule::new(When::Easter(-2), "Good Friday", "Karfreitag"),
    Rule::new(When::Easter(0), "Easter Sunday", "Ostersonntag").only_in(&["DE-BB"]),
    Rule::new(When::Easter(1), "Easter Monday", "Ostermontag"),
    Rule::new(When::Fixed(5, 1), "Labour Day", "Tag der Arbeit"),
    Rule::new(When::Fixed(5, 8), "Liberation Day", "Tag der Befreiung")
        .only_in(&["DE-BE"])
        .years(Years::Only(&[2020, 2025])),
    Rule::new(When::Easter(39), "Ascension Day", "Christi Himmelfahrt"),
    Rule::new(When::Easter(49), "Pentecost", "Pfingstsonntag").only_in(&["DE-BB"]),
    Rule::new(When::Easter(50), "Whit Monday", "Pfingstmontag"),
    Rule::new(When::Easter(60), "Corpus Christi", "Fronleichnam")
        .only_in(&["DE-BW", "DE-BY", "DE-HE", "DE-NW", "DE-RP", "DE-SL"]),
    Rule::new(When::Fixed(8, 15), "Assumption Day", "Mariä Himmelfahrt").only_in(&["DE-SL"]),
    Rule::new(When::Fixed(9, 20), "World Children's Day", "Weltkindertag")
        .only_in(&["DE-TH"])
        .years(Years::Since(2019)),
    Rule::new(When::Fixed(10, 3), "German Unity Day", "Tag der Deutschen Einheit"),
    Rule::new(When::Fixed(10, 31), "Reformation Day", "Reformationstag")
        .only_in(&["DE-BB", "DE-MV", "DE-SN", "DE-ST", "DE-TH"])
        .years(Years::Except(&[2017])),
    Rule::new(When::Fixed(10, 31), "Reformation Day", "Reformationstag").years(Years::Only(&[2017])),
    Rule::new(When::Fixed(10, 31), "Reformation Day", "Reformationstag")
        .only_in(&["DE-HB", "DE-HH", "DE-NI", "DE-SH"])
        .years(Years::Since(2018)),
    Rule::new(When::Fixed(11, 1), "All Saints' Day", "Allerheiligen")
        .only_in(&["DE-BW", "DE-BY", "DE-NW", "DE-RP", "DE-SL"]),
    Rule::new(When::Before(Wednesday, 11, 23), "Repentance and Prayer Day", "Buß- und Bettag")
        .only_in(&["DE-SN"]),
    Rule::new(When::Before(Wednesday, 11, 23), "Repentance and Prayer Day", "Buß- und Bettag")
        .only_in(ALL_BUT_SAXONY)
        .years(Years::Until(1994)),
    Rule::new(When::Fixed(12, 25), "Christmas Day", "Erster Weihnachtstag"),
    Rule::new(When::Fixed(12, 26), "St. Stephen's Day", "Zweiter Weihnachtstag"),
];
