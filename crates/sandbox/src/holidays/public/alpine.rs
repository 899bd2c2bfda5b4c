//! Austria, and Switzerland with its cantons.

use crate::holidays::rule::{Rule, When, Years};

pub(super) const AUSTRIA: &[Rule] = &[
    Rule::new(When::Fixed(1, 1), "New Year's Day", "Neujahr"),
    Rule::new(When::Fixed(1, 6), "Epiphany", "Heilige Drei Könige"),
    Rule::new(When::Easter(1), "Easter Monday", "Ostermontag"),
    Rule::new(When::Fixed(5, 1), "National Holiday", "Staatsfeiertag"),
    Rule::new(When::Easter(39), "Ascension Day", "Christi Himmelfahrt"),
    Rule::new(When::Easter(50), "Whit Monday", "Pfingstmontag"),
    Rule::new(When::Easter(60), "Corpus Christi", "Fronleichnam"),
    Rule::new(When::Fixed(8, 15), "Assumption Day", "Mariä Himmelfahrt"),
    Rule::new(When::Fixed(10, 26), "National Holiday", "Nationalfeiertag"),
    Rule::new(When::Fixed(11, 1), "All Saints' Day", "Allerheiligen"),
    Rule::new(When::Fixed(12, 8), "Immaculate Conception", "Mariä Empfängnis"),
    Rule::new(When::Fixed(12, 25), "Christmas Day", "Weihnachten"),
    Rule::new(When::Fixed(12, 26), "St. Stephen's Day", "Stefanitag"),
];

/// Cantons where the Catholic feasts are free.
const CATHOLIC: &[&str] =
    &["CH-AI", "CH-FR", "CH-JU", "CH-LU", "CH-NW", "CH-OW", "CH-SZ", "CH-TI", "CH-UR", "CH-VS", "CH-ZG"];

pub(super) const SWITZERLAND: &[Rule] = &[
    Rule::new(When::Fixed(1, 1), "New Year's Day", "Neujahr"),
    Rule::new(When::Fixed(1, 2), "St. Berchtold's Day", "Berchtoldstag").only_in(&[
        "CH-AG", "CH-BE", "CH-FR", "CH-GL", "CH-JU", "CH-LU", "CH-NE", "CH-OW", "CH-SH", "CH-SO", "CH-TG",
        "CH-VD", "CH-ZG", "CH-ZH",
    ]),
    Rule::new(When::Fixed(1, 6), "Epiphany", "Heilige Drei Könige").only_in(&["CH-SZ", "CH-TI", "CH-UR"]),
    Rule::new(When::Fixed(3, 1), "Republic Day", "Jahrestag der Ausrufung der Republik").only_in(&["CH-NE"]),
    Rule::new(When::Fixed(3, 19), "Saint Joseph's Day", "Josefstag")
        .only_in(&["CH-NW", "CH-SZ", "CH-TI", "CH-UR", "CH-VS"]),
    Rule::new(When::Easter(-2), "Good Friday", "Karfreitag").only_in(&[
        "CH-AG", "CH-AI", "CH-AR", "CH-BE", "CH-BL", "CH-BS", "CH-FR", "CH-GE", "CH-GL", "CH-GR", "CH-JU",
        "CH-LU", "CH-NE", "CH-NW", "CH-OW", "CH-SG", "CH-SH", "CH-SO", "CH-SZ", "CH-TG", "CH-UR", "CH-VD",
        "CH-ZG", "CH-ZH",
    ]),
    Rule::new(When::Easter(1), "Easter Monday", "Ostermontag").only_in(&[
        "CH-AG", "CH-AI", "CH-AR", "CH-BE", "CH-BL", "CH-BS", "CH-FR", "CH-GE", "CH-GL", "CH-GR", "CH-JU",
        "CH-LU", "CH-NW", "CH-OW", "CH-SG", "CH-SH", "CH-SO", "CH-SZ", "CH-TG", "CH-TI", "CH-UR", "CH-VD",
        "CH-ZG", "CH-ZH",
    ]),
    Rule::new(When::Fixed(5, 1), "Labour Day", "Tag der Arbeit")
        .only_in(&["CH-BL", "CH-BS", "CH-JU", "CH-NE", "CH-SH", "CH-SO", "CH-TG", "CH-TI", "CH-ZH"]),
    Rule::new(When::Easter(39), "Ascension Day", "Auffahrt"),
    Rule::new(When::Easter(50), "Whit Monday", "Pfingstmontag").only_in(&[
        "CH-AG", "CH-AI", "CH-AR", "CH-BE", "CH-BL", "CH-BS", "CH-FR", "CH-GE", "CH-GL", "CH-GR", "CH-JU",
        "CH-LU", "CH-NW", "CH-OW", "CH-SG", "CH-SH", "CH-SO", "CH-SZ", "CH-TG", "CH-TI", "CH-UR", "CH-VD",
        "CH-ZG", "CH-ZH",
    ]),
    Rule::new(When::Easter(60), "Corpus Christi", "Fronleichnam").only_in(CATHOLIC),
    Rule::new(When::Fixed(8, 1), "Swiss National Day", "Bundesfeier").years(Years::Since(1994)),
    Rule::new(When::Fixed(8, 15), "Assumption of the Virgin Mary", "Maria Himmelfahrt").only_in(CATHOLIC),
    Rule::new(When::Fixed(11, 1), "All Saints' Day", "Allerheiligen").only_in(CATHOLIC),
    Rule::new(When::Fixed(12, 8), "Immaculate Conception", "Mariä Empfängnis")
        .only_in(&["CH-AI", "CH-FR", "CH-LU", "CH-NW", "CH-OW", "CH-SZ", "CH-TI", "CH-UR", "CH-VS", "CH-ZG"]),
    Rule::new(When::Fixed(12, 25), "Christmas Day", "Weihnachten"),
    Rule::new(When::Fixed(12, 26), "St. Stephen's Day", "Stephanstag").only_in(&[
        "CH-AG", "CH-AI", "CH-AR", "CH-BE", "CH-BL", "CH-BS", "CH-GL", "CH-GR", "CH-LU", "CH-NW", "CH-OW",
        "CH-SG", "CH-SH", "CH-SO", "CH-SZ", "CH-TG", "CH-TI", "CH-UR", "CH-ZG", "CH-ZH",
    ]),
    Rule::new(When::Fixed(12, 31), "Restoration Day", "Wiederherstellung der Republik").only_in(&["CH-GE"]),
];
