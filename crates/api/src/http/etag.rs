//! Answers that a client may have already.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use crate::jobs::keys::digest_text;

/// A body in JSON with its tag: the same bytes have the same.
#[derive(Debug, Clone)]
pub struct Tagged {
    body: Bytes,
    etag: String,
}

impl Tagged {
    pub fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let etag = format!("\"{}\"", digest_text(&body));
        Self { body, etag }
    }

    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// The body, or 304 if the client has it.
    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let known = request.headers().get_all(header::IF_NONE_MATCH).any(|value| {
            value.to_str().is_ok_and(|tags| {
                let mut tags = tags.split(',').map(str::trim);
                tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.etag)
            })
        });
        let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header((header::ETAG, self.etag.as_str()))
            .insert_header((header::CACHE_CONTROL, "private, no-cache"));
        if known {
            return response.finish();
        }
        response.content_type("application/json").body(self.body.clone())
    }
}
