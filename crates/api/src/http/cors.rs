//! Which pages of other origins may call the API from a browser: those on the list, without cookies, as a token is sent by the page.

use actix_cors::Cors;
use actix_web::http::{Method, header};

/// How long a browser may remember an answer to its question, s.
const MAX_AGE_S: usize = 600;

/// The rule for a list of origins; an empty one lets no other origin in.
pub fn rule(origins: &[String]) -> Cors {
    let rule = Cors::default()
        .allowed_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allowed_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            header::HeaderName::from_static("idempotency-key"),
            header::HeaderName::from_static("last-event-id"),
            header::HeaderName::from_static("traceparent"),
            header::HeaderName::from_static("x-request-id"),
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            header::HeaderName::from_static("x-request-id"),
        ])
        .block_on_origin_mismatch(false)
        .max_age(MAX_AGE_S);
    origins.iter().fold(rule, |rule, origin| rule.allowed_origin(origin))
}

/// Whether a text is an origin as browsers send it: a scheme and a host, with a port if it is not the scheme's own.
pub fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        (1..=253).contains(&host.len())
            && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::is_origin;

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        for good in ["https://app.example.com", "http://localhost:3000", "http://[::1]:8080"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "*",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "https://*.example.com",
            "https://A.b",
            "https://",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
