//! Offers that a page marks up by attributes: `itemprop="price"` and what stands around it.

use std::sync::LazyLock;

use scraper::{ElementRef, Selector};

use super::{Document, Found, Offer, PageRules, lowest, room};
use crate::money::{self, Currency, parse_price};

/// Most prices of a page that are looked at.
const PRICES_MAX: usize = 1_000;

fn known(selector: &str) -> Selector {
    Selector::parse(selector).unwrap_or_else(|_| unreachable!("a test parses it"))
}

static PRICES: LazyLock<Selector> = LazyLock::new(|| known("[itemprop~=price], [itemprop~=lowPrice]"));
static CURRENCY: LazyLock<Selector> = LazyLock::new(|| known("[itemprop~=priceCurrency]"));
static AVAILABILITY: LazyLock<Selector> = LazyLock::new(|| known("[itemprop~=availability]"));
static NAME: LazyLock<Selector> = LazyLock::new(|| known("[itemprop~=name]"));

/// The lowest price; `None` if no element has one.
pub(super) fn read(document: &Document, rules: &PageRules) -> Option<Found> {
    let (mut offers, mut taken) = (Vec::new(), 0_usize);
    for element in document.html.select(&PRICES).take(PRICES_MAX) {
        let scope =
            element.ancestors().filter_map(ElementRef::wrap).find(|node| node.attr("itemscope").is_some());
        let of_scope = |selector: &Selector| scope.and_then(|scope| scope.select(selector).next()).map(value);
        let availability = of_scope(&AVAILABILITY).unwrap_or_default();
        if availability.ends_with("SoldOut") || availability.ends_with("OutOfStock") {
            taken += 1;
            continue;
        }
        let currency = of_scope(&CURRENCY).and_then(|code| code.trim().parse::<Currency>().ok());
        let expected = currency.or(rules.currency);
        let plain = element.attr("content").and_then(|text| text.trim().parse::<f64>().ok());
        let found = match plain {
            Some(number) => money::micros(number).map(|micros| (micros, None)),
            None => parse_price(&value(element), expected).ok(),
        };
        if let Some((micros, named)) = found {
            let room = of_scope(&NAME).as_deref().and_then(room);
            offers.push(Offer { micros, currency: currency.or(named).or(rules.currency), room });
        }
    }
    lowest(offers).or((taken > 0).then_some(Found::SoldOut))
}

/// What an element says: in the attribute that is for it, or as text.
fn value(element: ElementRef<'_>) -> String {
    match element.attr("content").or_else(|| element.attr("href")) {
        Some(value) => value.to_owned(),
        None => element.text().collect(),
    }
}
