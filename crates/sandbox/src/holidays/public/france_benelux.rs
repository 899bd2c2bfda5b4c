//! France with Alsace and Moselle, and the Netherlands.

use crate::holidays::rule::{Rule, Weekend, When, Years};

/// Alsace and Moselle keep two holidays of German times; they are most of the east's region.
const EAST: &[&str] = &["FR-GES"];

pub(super) const FRANCE: &[Rule] = &[
    Rule::new(When::Fixed(1, 1), "New Year's Day", "Jour de l'an"),
    Rule::new(When::Easter(-2), "Good Friday", "Vendredi saint").only_in(EAST),
    Rule::new(When::Easter(1), "Easter Monday", "Lundi de Pâques"),
    Rule::new(When::Fixed(5, 1), "Labour Day", "Fête du Travail"),
    Rule::new(When::Fixed(5, 8), "Victory in Europe Day", "Victoire 1945"),
    Rule::new(When::Easter(39), "Ascension Day", "Ascension"),
    Rule::new(When::Easter(50), "Whit Monday", "Lundi de Pentecôte"),
    Rule::new(When::Fixed(7, 14), "Bastille Day", "Fête nationale"),
    Rule::new(When::Fixed(8, 15), "Assumption Day", "Assomption"),
    Rule::new(When::Fixed(11, 1), "All Saints' Day", "Toussaint"),
    Rule::new(When::Fixed(11, 11), "Armistice Day", "Armistice 1918"),
    Rule::new(When::Fixed(12, 25), "Christmas Day", "Noël"),
    Rule::new(When::Fixed(12, 26), "St. Stephen's Day", "Saint-Étienne").only_in(EAST),
];

pub(super) const NETHERLANDS: &[Rule] = &[
    Rule::new(When::Fixed(1, 1), "New Year's Day", "Nieuwjaarsdag"),
    Rule::new(When::Easter(0), "Easter Sunday", "Eerste Paasdag"),
    Rule::new(When::Easter(1), "Easter Monday", "Tweede Paasdag"),
    Rule::new(When::Fixed(4, 30), "Queen's Day", "Koninginnedag")
        .years(Years::Until(2013))
        .weekend(Weekend::SaturdayBeforeSunday),
    Rule::new(When::Fixed(4, 27), "King's Day", "Koningsdag")
        .years(Years::Since(2014))
        .weekend(Weekend::SaturdayBeforeSunday),
    // Free for most people once in five years.
    Rule::new(When::Fixed(5, 5), "Liberation Day", "Bevrijdingsdag").years(Years::Every(5)),
    Rule::new(When::Easter(39), "Ascension Day", "Hemelvaartsdag"),
    Rule::new(When::Easter(49), "Pentecost", "Eerste Pinksterdag"),
    Rule::new(When::Easter(50), "Whit Monday", "Tweede Pinksterdag"),
    Rule::new(When::Fixed(12, 25), "Christmas Day", "Eerste Kerstdag"),
    Rule::new(When::Fixed(12, 26), "St. Stephen's Day", "Tweede Kerstdag"),
];
