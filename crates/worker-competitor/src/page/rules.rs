//! How a competitor's page is found and read, as a user declares it.

use jiff::civil::Date;
use scraper::Selector;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::money::{Currency, CurrencyError};

/// Longest address and selector, bytes.
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
    pub(crate) selectors: Option<Selectors>,
    /// The currency of prices that name none; it also says which dollars or crowns are meant.
    pub(crate) currency: Option<Currency>,
    pub(crate) price_for: PriceFor,
    /// All of this as text, for telling one set of rules from another.
    fingerprint: String,
}

/// A selector and its text.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub css: Selector,
    pub text: String,
}

/// Where things are on a page.
#[derive(Debug, Clone)]
pub(crate) struct Selectors {
    pub offer: Option<Rule>,
    pub price: Rule,
    pub price_attribute: Option<String>,
    pub room: Option<Rule>,
    pub sold_out: Option<Rule>,
}

/// Why what is declared of a page cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// Not the shape that is expected.
    #[error("page cannot be read: {0}")]
    Shape(String),
    /// Too long, or with a placeholder where none may be.
    #[error("page.url {0}")]
    Url(String),
    /// No CSS selector, or one that costs too much.
    #[error("page.selectors.{field} {problem}")]
    Selector {
        /// Which one.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// No currency.
    #[error("page.currency: {0}")]
    Currency(#[from] CurrencyError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PageText {
    url: String,
    #[serde(default)]
    selectors: Option<SelectorTexts>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    price_for: PriceFor,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SelectorTexts {
    #[serde(default)]
    offer: Option<String>,
    price: String,
    #[serde(default)]
    price_attribute: Option<String>,
    #[serde(default)]
    room: Option<String>,
    #[serde(default)]
    sold_out: Option<String>,
}

impl PageRules {
    /// Reads `{url, selectors?: {price, offer?, priceAttribute?, room?, soldOut?}, currency?, priceFor?: night|stay}`.
    ///
    /// # Errors
    /// [`RulesError`] with what is wrong.
    pub fn from_json(value: &Value) -> Result<Self, RulesError> {
        let page = PageText::deserialize(value).map_err(|error| RulesError::Shape(error.to_string()))?;
        check_url(&page.url)?;
        let selectors = page.selectors.map(|texts| {
            let optional = |field, text: Option<String>| text.map(|text| rule(field, text)).transpose();
            Ok::<_, RulesError>(Selectors {
                offer: optional("offer", texts.offer)?,
                price: rule("price", texts.price)?,
                price_attribute: texts.price_attribute,
                room: optional("room", texts.room)?,
                sold_out: optional("soldOut", texts.sold_out)?,
            })
        });
        Ok(Self {
            url: page.url,
            selectors: selectors.transpose()?,
            currency: page.currency.map(|code| code.parse()).transpose()?,
            price_for: page.price_for,
            fingerprint: value.to_string(),
        })
    }

    /// The address for a stay.
    pub(crate) fn address(&self, (check_in, check_out): (Date, Date), adults: u32, location: &str) -> String {
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
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// The site must be declared, not filled in: only what comes after it may have placeholders.
fn check_url(url: &str) -> Result<(), RulesError> {
    let wrong = |problem: String| Err(RulesError::Url(problem));
    if url.len() > URL_MAX {
        return wrong(format!("has {} bytes; at most {URL_MAX}", url.len()));
    }
    let site = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next();
    if site.unwrap_or_default().contains(['{', '}']) {
        return wrong(
            "has a placeholder in its host; placeholders stand in the path and the query".to_owned(),
        );
    }
    for part in url.split('{').skip(1) {
        let name = part.split('}').next().unwrap_or_default();
        if !matches!(name, "checkIn" | "checkOut" | "nights" | "adults" | "location") || !part.contains('}') {
            let name: String = name.chars().take(32).collect();
            return wrong(format!(
                "has the placeholder {name:?}; known are {{checkIn}}, {{checkOut}}, {{nights}}, {{adults}} and {{location}}"
            ));
        }
    }
    Ok(())
}

fn rule(field: &'static str, text: String) -> Result<Rule, RulesError> {
    let wrong = |problem: &str| RulesError::Selector { field, problem: problem.to_owned() };
    if text.len() > SELECTOR_MAX {
        return Err(wrong("has more than 200 bytes"));
    }
    // It looks through everything below each candidate, so that a page decides what it costs.
    if text.to_ascii_lowercase().contains(":has") {
        return Err(wrong("uses :has, which is not accepted"));
    }
    // So does a sibling of any distance: it looks through all that stand before each candidate.
    if text.replace("~=", "").contains('~') {
        return Err(wrong("uses ~, which is not accepted; + for the next sibling is"));
    }
    match Selector::parse(&text) {
        Ok(css) => Ok(Rule { css, text }),
        Err(_) => Err(wrong(&format!("is not a CSS selector: {text:?}"))),
    }
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
            (json!({}), "missing field `url`"),
            (json!("x"), "page cannot be read"),
            (json!({"url": url, "selector": {}}), "unknown field `selector`"),
            (json!({"url": url, "selectors": {}}), "missing field `price`"),
            (json!({"url": url, "selectors": {"price": "p["}}), "page.selectors.price is not a CSS selector"),
            (json!({"url": url, "selectors": {"price": "p ~ b"}}), "page.selectors.price uses ~"),
            (
                json!({"url": url, "selectors": {"price": "p", "room": "a:has(b)"}}),
                "page.selectors.room uses :has",
            ),
            (json!({"url": url, "selectors": {"price": "p".repeat(201)}}), "more than 200 bytes"),
            (json!({"url": url, "currency": "EURO"}), "page.currency"),
            (json!({"url": url, "priceFor": "week"}), "unknown variant `week`"),
            (json!({"url": "https://{location}/"}), "placeholder in its host"),
            (json!({"url": "https://{location}?x"}), "placeholder in its host"),
            (json!({"url": "https://hotel.example/{date}"}), "placeholder \"date\""),
            (json!({"url": "https://hotel.example/{adults"}), "placeholder \"adults\""),
            (json!({"url": format!("{url}{}", "x".repeat(1_500))}), "1522 bytes"),
        ] {
            let error = PageRules::from_json(&page).unwrap_err().to_string();
            assert!(error.contains(words), "{words:?} is not in {error:?}");
        }
    }
}
