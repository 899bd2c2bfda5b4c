//! Holidays in the formats of three upstreams, from one table of rules.

mod calendarific;
mod countries;
mod nager;
mod open_holidays;
mod public;
mod rule;
mod school;

use actix_web::web;

/// Years that the rules are kept for.
pub(crate) const YEARS: std::ops::RangeInclusive<i16> = 1990..=2100;

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v3/PublicHolidays/{year}/{country}", web::get().to(nager::public_holidays))
        .route("/api/v2/holidays", web::get().to(calendarific::holidays))
        .route("/SchoolHolidays", web::get().to(open_holidays::school_holidays));
}
