//! Spain and Italy.

use crate::holidays::rule::{Rule, When, Years};

pub(super) const SPAIN: &[Rule] = &[
    Rule::new(When::Fixed(1, 1), "New Year's Day", "Año Nuevo"),
    Rule::new(When::Fixed(1, 6), "Epiphany", "Día de Reyes"),
    Rule::new(When::Fixed(2, 28), "Day of Andalucía", "Día de Andalucía").only_in(&["ES-AN"]),
    Rule::new(When::Easter(-3), "Maundy Thursday", "Jueves Santo").only_in(&[
        "ES-AN", "ES-AR", "ES-AS", "ES-CB", "ES-CE", "ES-CL", "ES-CM", "ES-CN", "ES-EX", "ES-GA", "ES-IB",
        "ES-MC", "ES-MD", "ES-ML", "ES-NC", "ES-PV", "ES-RI",
    ]),
    Rule::new(When::Easter(-2), "Good Friday", "Viernes Santo"),
    Rule::new(When::Easter(1), "Easter Monday", "Lunes de Pascua")
        .only_in(&["ES-CT", "ES-IB", "ES-NC", "ES-PV", "ES-RI", "ES-VC"]),
    Rule::new(When::Fixed(5, 1), "Labour Day", "Fiesta del trabajo"),
    Rule::new(When::Fixed(5, 2), "Day of Madrid", "Fiesta de la Comunidad de Madrid").only_in(&["ES-MD"]),
    Rule::new(When::Fixed(6, 24), "Saint John", "Sant Joan").only_in(&["ES-CT", "ES-VC"]),
    Rule::new(When::Fixed(8, 15), "Assumption", "Asunción"),
    Rule::new(When::Fixed(9, 11), "National Day of Catalonia", "Diada Nacional de Catalunya")
        .only_in(&["ES-CT"]),
    Rule::new(When::Fixed(10, 12), "National Day", "Fiesta Nacional de España"),
    Rule::new(When::Fixed(11, 1), "All Saints' Day", "Día de todos los Santos"),
    Rule::new(When::Fixed(12, 6), "Constitution Day", "Día de la Constitución"),
    Rule::new(When::Fixed(12, 8), "Immaculate Conception", "Inmaculada Concepción"),
    Rule::new(When::Fixed(12, 25), "Christmas Day", "Navidad"),
    Rule::new(When::Fixed(12, 26), "St. Stephen's Day", "Sant Esteve").only_in(&["ES-CT"]),
];

pub(super) const ITALY: &[Rule] = &[
    Rule::new(When::Fixed(1, 1), "New Year's Day", "Capodanno"),
    Rule::new(When::Fixed(1, 6), "Epiphany", "Epifania"),
    Rule::new(When::Easter(0), "Easter Sunday", "Pasqua"),
    Rule::new(When::Easter(1), "Easter Monday", "Lunedì dell'Angelo"),
    Rule::new(When::Fixed(4, 25), "Liberation Day", "Festa della Liberazione"),
    Rule::new(When::Fixed(5, 1), "International Workers Day", "Festa del Lavoro"),
    Rule::new(When::Fixed(6, 2), "Republic Day", "Festa della Repubblica").years(Years::Since(2001)),
    Rule::new(When::Fixed(8, 15), "Assumption Day", "Ferragosto"),
    Rule::new(When::Fixed(10, 4), "Saint Francis of Assisi", "San Francesco d'Assisi")
        .years(Years::Since(2026)),
    Rule::new(When::Fixed(11, 1), "All Saints Day", "Tutti i santi"),
    Rule::new(When::Fixed(12, 8), "Immaculate Conception", "Immacolata Concezione"),
    Rule::new(When::Fixed(12, 25), "Christmas Day", "Natale"),
    Rule::new(When::Fixed(12, 26), "St. Stephen's Day", "Santo Stefano"),
];
