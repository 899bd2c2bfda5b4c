//! Pages of hotels, as a job that compares prices reads them: `/hotels/{hotel}?checkin=&checkout=&adults=`.
//!
//! Each hotel writes its price in a way of its own (JSON-LD, microdata, plain text in the spelling of its country), so that
//! reading them all is reading what is out there. `/robots.txt` asks for a pause and keeps `/hotels/private/` to itself.

mod page;
mod price;

use actix_web::{HttpResponse, http::header, web};
use jiff::civil::Date;
use serde::Deserialize;

use page::Shape;

/// A hotel.
struct Hotel {
    slug: &'static str,
    name: &'static str,
    shape: Shape,
    /// What a night costs at the quiet times of the year, in its currency.
    base: f64,
}

/// Beside these, `moved` redirects to the first, `inward` to where nobody from outside may look, and `full` has no room.
const HOTELS: &[Hotel] = &[
    Hotel { slug: "alpenblick", name: "Hotel Alpenblick", shape: Shape::Offers, base: 118.0 },
    Hotel { slug: "seeufer", name: "Hotel am Seeufer", shape: Shape::Aggregate, base: 142.0 },
    Hotel { slug: "stadtgarten", name: "Stadtgarten Suites", shape: Shape::Microdata, base: 97.0 },
    Hotel { slug: "grand-plaza", name: "Grand Plaza", shape: Shape::UnitedStates, base: 1_040.0 },
    Hotel { slug: "schlosshof", name: "Schlosshof Müller", shape: Shape::Germany, base: 1_180.0 },
    Hotel { slug: "edelweiss", name: "Chalet Edelweiss", shape: Shape::Switzerland, base: 1_090.0 },
    Hotel { slug: "lumiere", name: "Hôtel Lumière", shape: Shape::France, base: 134.0 },
    Hotel { slug: "renovated", name: "The Renovated", shape: Shape::Renovated, base: 120.0 },
    Hotel { slug: "full", name: "The Full House", shape: Shape::Full, base: 120.0 },
];

const ROBOTS: &str = "# Be kind: one page after the other.\n\
    User-agent: *\n\
    Disallow: /hotels/private/\n\
    Crawl-delay: 0.2\n";

/// The hotels that have a price, as a job that reads their pages has them declared: identifier, name, and where the price stands.
pub(crate) fn competitors(base: &str) -> serde_json::Value {
    let is_priced = |hotel: &&Hotel| !matches!(hotel.shape, Shape::Renovated | Shape::Full);
    let declared = HOTELS.iter().filter(is_priced).map(|hotel| {
        let url = format!(
            "{base}/hotels/{}?checkin={{checkIn}}&checkout={{checkOut}}&adults={{adults}}",
            hotel.slug
        );
        let page = if hotel.shape.says_it_to_machines() {
            serde_json::json!({"url": url})
        } else {
            serde_json::json!({"url": url, "selectors": {"offer": ".room", "price": ".rate .amount", "room": ".room-name"}})
        };
        serde_json::json!({"id": hotel.slug, "name": hotel.name, "page": page})
    });
    declared.collect()
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/robots.txt", web::get().to(robots))
        .route("/hotels/private/{page}", web::get().to(private))
        .route("/hotels/{hotel}", web::get().to(hotel));
}

async fn robots() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(ROBOTS)
}

/// There is a page: a reader that comes here has not read the robots.txt.
async fn private() -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body("<p class=\"rate\">1 €</p>")
}

/// A stay. What cannot be read is answered as a page without a price would be.
#[derive(Deserialize)]
struct Asked {
    checkin: Option<String>,
    checkout: Option<String>,
    adults: Option<u32>,
}

async fn hotel(
    path: web::Path<String>,
    asked: web::Query<Asked>,
    request: actix_web::HttpRequest,
) -> HttpResponse {
    let redirect = |to: &str| HttpResponse::MovedPermanently().insert_header((header::LOCATION, to)).finish();
    match path.as_str() {
        "moved" => return redirect(&format!("/hotels/alpenblick?{}", request.query_string())),
        "inward" => return redirect("http://169.254.169.254/latest/meta-data/"),
        _ => {}
    }
    let Some(hotel) = HOTELS.iter().find(|hotel| hotel.slug == path.as_str()) else {
        return HttpResponse::NotFound().content_type("text/html; charset=utf-8").body("<h1>Not found</h1>");
    };
    let day = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Date>().ok());
    let (Some(check_in), Some(check_out)) = (day(&asked.checkin), day(&asked.checkout)) else {
        return HttpResponse::BadRequest().content_type("text/html; charset=utf-8").body("<h1>When?</h1>");
    };
    let adults = asked.adults.unwrap_or(2).clamp(1, 30);
    let night = price::per_night(hotel.slug, hotel.base, (check_in, check_out), adults);
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page::html(
        hotel.name,
        hotel.shape,
        night,
    ))
}
