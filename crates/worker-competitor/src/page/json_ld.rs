//! Offers that a page describes to machines as JSON-LD, in the words of schema.org.

use std::sync::LazyLock;

use scraper::Selector;
use serde_json::{Map, Value};

use super::{Document, Found, Offer, PageRules, lowest, room};
use crate::money::{self, Currency, parse_price};

/// Most offers of a page that are looked at.
const OFFERS_MAX: usize = 1_000;

static SCRIPTS: LazyLock<Selector> = LazyLock::new(|| {
    Selector::parse("script[type=\"application/ld+json\" i]")
        .unwrap_or_else(|_| unreachable!("a test parses it"))
});

/// Offers that are free, offers that are not, and the range that a house says of itself.
#[derive(Default)]
struct Offers {
    free: Vec<Offer>,
    taken: usize,
    ranges: Vec<Offer>,
}

/// The lowest price; `None` if no script has one.
pub(super) fn read(document: &Document, rules: &PageRules) -> Option<Found> {
    let mut offers = Offers::default();
    for script in document.html.select(&SCRIPTS) {
        let text: String = script.text().collect();
        // Some pages still wrap scripts in comments, from the days when browsers showed them.
        let text = text.trim().trim_start_matches("<!--").trim_end_matches("-->");
        // Another script may be whole. The parser refuses what is nested too deep.
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            offers.gather(&value, None, rules.currency);
        }
    }
    // A range is about the house; offers are about the stay.
    lowest(offers.free).or((offers.taken > 0).then_some(Found::SoldOut)).or_else(|| lowest(offers.ranges))
}

impl Offers {
    fn gather(&mut self, value: &Value, name: Option<&str>, hint: Option<Currency>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.gather(item, name, hint)),
            Value::Object(node) => {
                if self.free.len() + self.taken >= OFFERS_MAX {
                    return;
                }
                let is_offer = is_a(node, "Offer") || is_a(node, "AggregateOffer");
                let own = node.get("name").and_then(Value::as_str);
                if is_offer {
                    self.offer(node, name, hint);
                } else if let Some(range) = node.get("priceRange") {
                    self.ranges.extend(price(range, None, hint).map(|(micros, currency)| Offer {
                        micros,
                        currency,
                        room: None,
                    }));
                }
                // A house's name is none of a room.
                let below =
                    own.filter(|_| is_a(node, "Product") || is_a(node, "HotelRoom") || is_a(node, "Room"));
                for (_, item) in node.iter().filter(|(_, item)| item.is_object() || item.is_array()) {
                    self.gather(item, below.or(name), hint);
                }
            }
            _ => {}
        }
    }

    fn offer(&mut self, node: &Map<String, Value>, name: Option<&str>, hint: Option<Currency>) {
        let availability = node.get("availability").and_then(Value::as_str).unwrap_or_default();
        let availability = availability.rsplit('/').next().unwrap_or_default();
        if matches!(availability, "SoldOut" | "OutOfStock" | "Discontinued") {
            self.taken += 1;
            return;
        }
        let currency = text_of(node, "priceCurrency");
        let specification = match node.get("priceSpecification") {
            Some(Value::Array(several)) => several.first(),
            one => one,
        };
        let specification = specification.and_then(Value::as_object);
        let found = ["lowPrice", "price"]
            .iter()
            .find_map(|field| price(node.get(*field)?, currency, hint))
            .or_else(|| {
                let specification = specification?;
                price(specification.get("price")?, text_of(specification, "priceCurrency").or(currency), hint)
            });
        let offered = node.get("itemOffered").and_then(|item| item.get("name")).and_then(Value::as_str);
        let own = node.get("name").and_then(Value::as_str);
        if let Some((micros, currency)) = found {
            let room = own.or(offered).or(name).and_then(room);
            self.free.push(Offer { micros, currency, room });
        }
    }
}

fn text_of<'a>(node: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    node.get(field).and_then(Value::as_str)
}

/// A price as a number, as a number in a text (by the rules of schema.org), or as people write it.
fn price(value: &Value, code: Option<&str>, hint: Option<Currency>) -> Option<(i64, Option<Currency>)> {
    let currency = code.and_then(|code| code.trim().parse::<Currency>().ok());
    let expected = currency.or(hint);
    let (micros, named) = match value {
        Value::Number(number) => (money::micros(number.as_f64()?)?, None),
        Value::String(text) => {
            let text = text.trim();
            let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            match text.parse::<f64>().ok().filter(|_| is_plain) {
                Some(number) => (money::micros(number)?, None),
                None => parse_price(text, expected).ok()?,
            }
        }
        _ => return None,
    };
    Some((micros, currency.or(named).or(hint)))
}

/// Whether a node is of a type, written with or without the address of schema.org, alone or among others.
fn is_a(node: &Map<String, Value>, kind: &str) -> bool {
    let is =
        |value: &Value| value.as_str().is_some_and(|text| text.rsplit(['/', '#', ':']).next() == Some(kind));
    match node.get("@type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is),
        Some(one) => is(one),
        None => false,
    }
}
