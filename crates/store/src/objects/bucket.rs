//! Objects in a bucket that speaks S3.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::{Area, BucketSettings, ObjectError};

/// S3's own default, and what servers that have no regions expect.
const REGION: &str = "us-east-1";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a bucket may be silent. A part of an upload counts as one silence, so that it is also the slowest upload: 8 MiB a minute.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a request is repeated that failed with a 5xx, `SlowDown` or a broken connection. All of ours are harmless to repeat.
const RETRIES: usize = 4;
/// No repeat is begun after so long: a client waits for the answer.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// The client of the bucket; nothing is asked of it yet.
pub(super) fn client(settings: &BucketSettings) -> Result<AmazonS3, ObjectError> {
    // Fails only if the process has a provider already, and then that one is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_plain = settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let options = ClientOptions::new()
        .with_allow_http(is_plain)
        .with_connect_timeout(CONNECT_TIMEOUT)
        // Of a whole exchange: a large download may take its time as long as it goes on.
        .with_timeout_disabled()
        .with_read_timeout(READ_TIMEOUT);
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    };
    let mut builder = match &settings.keys {
        Some(keys) => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(&keys.access_key)
                .with_secret_access_key(&keys.secret_key);
            match &keys.session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        // The variables by which containers are told of their role.
        None => AmazonS3Builder::from_env(),
    };
    builder = builder
        .with_bucket_name(&settings.bucket)
        .with_region(settings.region.as_deref().unwrap_or(REGION))
        .with_virtual_hosted_style_request(!settings.path_style)
        // One by one: not every server knows how to delete many, and we never do.
        .with_disable_bulk_delete(true)
        .with_client_options(options)
        .with_retry(retry);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|error| ObjectError::Place { reason: error.to_string() })
}

/// Asks the bucket for the first key of ours: whether it is there, answers and lets us in.
pub(super) async fn ping(client: &Arc<AmazonS3>, settings: &BucketSettings) -> Result<(), ObjectError> {
    let prefix = match settings.prefix.as_str() {
        "" => format!("{}/", Area::Uploads.as_str()),
        prefix => format!("{prefix}/{}/", Area::Uploads.as_str()),
    };
    let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
    match client.list_paginated(Some(&prefix), options).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(&settings.bucket, error)),
    }
}

/// Our word for what the bucket did. The library names the kind of an error only for some requests, so S3's own code is looked for in what
/// the bucket said.
pub(super) fn failed(bucket: &str, source: object_store::Error) -> ObjectError {
    let bucket = bucket.to_owned();
    let said = all_words(&source);
    let says = |codes: &[&str]| codes.iter().any(|code| said.contains(&format!("<Code>{code}</Code>")));
    if says(&["NoSuchBucket"]) {
        return ObjectError::NoBucket { bucket };
    }
    let is_denied = matches!(
        source,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
    );
    if is_denied || says(&["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"]) {
        return ObjectError::Denied { bucket, source };
    }
    ObjectError::Bucket { bucket, source }
}

/// What an error and its causes say.
fn all_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
