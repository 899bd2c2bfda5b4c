//! Errors as clients see them: RFC 9457 problem details, with the seeds' `"success": false`.
//!
//! This is the one place where errors become statuses and codes. What a client can mend is told in words; what it cannot is logged
//! and told as "internal" without details.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use bulrush::model::Bound;
use bulrush::port::Error as EngineError;
use bulrush_catalog::{FieldProblem, PayloadProblems, UnknownQueue};
use bulrush_store::{ObjectError, StoreError};
use serde_json::{Map, Value, json};

/// The code of a refusal, left with the response for the metrics.
#[derive(Debug, Clone, Copy)]
pub struct RefusalCode(pub &'static str);

/// An error response.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    detail: String,
    fields: Map<String, Value>,
    retry_after_s: Option<u32>,
    challenge: Option<&'static str>,
    allow: Option<String>,
    close: bool,
}

impl Problem {
    /// A problem; `code` is stable and for programs, `detail` is for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            code,
            detail: detail.into(),
            fields: Map::new(),
            retry_after_s: None,
            challenge: None,
            allow: None,
            close: false,
        }))
    }

    /// Malformed: not what its type says.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Well formed, and wrong in what it says.
    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// Not there, or not the caller's: the same bytes.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// Not allowed for this role.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// One field is wrong.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        let mut problems = PayloadProblems::default();
        problems.push(name, message);
        problems.into()
    }

    /// An unknown job, with the body that the seeds' pollers look into.
    pub fn unknown_job(asked: &str) -> Self {
        let id: String = asked.chars().take(128).collect();
        Self::not_found("unknown_job", "There is no such job.")
            .with("job", json!({"id": id, "status": "not_found"}))
    }

    /// Something went wrong that the client cannot mend. The cause is logged here, where it is handled.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here; it was logged.")
    }

    /// A part is away; the same request may work later.
    pub fn unavailable(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(error = cause, "a request could not be served now");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "A part of the service is away; try again in a moment.",
        )
        .retry_after(2)
    }

    /// The same problem of one item of several: its fields are named from there.
    pub fn of_item(mut self, path: &str) -> Self {
        if path.is_empty() {
            return self;
        }
        self.0.detail = format!("{path}: {}", self.0.detail);
        if let Some(Value::Array(errors)) = self.0.fields.get_mut("errors") {
            for error in errors {
                if let Some(field) = error.get("field").and_then(Value::as_str) {
                    error["field"] = Value::from(format!("{path}.{field}"));
                }
            }
        }
        self.0.fields.entry("item").or_insert_with(|| Value::from(path));
        self
    }

    /// Adds a member to the body.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.0.fields.insert(name.to_owned(), value);
        self
    }

    /// Says when to try again, s.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Says how to identify oneself.
    pub fn challenge(mut self, challenge: &'static str) -> Self {
        self.0.challenge = Some(challenge);
        self
    }

    /// Says which methods there are.
    pub fn allow(mut self, methods: &str) -> Self {
        self.0.allow = Some(methods.to_owned());
        self
    }

    /// Closes the connection: the rest of the body is not wanted.
    pub fn close(mut self) -> Self {
        self.0.close = true;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.status.as_u16(), self.0.code, self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        let inner = &self.0;
        let mut body = json!({
            "type": format!("urn:bulrush:problem:{}", inner.code),
            "title": inner.status.canonical_reason().unwrap_or("Error"),
            "status": inner.status.as_u16(),
            "detail": inner.detail,
            "code": inner.code,
            "success": false,
        });
        if let Value::Object(members) = &mut body {
            members.extend(inner.fields.clone());
        }
        let mut response = HttpResponse::build(inner.status);
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if let Some(seconds) = inner.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(challenge) = inner.challenge {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Some(methods) = &inner.allow {
            response.insert_header((header::ALLOW, methods.as_str()));
        }
        if inner.close {
            response.force_close();
        }
        let mut response = response.body(body.to_string());
        response.extensions_mut().insert(RefusalCode(inner.code));
        response
    }
}

impl From<PayloadProblems> for Problem {
    fn from(problems: PayloadProblems) -> Self {
        Self::unprocessable("invalid_fields", problems.to_string()).with("errors", fields_json(&problems.0))
    }
}

fn fields_json(problems: &[FieldProblem]) -> Value {
    problems.iter().map(|problem| json!({"field": problem.field, "message": problem.message})).collect()
}

impl From<UnknownQueue> for Problem {
    fn from(unknown: UnknownQueue) -> Self {
        Self::not_found("unknown_queue", format!("{unknown}.")).with("queues", json!(unknown.known))
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::Bound(bound) | EngineError::Check(bulrush::model::CheckError::Bound(bound))
                if bound.bound == Bound::Data =>
            {
                Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "data_too_large",
                    format!("The data has {} bytes; a job may carry {}.", bound.seen, bound.max),
                )
            }
            EngineError::Check(_) | EngineError::Bound(_) => {
                Self::unprocessable("invalid_job", error.to_string())
            }
            EngineError::Cursor { .. } => Self::bad_request(
                "invalid_cursor",
                "The cursor was not issued here; start again without one.",
            ),
            // Somebody must mend it, and the client may come back then.
            EngineError::Closed
            | EngineError::Storage { .. }
            | EngineError::Full { .. }
            | EngineError::Server { .. } => Self::unavailable(&error),
            _ if error.is_transient() => Self::unavailable(&error),
            _ => Self::internal(&error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_transient() { Self::unavailable(&error) } else { Self::internal(&error) }
    }
}

impl From<ObjectError> for Problem {
    fn from(error: ObjectError) -> Self {
        match &error {
            ObjectError::TooLarge { limit } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "file_too_large",
                format!("The file is larger than {limit} bytes."),
            )
            .close(),
            ObjectError::Source(_) => {
                Self::bad_request("upload_cut_off", "The upload ended before its end; send it again.").close()
            }
            _ if error.is_transient() => Self::unavailable(&error),
            _ => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bulrush::port::ServerFault;

    use super::*;

    #[test]
    fn a_store_that_is_full_or_away_is_no_fault_of_the_request() {
        let full = EngineError::Server { fault: ServerFault::Memory, said: "OOM".into() };
        let away = EngineError::Unreachable { reason: "closed".into() };
        let unconfirmed = EngineError::Unconfirmed { asked: 2, confirmed: 1, within: Duration::from_secs(1) };
        for error in [full, away, unconfirmed, EngineError::Closed] {
            let problem = Problem::from(error);
            assert_eq!(problem.0.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(problem.0.retry_after_s.is_some());
        }
    }
}
