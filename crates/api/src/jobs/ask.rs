//! A job as a client asks for it: read, checked as a whole, and made into what the engine takes.

use std::sync::Arc;

use actix_web::http::StatusCode;
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::{Dedup, JobId, NewJob};
use bulrush_catalog::{Caller, JobKind, PayloadProblems, Queue};
use bulrush_store::EntityKind;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::jobs::enqueue::Idempotency;
use crate::jobs::keys::{self, KeyKind};
use crate::jobs::options::{DedupOption, Options};
use crate::state::{Deps, State};
use crate::things;

/// Most bytes of a job's data.
pub const DATA_MAX: usize = 1 << 20;

/// What a client says of a job. Of a member that stands twice inside `data` the last one counts; twice at the top is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Ask<'a> {
    #[serde(default)]
    pub name: Option<Value>,
    #[serde(default)]
    pub job_name: Option<Value>,
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    #[serde(default)]
    pub options: Option<Value>,
}

/// A job that may go to the engine.
pub struct Checked<'q> {
    pub queue: &'q Queue,
    pub name: String,
    pub data: Bytes,
    pub options: Options,
}

/// Reads a body that must be a JSON object: not JSON is 400, JSON of another shape 422.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], shape: &str) -> Result<T, Problem> {
    // Checked first, as an array would be read as the members in their order.
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Problem::bad_request(
            "invalid_json",
            format!("The body must be a JSON object: {shape}."),
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        if error.is_data() && !text.starts_with("duplicate field") {
            Problem::unprocessable("invalid_fields", format!("The body cannot be used: {text}."))
        } else {
            Problem::bad_request("invalid_json", format!("The body is not the JSON it should be: {text}."))
        }
    })
}

/// Refuses a queue that the caller may not add to.
pub fn may_add(principal: &Principal, queue: &Queue) -> Result<(), Problem> {
    if queue.is_internal() && !principal.is_admin() {
        return Err(Problem::forbidden(
            "Only administrators and the platform itself add jobs to this queue.",
        ));
    }
    Ok(())
}

impl Ask<'_> {
    /// Checks everything; `called` is how the client called the queue. None if there are problems, which are noted.
    pub async fn check<'q>(
        &self,
        (state, deps): (&State, &Deps),
        principal: &Principal,
        queue: &'q Queue,
        called: &str,
        problems: &mut PayloadProblems,
    ) -> Result<Option<Checked<'q>>, Problem> {
        let before = problems.0.len();
        let name = self.job_name(problems);
        let kind = match queue.job(name.as_deref(), called) {
            Ok((name, kind)) => Some((name.to_owned(), kind)),
            Err(error) => {
                problems.push("name", error.to_string());
                None
            }
        };
        let options = match &self.options {
            None => Options::default(),
            Some(Value::Object(map)) => Options::parse(map, problems),
            Some(_) => {
                problems.push("options", "must be an object");
                Options::default()
            }
        };
        let Some((name, kind)) = kind else { return Ok(None) };
        let data = check_data(state, deps, principal, kind, self.data, problems).await?;
        Ok((problems.0.len() == before).then_some(Checked { queue, name, data, options }))
    }

    /// The job's name: seed 002 says `jobName`, seed 004 `name`.
    fn job_name(&self, problems: &mut PayloadProblems) -> Option<String> {
        let name = match (&self.name, &self.job_name) {
            (Some(name), Some(job_name)) if name != job_name => {
                problems.push("jobName", "differs from name; keep one of them");
                return None;
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return None,
        };
        if let Some(name) = name.as_str() {
            return Some(name.to_owned());
        }
        problems.push("name", "must be a text");
        None
    }
}

/// Checks the data and makes of it what is stored: as it came, or what the payload's type makes of it with its entities found.
pub async fn check_data(
    state: &State,
    deps: &Deps,
    principal: &Principal,
    kind: &JobKind,
    data: Option<&RawValue>,
    problems: &mut PayloadProblems,
) -> Result<Bytes, Problem> {
    let raw = data.map_or("{}", RawValue::get);
    if raw.len() > DATA_MAX {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "data_too_large",
            format!("The data has {} bytes; a job may carry {DATA_MAX}.", raw.len()),
        ));
    }
    // Parsed even where it is kept as it came: a worker must be able to, and nesting is bounded by the parser.
    let map: Map<String, Value> = match serde_json::from_str(raw) {
        Ok(Value::Object(map)) => map,
        Ok(_) => {
            problems.push("data", "must be an object");
            return Ok(Bytes::new());
        }
        Err(error) => {
            return Err(Problem::bad_request("invalid_json", format!("The data cannot be read: {error}.")));
        }
    };
    let caller = Caller { user: &principal.owner.user, may_name_others: principal.is_admin() };
    let mut prepared = match kind.check(&map, &caller, state.sealer()) {
        Ok(Some(prepared)) => prepared,
        Ok(None) => return Ok(Bytes::copy_from_slice(raw.as_bytes())),
        Err(found) => {
            problems.0.extend(found.0);
            return Ok(Bytes::new());
        }
    };
    for entity in &prepared.entities {
        let kinds = entity.kinds.iter().map(|kind| kind.parse::<EntityKind>());
        let kinds = kinds.collect::<Result<Vec<_>, _>>().map_err(|error| Problem::internal(&error))?;
        let named = prepared.data.get(entity.field).and_then(Value::as_str).unwrap_or_default();
        match things::find_of_kinds(deps, principal, &kinds, named).await? {
            Some(found) => {
                prepared.data.insert(entity.field.to_owned(), Value::from(found.entity.id));
            }
            None => {
                problems.push(
                    format!("data.{}", entity.field),
                    format!("is not a {} of yours", entity.kinds.join(" or a ")),
                );
            }
        }
    }
    Ok(Bytes::from(Value::Object(prepared.data).to_string()))
}

impl Checked<'_> {
    /// The job for the engine: in the name of whoever calls, with the queue's defaults.
    pub fn into_job(
        self,
        principal: &Principal,
        idempotency: Option<&Idempotency>,
        traceparent: Option<&str>,
    ) -> Result<NewJob, Problem> {
        let Self { queue, name, data, options } = self;
        let prefix = queue.entry().prefix;
        let owner = &principal.owner;
        let id = match &options.job_id {
            Some(name) => keys::client_job_id(prefix, owner, name),
            None => JobId::generate(prefix, SystemClock.now(), random()?),
        };
        let limits = queue.limits();
        let mut job = NewJob::new(id, name, data)
            .owner(owner.tenant.clone(), owner.user.clone())
            .attempts(options.attempts.unwrap_or(limits.attempts))
            .backoff(options.backoff.unwrap_or_else(|| limits.backoff.backoff()))
            .timeout_ms(options.timeout_ms.unwrap_or(limits.timeout_ms))
            .tags(options.tags);
        job.when = options.when;
        job.spec.lifo = options.lifo;
        if let Some(priority) = options.priority {
            job = job.priority(priority);
        }
        if let Some(group) = &options.group {
            job = job.group(keys::group(principal, group));
        }
        job.spec.traceparent = traceparent.map(Into::into);
        job.spec.dedup = match (options.dedup, idempotency) {
            (Some(_), Some(_)) => {
                return Err(Problem::field(
                    "options.dedup",
                    "cannot be given together with an Idempotency-Key, which is one; keep one of them",
                ));
            }
            (Some(DedupOption { key, ttl_ms }), None) => Some(Arc::new(Dedup {
                key: keys::dedup_key(KeyKind::Dedup, owner, &key).into(),
                ttl_ms,
                fingerprint: None,
            })),
            (None, Some(idempotency)) => Some(Arc::new(idempotency.dedup(owner))),
            (None, None) => None,
        };
        Ok(job)
    }
}

/// 128 bits that nobody else has.
pub fn random() -> Result<u128, Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Problem::unavailable(&error))?;
    Ok(u128::from_ne_bytes(bytes))
}
