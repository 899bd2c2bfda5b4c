//! Competitors over HTTP: `/properties/{id}/competitors` declares them, `/competitors/{propertyId}` tells what they ask.
//!
//! What is declared is checked as the worker will read it: the rules of the page by the same type, its address by the rules for outgoing
//! calls. Both are looked at again whenever a page is read.

mod declare;
mod history;
mod latest;
mod view;

use actix_web::http::Method;
use actix_web::web;
use schemars::JsonSchema;
use serde_json::json;

use crate::http::route::{Route, Who};
use crate::jobs::manage::Said;
use view::{CompetitorAnswer, CompetitorList};

/// Most competitors and prices of a page.
const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 50;

pub fn routes() -> Vec<Route> {
    let day = || json!({"type": "string", "format": "date"});
    let of_property = |method, path, who, id, handler| {
        Route::new(method, path, who, ("competitors", id), handler).fails(404, "unknown_property")
    };
    let of_one = |method, who, id, handler| {
        of_property(method, "/properties/{id}/competitors/{competitorId}", who, id, handler)
            .fails(404, "unknown_competitor")
    };
    let read = |path, id, handler| {
        of_property(Method::GET, path, Who::Reader, id, handler)
            .answers_nothing(304, "It is as the client knows it (If-None-Match).")
            .fails(400, "invalid_query")
            .fails(422, "invalid_fields")
    };
    vec![
        of_property(Method::GET, "/properties/{id}/competitors", Who::Reader, "listCompetitors", || {
            web::get().to(declare::list)
        })
        .says("Who competes with a property.")
        .answers::<CompetitorList>(200, "All of them."),
        of_property(Method::POST, "/properties/{id}/competitors", Who::Writer, "addCompetitor", || {
            web::post().to(declare::create)
        })
        .says("Declares a competitor of a property, under a new id.")
        .takes::<CompetitorBody>()
        .answers::<CompetitorAnswer>(201, "It is read by the next job.")
        .fails(409, "too_many_competitors"),
        of_one(Method::GET, Who::Reader, "getCompetitor", || web::get().to(declare::get))
            .says("A competitor of a property, by its id or the name that its owner gave it in the address.")
            .answers::<CompetitorAnswer>(200, "The competitor."),
        of_one(Method::PUT, Who::Writer, "putCompetitor", || web::put().to(declare::put))
            .says("Declares a competitor under a name of one's own, or replaces what is declared of one, for all properties that have it.")
            .takes::<CompetitorBody>()
            .answers::<CompetitorAnswer>(201, "It is read by the next job.")
            .answers::<CompetitorAnswer>(200, "What was said of it is replaced.")
            .fails(409, "too_many_competitors"),
        of_one(Method::DELETE, Who::Writer, "removeCompetitor", || web::delete().to(declare::remove))
            .says("Says that a competitor does not compete with a property any more. The prices that were read stay.")
            .answers::<Said>(200, "It does not."),
        read("/competitors/{propertyId}", "getCompetitorPrices", || web::get().to(latest::get))
            .says("What a property's competitors ask for a stay, and where its own price stands.")
            .param("checkIn", day(), "The day of arrival; the stay that was asked about last, if left out.")
            .param("checkOut", day(), "The day of departure.")
            .param("adults", json!({"type": "integer", "minimum": 1, "maximum": 30}), "Guests.")
            .answers::<latest::LatestAnswer>(200, "The latest price of each competitor."),
        read("/competitors/{propertyId}/prices", "listCompetitorPrices", || web::get().to(history::get))
            .says("What a property's competitors have asked, day by day.")
            .param("from", day(), "The first day on which a price was seen.")
            .param("to", day(), "The last day.")
            .param("checkIn", day(), "The day of arrival; with checkOut and adults, for one stay alone.")
            .param("checkOut", day(), "The day of departure.")
            .param("adults", json!({"type": "integer", "minimum": 1, "maximum": 30}), "Guests.")
            .param("competitor", json!({"type": "string", "maxLength": 256}), "The id of one competitor.")
            .param(
                "limit",
                json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
                "Most prices of a page.",
            )
            .param("cursor", json!({"type": "string"}), "Where the last page ended (next).")
            .answers::<history::HistoryAnswer>(200, "A page of prices, the oldest first.")
            .fails(400, "invalid_cursor"),
    ]
}

/// What is declared of a competitor.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct CompetitorBody {
    /// What people call it.
    #[schemars(length(min = 1, max = 200))]
    name: String,
    page: PageBody,
}

/// How its page is found and read.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct PageBody {
    /// With {checkIn}, {checkOut}, {nights}, {adults} and {location} in its path or query.
    #[schemars(length(min = 1, max = 1500))]
    url: String,
    selectors: Option<SelectorsBody>,
    /// Of prices that name none: three letters of ISO 4217.
    currency: Option<String>,
    /// What a price is for; a night, where nothing is said.
    #[schemars(extend("enum" = ["night", "stay"]))]
    price_for: Option<String>,
}

/// Where things are on the page: CSS selectors. Without them the price is looked for where pages mark it for machines.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct SelectorsBody {
    #[schemars(length(min = 1, max = 200))]
    price: String,
    #[schemars(length(min = 1, max = 200))]
    offer: Option<String>,
    #[schemars(length(min = 1, max = 200))]
    price_attribute: Option<String>,
    #[schemars(length(min = 1, max = 200))]
    room: Option<String>,
    #[schemars(length(min = 1, max = 200))]
    sold_out: Option<String>,
}
