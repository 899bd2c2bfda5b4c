//! The read cache: what the domain's reads answered a moment ago.
//!
//! Pages ask for the same things again and again while a job changes them once an hour. An answer is good for a short while, for whoever
//! has the same scope and asks the same; those who ask at the same time share one computation. Nothing is told to the cache when a job
//! writes, so how old an answer may be is its whole promise.

use std::future::Future;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use moka::future::Cache;
use serde_json::Value;

use crate::http::auth::Principal;
use crate::http::etag::Tagged;
use crate::http::problem::Problem;

/// Memory of all answers, bytes.
const BYTES_MAX: u64 = 32 << 20;

/// The cache.
pub struct Reads(Option<Cache<String, Tagged>>);

impl Reads {
    /// One whose answers are good for so long; none for no time at all.
    pub fn new(good_for: Duration) -> Self {
        let cache = || {
            Cache::builder()
                .time_to_live(good_for)
                .max_capacity(BYTES_MAX)
                .weigher(|key: &String, answer: &Tagged| {
                    u32::try_from(key.len() + answer.len()).unwrap_or(u32::MAX)
                })
                .build()
        };
        Self((!good_for.is_zero()).then(cache))
    }

    /// The answer to `what`, computed by `compute` if nobody with the same scope has asked for it just before.
    pub async fn answer(
        &self,
        request: &HttpRequest,
        principal: &Principal,
        what: &str,
        compute: impl Future<Output = Result<Value, Problem>>,
    ) -> Result<HttpResponse, Problem> {
        let tagged = async { compute.await.map(|body| Tagged::new(body.to_string())) };
        let answer = match &self.0 {
            None => tagged.await?,
            // The scope is part of the key as it is part of the query: no answer crosses from one owner to another.
            Some(cache) => cache
                .try_get_with(format!("{:?} {what}", principal.rows()), tagged)
                .await
                .map_err(|problem| (*problem).clone())?,
        };
        Ok(answer.answer(request))
    }
}
