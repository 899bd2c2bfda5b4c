//! From the bytes of a page to the price that it shows.
//!
//! Pages are written by strangers, and read by rules that a user declared: neither may cost more than it should. A page is
//! parsed piece by piece, and given up as soon as it grows deeper or larger than pages do.

mod document;
mod json_ld;
mod microdata;
mod selected;

use bulrush_catalog::competitor::PageRules;
use serde::{Deserialize, Serialize};

use crate::money::{Currency, PriceTextError};

pub(crate) use document::{Document, DocumentError};

/// What a page says of a stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Found {
    /// The lowest price of what is free.
    Price {
        /// Millionths of a unit.
        micros: i64,
        /// Its currency, if the page says so.
        currency: Option<Currency>,
        /// What it is for.
        room: Option<String>,
    },
    /// Nothing is free.
    SoldOut,
}

/// The page is not as it was declared. Each text names the rule that found nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Changed {
    #[error("the selector {selector:?} found nothing")]
    NothingSelected { selector: String },
    #[error("the selector {selector:?} found {text:?}, which is no price ({why})")]
    NoPrice { selector: String, text: String, why: PriceTextError },
    #[error("the selector {selector:?} found an element without the attribute {attribute:?}")]
    NoAttribute { selector: String, attribute: String },
    #[error(
        "it has no offer with a price as JSON-LD, and the selector \"[itemprop=price]\" found nothing; declare \
         page.selectors.price"
    )]
    NothingMarked,
}

/// An offer among those of a page.
struct Offer {
    micros: i64,
    currency: Option<Currency>,
    room: Option<String>,
}

/// Reads the page by its rules: by the selectors where there are any, otherwise by what the page says to machines.
pub(crate) fn read(document: &Document, rules: &PageRules) -> Result<Found, Changed> {
    if rules.selectors.is_some() {
        return selected::read(document, rules);
    }
    json_ld::read(document, rules).or_else(|| microdata::read(document, rules)).ok_or(Changed::NothingMarked)
}

/// The lowest offer, among those in the currency of the first: others cannot be compared here.
fn lowest(offers: Vec<Offer>) -> Option<Found> {
    let currency = offers.first()?.currency;
    let lowest =
        offers.into_iter().filter(|offer| offer.currency == currency).min_by_key(|offer| offer.micros)?;
    Some(Found::Price { micros: lowest.micros, currency: lowest.currency, room: lowest.room })
}

/// A text of a page, fit for a line: spaces made one, controls gone, length bounded.
fn tidy(text: &str, max: usize) -> String {
    let mut tidy = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !tidy.is_empty() {
            tidy.push(' ');
        }
        tidy.extend(word.chars().take(max));
        if tidy.chars().count() >= max {
            break;
        }
    }
    tidy.chars().take(max).collect()
}

/// Longest name of a room that is kept, in characters.
const ROOM_MAX: usize = 120;

/// The name of a room, if there is one.
fn room(text: &str) -> Option<String> {
    Some(tidy(text, ROOM_MAX)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(html: &str, rules: serde_json::Value) -> Result<Found, Changed> {
        let mut page = rules;
        page["url"] = "https://hotel.example/".into();
        let rules = PageRules::from_json(&page).unwrap();
        read(&Document::parse(html.as_bytes(), None).unwrap(), &rules)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands beside what was found")]
    fn price(units: f64, currency: &str, room: &str) -> Result<Found, Changed> {
        let micros = crate::money::micros(units).unwrap();
        let room = Some(room.to_owned()).filter(|room| !room.is_empty());
        Ok(Found::Price { micros, currency: currency.parse().ok(), room })
    }

    fn marked(json: &str) -> Result<Found, Changed> {
        found(
            &format!("<p>1 €</p><script type=\"application/ld+json\">{json}</script>"),
            serde_json::json!({}),
        )
    }

    #[test]
    fn offers_in_json_ld_are_found_wherever_they_stand() {
        for (json, expected) in [
            (r#"{"@type":"Offer","price":99.5,"priceCurrency":"EUR"}"#, price(99.5, "EUR", "")),
            (
                r#"{"@type":"Hotel","makesOffer":{"@type":"Offer","name":"Double","price":"120.00","priceCurrency":"CHF"}}"#,
                price(120.0, "CHF", "Double"),
            ),
            (
                r#"{"@graph":[{"@type":"WebPage"},{"@type":["Product","Room"],"name":"Suite","offers":[{"@type":"Offer","price":200,"priceCurrency":"EUR"},{"@type":"Offer","price":150,"priceCurrency":"EUR"}]}]}"#,
                price(150.0, "EUR", "Suite"),
            ),
            (
                r#"[{"@type":"http://schema.org/AggregateOffer","lowPrice":"1,234.50","highPrice":"2000","priceCurrency":"USD"}]"#,
                price(1234.5, "USD", ""),
            ),
            (
                r#"{"@type":"Offer","priceSpecification":{"@type":"UnitPriceSpecification","price":80,"priceCurrency":"GBP"}}"#,
                price(80.0, "GBP", ""),
            ),
            (
                r#"{"@type":"Offer","price":99,"priceCurrency":"EUR","itemOffered":{"@type":"HotelRoom","name":"Attic"}}"#,
                price(99.0, "EUR", "Attic"),
            ),
            (r#"{"@type":"Offer","price":"99,50 €"}"#, price(99.5, "EUR", "")),
            (r#"{"@type":"Offer","price":"1234.567","priceCurrency":"EUR"}"#, price(1234.567, "EUR", "")),
            (r#"{"@type":"LodgingBusiness","priceRange":"€99 - €199"}"#, price(99.0, "EUR", "")),
            (
                r#"{"@type":"Hotel","priceRange":"€€€","makesOffer":{"@type":"Offer","price":88,"priceCurrency":"EUR"}}"#,
                price(88.0, "EUR", ""),
            ),
            (
                r#"{"@type":"Offer","price":50,"priceCurrency":"EUR","availability":"https://schema.org/SoldOut"}"#,
                Ok(Found::SoldOut),
            ),
            (
                r#"[{"@type":"Offer","price":50,"priceCurrency":"EUR","availability":"SoldOut"},{"@type":"Offer","price":70,"priceCurrency":"EUR"}]"#,
                price(70.0, "EUR", ""),
            ),
            (r#"<!-- {"@type":"Offer","price":99,"priceCurrency":"EUR"} -->"#, price(99.0, "EUR", "")),
        ] {
            assert_eq!(marked(json), expected, "{json}");
        }
    }

    #[test]
    fn json_ld_that_says_no_price_is_no_price() {
        for json in [
            "",
            "{",
            "null",
            "[]",
            "17",
            r#"{"@type":"Offer"}"#,
            r#"{"@type":"Offer","price":0}"#,
            r#"{"@type":"Offer","price":-5}"#,
            r#"{"@type":"Offer","price":1e300}"#,
            r#"{"@type":"Offer","price":"on request"}"#,
            r#"{"@type":"Hotel","priceRange":"€€€"}"#,
            r#"{"@type":"Review","price":5}"#,
            r#"{"@type":"Offer","price":{"a":1}}"#,
        ] {
            assert_eq!(marked(json), Err(Changed::NothingMarked), "{json}");
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(marked(&deep), Err(Changed::NothingMarked));
    }

    #[test]
    fn microdata_is_read_where_there_is_no_json_ld() {
        let none = serde_json::json!({});
        let offer = "<div itemscope><b itemprop=name>Studio</b><span itemprop=price content=\"97.20\">97</span>\
                     <meta itemprop=priceCurrency content=EUR></div><i itemprop=price>120 €</i>";
        assert_eq!(found(offer, none.clone()), price(97.2, "EUR", "Studio"));
        assert_eq!(
            found("<span itemprop=price>from 1.097,20 €</span>", none.clone()),
            price(1097.2, "EUR", "")
        );
        let gone = "<div itemscope><link itemprop=availability href=\"https://schema.org/SoldOut\"><b itemprop=price>9 €</b></div>";
        assert_eq!(found(gone, none.clone()), Ok(Found::SoldOut));
        assert_eq!(found("<span itemprop=price>call us</span>", none), Err(Changed::NothingMarked));
    }

    #[test]
    fn selectors_find_what_they_were_declared_for() {
        let html = "<ul><li class=room><h2>Single</h2><p class=rate><s>was 9999</s><b data-price=\"80.5\">80,50 €</b></p>\
                    <li class=room><h2>Double\n room</h2><p class=rate><b data-price=\"70\">70,00&nbsp;&euro;</b></p></ul>";
        let one = serde_json::json!({"selectors": {"price": ".rate b"}});
        assert_eq!(found(html, one), price(70.0, "EUR", ""));
        let rooms = serde_json::json!({"selectors": {"offer": ".room", "price": ".rate b", "room": "h2"}});
        assert_eq!(found(html, rooms), price(70.0, "EUR", "Double room"));
        let attribute = serde_json::json!({"selectors": {"price": ".rate b", "priceAttribute": "data-price"}, "currency": "CHF"});
        assert_eq!(found(html, attribute), price(70.0, "CHF", ""));
        let sold_out = serde_json::json!({"selectors": {"price": ".rate b", "soldOut": ".full"}});
        assert_eq!(found("<p class=full>full", sold_out.clone()), Ok(Found::SoldOut));
        assert_eq!(found(html, sold_out), price(70.0, "EUR", ""));
    }

    #[test]
    fn a_page_that_changed_says_which_selector_found_nothing() {
        let rules = serde_json::json!({"selectors": {"offer": ".room", "price": ".rate b", "room": "h2", "priceAttribute": "data-p"}});
        let nothing = |selector: &str| Err(Changed::NothingSelected { selector: selector.to_owned() });
        assert_eq!(found("<p>hello", rules.clone()), nothing(".room"));
        assert_eq!(found("<p class=room>hello", rules.clone()), nothing(".rate b"));
        assert_eq!(
            found("<p class=room><i class=rate><b>9 €", rules.clone()),
            Err(Changed::NoAttribute { selector: ".rate b".into(), attribute: "data-p".into() })
        );
        let words = found("<p class=room><i class=rate><b data-p='call\n us'>", rules);
        assert_eq!(
            words.unwrap_err().to_string(),
            "the selector \".rate b\" found \"call us\", which is no price (it holds no number)"
        );
    }

    #[test]
    fn texts_are_tidied_and_bounded() {
        assert_eq!(tidy("  a\n\tb\u{a0}c\u{0}d  ", 100), "a b c d");
        assert_eq!(tidy(&"é".repeat(500), 10).chars().count(), 10);
        assert_eq!(tidy(&"a ".repeat(500), 5), "a a a");
    }
}
