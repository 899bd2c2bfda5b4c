//! How each hotel writes its price.

use serde_json::json;

/// A way to write a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// JSON-LD: a hotel with two offers of numbers, EUR.
    Offers,
    /// JSON-LD: a graph with a product and an aggregate of texts, CHF.
    Aggregate,
    /// Microdata, EUR.
    Microdata,
    /// `$1,234.56` in an element of a class.
    UnitedStates,
    /// `ab 1.234,56 €`.
    Germany,
    /// `CHF 1'234.50`.
    Switzerland,
    /// `1 234,50 €`, with spaces that do not break.
    France,
    /// A new page, on which the price is nowhere that anybody knew of.
    Renovated,
    /// No room.
    Full,
}

impl Shape {
    /// Whether the price is marked as one, so that a reader needs no selector.
    pub fn says_it_to_machines(self) -> bool {
        matches!(self, Self::Offers | Self::Aggregate | Self::Microdata)
    }
}

/// The page.
pub(super) fn html(name: &str, shape: Shape, night: f64) -> String {
    let (head, body) = match shape {
        Shape::Offers => (
            script(&json!({
                "@context": "https://schema.org", "@type": "Hotel", "name": name, "priceRange": "€€",
                "makesOffer": [
                    offer("Suite", night * 1.6), offer("Double room", night),
                    {"@type": "Offer", "name": "Single room", "price": night * 0.5, "priceCurrency": "EUR",
                     "availability": "https://schema.org/SoldOut"},
                ],
            })),
            "<p>Rates on request.</p>".to_owned(),
        ),
        Shape::Aggregate => (
            script(&json!({
                "@context": "https://schema.org",
                "@graph": [
                    {"@type": "WebSite", "name": name},
                    {"@type": ["Product", "HotelRoom"], "name": "Double room", "offers": {
                        "@type": "AggregateOffer", "lowPrice": format!("{night:.2}"),
                        "highPrice": format!("{:.2}", night * 2.0), "priceCurrency": "CHF", "offerCount": "3",
                    }},
                ],
            })),
            String::new(),
        ),
        Shape::Microdata => (
            String::new(),
            format!(
                "<div itemscope itemtype=\"https://schema.org/Offer\"><span itemprop=\"name\">Studio</span>\
                 <span itemprop=\"price\" content=\"{night:.2}\">{night:.0}</span>\
                 <meta itemprop=\"priceCurrency\" content=\"EUR\"></div>"
            ),
        ),
        Shape::UnitedStates => (String::new(), rate(&format!("${}", grouped(night, ",", ".")))),
        Shape::Germany => (String::new(), rate(&format!("ab {}&nbsp;&euro;", grouped(night, ".", ",")))),
        Shape::Switzerland => (String::new(), rate(&format!("CHF {}", grouped(night, "’", ".")))),
        Shape::France => (String::new(), rate(&format!("{}\u{a0}€ / nuit", grouped(night, "\u{202f}", ",")))),
        Shape::Renovated => {
            (String::new(), format!("<div class=\"r4te\"><b>{night:.0}</b> of our euros</div>"))
        }
        Shape::Full => (String::new(), "<p class=\"sold-out\">We are full on these days.</p>".to_owned()),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>{head}</head>\n\
         <body><header><h1>{name}</h1><p>Founded 1897, 42 rooms</p></header>\n<main>{body}</main></body></html>\n"
    )
}

fn offer(room: &str, price: f64) -> serde_json::Value {
    json!({
        "@type": "Offer", "name": room, "price": (price * 100.0).round() / 100.0, "priceCurrency": "EUR",
        "availability": "https://schema.org/InStock",
    })
}

fn script(data: &serde_json::Value) -> String {
    format!("<script type=\"application/ld+json\">{data}</script>")
}

fn rate(text: &str) -> String {
    format!(
        "<ul class=\"rooms\"><li class=\"room\"><h2 class=\"room-name\">Double room</h2>\
         <p class=\"rate\"><small>was 9999</small> <span class=\"amount\">{text}</span></p></li></ul>"
    )
}

/// A number with thousands apart and two digits after the point.
fn grouped(number: f64, thousands: &str, point: &str) -> String {
    let cents = (number * 100.0).round() as i64;
    let (whole, rest) = (cents / 100, cents % 100);
    let digits = whole.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push_str(thousands);
        }
        text.push(digit);
    }
    format!("{text}{point}{rest:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart_in_each_country_s_way() {
        assert_eq!(grouped(1_234.5, ",", "."), "1,234.50");
        assert_eq!(grouped(999.0, ".", ","), "999,00");
        assert_eq!(grouped(1_234_567.891, "’", "."), "1’234’567.89");
    }
}
