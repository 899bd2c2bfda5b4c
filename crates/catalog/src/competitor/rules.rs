//! How a competitor's page is found and read, as a user declares it.

use jiff::civil::Date;
use scraper::Selector;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Currency;
use crate::payload::{Fields, PayloadProblems};

/// Longest address, selector and name of an attribute, bytes.
const URL_MAX: usize = 1_500;
const SELECTOR_MAX: usize = 200;

/// What a price on a page is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriceFor {
    /// One night.
    #[default]
    Night,
    /// All nights of the stay.
    Stay,
}

/// How a page is found and read.
#[derive(Debug, Clone)]
pub struct PageRules {
    /// The address, with `{checkIn}`, `{checkOut}`, `{nights}`, `{adults}` and `{location}` in its path or query.
    url: String,
    /// Where things are on it; without them the price is looked for where pages mark it for machines.
    pub selectors: Option<Selectors>,
    /// The currency of prices that name none; it also says which dollars or crowns are meant.
    pub currency: Option<Currency>,
    /// What its prices are for.
    pub price_for: PriceFor,
    /// All of this as text, for telling one set of rules from another.
    fingerprint: String,
}

/// A selector and its text.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The selector.
    pub css: Selector,
    /// As it was written.
    pub text: String,
}

/// Where things are on a page.
#[derive(Debug, Clone)]
pub struct Selectors {
    /// One offer of several.
    pub offer: Option<Rule>,
    /// Its price.
    pub price: Rule,
    /// The attribute that holds the price, where the text does not.
    pub price_attribute: Option<String>,
    /// What the price is for.
    pub room: Option<Rule>,
    /// What is there when nothing is free.
    pub sold_out: Option<Rule>,
}

impl PageRules {
    /// Reads `{url, selectors?: {price, offer?, priceAttribute?, room?, soldOut?}, currency?, priceFor?: night|stay}`.
    ///
    /// # Errors
    /// Everything that is wrong, by its field: `page.selectors.price`.
    pub fn from_json(value: &Value) -> Result<Self, PayloadProblems> {
        let mut problems = PayloadProblems::default();
        let Value::Object(map) = value else {
            problems.push("page", "must be an object: {\"url\": \"https://…\"}");
            return Err(problems);
        };
        let mut fields = Fields::new(map, "page", &mut problems);
        fields.only(&["url", "selectors", "currency", "priceFor"]);
        let url = fields.text("url", URL_MAX);
        if let Some(wrong) = url.as_deref().and_then(wrong_placeholder) {
            fields.problem("url", wrong);
        }
        let currency = fields.text_opt("currency", 16).and_then(|code| match code.parse::<Currency>() {
            Ok(currency) => Some(currency),
            Err(error) => {
                fields.problem("currency", error.to_string());
                None
            }
        });
        let price_for = match fields.value("priceFor") {
            None => Some(PriceFor::default()),
            Some(_) => fields.one_of("priceFor", &[(PriceFor::Night, "night"), (PriceFor::Stay, "stay")]),
        };
        let selectors = match map.get("selectors").filter(|value| !value.is_null()) {
            None => None,
            Some(Value::Object(map)) => selectors(&mut Fields::new(map, "page.selectors", &mut problems)),
            Some(_) => {
                fields.problem("selectors", "must be an object: {\"price\": \".rate\"}");
                None
            }
        };
        let (Some(url), Some(price_for)) = (url, price_for) else { return Err(problems) };
        problems.into_result()?;
        let fingerprint = value.to_string();
        Ok(Self { url, selectors, currency, price_for, fingerprint })
    }

    /// The address for a stay.
    pub fn address(&self, (check_in, check_out): (Date, Date), adults: u32, location: &str) -> String {
        let nights = check_in.until(check_out).map_or(0, |span| span.get_days());
        let location: String = url::form_urlencoded::byte_serialize(location.as_bytes()).collect();
        self.url
            .replace("{checkIn}", &check_in.to_string())
            .replace("{checkOut}", &check_out.to_string())
            .replace("{nights}", &nights.to_string())
            .replace("{adults}", &adults.to_string())
            // Last, as it is the only one that is not ours.
            .replace("{location}", &location)
    }

    /// Another one for other rules.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// The site must be declared, not filled in: only what comes after it may have placeholders.
fn wrong_placeholder(url: &str) -> Option<String> {
    let site = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next();
    if site.unwrap_or_default().contains(['{', '}']) {
        return Some(
            "has a placeholder in its host; placeholders stand in the path and the query".to_owned(),
        );
    }
    url.split('{').skip(1).find_map(|part| {
        let name = part.split('}').next().unwrap_or_default();
        let is_known = matches!(name, "checkIn" | "checkOut" | "nights" | "adults" | "location");
        (!is_known || !part.contains('}')).then(|| {
            let name: String = name.chars().take(32).collect();
            format!(
                "has the placeholder {name:?}; known are {{checkIn}}, {{checkOut}}, {{nights}}, {{adults}} and {{location}}"
            )
        })
    })
}

fn selectors(fields: &mut Fields<'_>) -> Option<Selectors> {
    fields.only(&["offer", "price", "priceAttribute", "room", "soldOut"]);
    let offer = fields.text_opt("offer", SELECTOR_MAX).and_then(|text| rule(fields, "offer", text));
    let price = fields.text("price", SELECTOR_MAX).and_then(|text| rule(fields, "price", text));
    let price_attribute = fields.text_opt("priceAttribute", SELECTOR_MAX);
    let room = fields.text_opt("room", SELECTOR_MAX).and_then(|text| rule(fields, "room", text));
    let sold_out = fields.text_opt("soldOut", SELECTOR_MAX).and_then(|text| rule(fields, "soldOut", text));
    Some(Selectors { offer, price: price?, price_attribute, room, sold_out })
}

fn rule(fields: &mut Fields<'_>, name: &str, text: String) -> Option<Rule> {
    // It looks through everything below each candidate, so that a page decides what it costs.
    if text.to_ascii_lowercase().contains(":has") {
        fields.problem(name, "uses :has, which is not accepted");
        return None;
    }
    // So does a sibling of any distance: it looks through all that stand before each candidate.
    if text.replace("~=", "").contains('~') {
        fields.problem(name, "uses ~, which is not accepted; + for the next sibling is");
        return None;
    }
    let css = Selector::parse(&text).ok();
    if css.is_none() {
        fields.problem(name, format!("is not a CSS selector: {text:?}"));
    }
    css.map(|css| Rule { css, text })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_filled_in_for_a_stay_and_nothing_in_a_location_gets_out_of_its_place() {
        let rules = PageRules::from_json(&json!({
            "url": "https://hotel.example/{location}/rooms?from={checkIn}&to={checkOut}&n={nights}&a={adults}"
        }));
        let stay = (date(2026, 12, 20), date(2026, 12, 23));
        let address = rules.unwrap().address(stay, 2, "St. Anton/../?x=1&{adults}#é");
        assert_eq!(
            address,
            "https://hotel.example/St.+Anton%2F..%2F%3Fx%3D1%26%7Badults%7D%23%C3%A9/rooms?from=2026-12-20&to=2026-12-23&n=3&a=2"
        );
    }

    #[test]
    fn what_cannot_be_used_is_told_by_its_field() {
        let url = "https://hotel.example/";
        for (page, words) in [
            (json!({}), "page.url: is required"),
            (json!("x"), "page: must be an object"),
            (json!(null), "page: must be an object"),
            (json!({"url": url, "selector": {}}), "page.selector: is not known; did you mean selectors?"),
            (json!({"url": url, "selectors": {}}), "page.selectors.price: is required"),
            (json!({"url": url, "selectors": []}), "page.selectors: must be an object"),
            (
                json!({"url": url, "selectors": {"price": "p["}}),
                "page.selectors.price: is not a CSS selector",
            ),
            (json!({"url": url, "selectors": {"price": "p ~ b"}}), "page.selectors.price: uses ~"),
            (
                json!({"url": url, "selectors": {"price": "p", "room": "a:has(b)"}}),
                "page.selectors.room: uses :has",
            ),
            (json!({"url": url, "selectors": {"price": "p".repeat(201)}}), "must have 1 to 200 bytes"),
            (json!({"url": url, "currency": "EURO"}), "page.currency: \"EURO\" is not a currency"),
            (json!({"url": url, "priceFor": "week"}), "page.priceFor: must be one of night, stay"),
            (json!({"url": "https://{location}/"}), "placeholder in its host"),
            (json!({"url": "https://{location}?x"}), "placeholder in its host"),
            (json!({"url": "https://hotel.example/{date}"}), "placeholder \"date\""),
            (json!({"url": "https://hotel.example/{adults"}), "placeholder \"adults\""),
            (json!({"url": format!("{url}{}", "x".repeat(1_500))}), "must have 1 to 1500 bytes"),
        ] {
            let error = PageRules::from_json(&page).unwrap_err().to_string();
            assert!(error.contains(words), "{words:?} is not in {error:?}");
        }
        let all =
            json!({"url": 1, "selectors": {"price": "p[", "room": "[["}, "currency": "€", "priceFor": 7});
        let fields: Vec<String> =
            PageRules::from_json(&all).unwrap_err().0.into_iter().map(|problem| problem.field).collect();
        assert_eq!(
            fields,
            ["page.url", "page.currency", "page.priceFor", "page.selectors.price", "page.selectors.room"]
        );
    }
}
