//! Prices where a user's selectors say they are.

use bulrush_catalog::competitor::{PageRules, Selectors};
use scraper::ElementRef;

use super::{Changed, Document, Found, Offer, lowest, room, tidy};
use crate::money::parse_price;

/// Most offers of a page that are looked at.
const OFFERS_MAX: usize = 1_000;
/// How much of a text that is no price is repeated, in characters.
const ECHO_MAX: usize = 60;

pub(super) fn read(document: &Document, rules: &PageRules) -> Result<Found, Changed> {
    let Some(selectors) = &rules.selectors else { return Err(Changed::NothingMarked) };
    let mut offers = Vec::new();
    // What was wrong with the first one that gave no price: with all of them, if none did.
    let mut wrong = None;
    let mut add = |offer: Result<Offer, Changed>| match offer {
        Ok(offer) => offers.push(offer),
        Err(changed) => {
            wrong.get_or_insert(changed);
        }
    };
    if let Some(selector) = &selectors.offer {
        for element in document.html.select(&selector.css).take(OFFERS_MAX) {
            let found = element.select(&selectors.price.css).next();
            let found = found.ok_or_else(|| nothing(&selectors.price.text));
            let name = selectors.room.as_ref().and_then(|room| element.select(&room.css).next());
            let name = name.map(|name| name.text().collect::<String>());
            add(found.and_then(|found| offer(found, name.as_deref(), selectors, rules)));
        }
    } else {
        let name = selectors.room.as_ref().and_then(|room| document.html.select(&room.css).next());
        let name = name.map(|name| name.text().collect::<String>());
        for element in document.html.select(&selectors.price.css).take(OFFERS_MAX) {
            add(offer(element, name.as_deref(), selectors, rules));
        }
    }
    if let Some(found) = lowest(offers) {
        return Ok(found);
    }
    let is_sold_out =
        selectors.sold_out.as_ref().is_some_and(|gone| document.html.select(&gone.css).next().is_some());
    if is_sold_out {
        return Ok(Found::SoldOut);
    }
    let first = selectors.offer.as_ref().unwrap_or(&selectors.price);
    Err(wrong.unwrap_or_else(|| nothing(&first.text)))
}

fn offer(
    element: ElementRef<'_>,
    name: Option<&str>,
    selectors: &Selectors,
    rules: &PageRules,
) -> Result<Offer, Changed> {
    let selector = &selectors.price.text;
    let text = match &selectors.price_attribute {
        None => element.text().collect(),
        Some(attribute) => match element.attr(attribute) {
            Some(value) => value.to_owned(),
            None => {
                return Err(Changed::NoAttribute {
                    selector: selector.clone(),
                    attribute: attribute.clone(),
                });
            }
        },
    };
    let (micros, currency) = parse_price(&text, rules.currency).map_err(|why| Changed::NoPrice {
        selector: selector.clone(),
        text: tidy(&text, ECHO_MAX),
        why,
    })?;
    Ok(Offer { micros, currency: currency.or(rules.currency), room: name.and_then(room) })
}

fn nothing(selector: &str) -> Changed {
    Changed::NothingSelected { selector: selector.to_owned() }
}
