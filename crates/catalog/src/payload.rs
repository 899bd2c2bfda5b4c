//! Checking what a client sends as a job's data: every bad field is named, all of them at once.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::jobs::GeoPoint;
use crate::suggest::nearest;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Where: `data.location.latitude`.
    pub field: String,
    /// What is wrong and what is accepted. Never the value of a secret.
    pub message: String,
}

/// All that is wrong with a payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PayloadProblems(pub Vec<FieldProblem>);

impl PayloadProblems {
    /// Adds one.
    pub fn push(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldProblem { field: field.into(), message: message.into() });
    }

    /// Nothing, if nothing is wrong.
    ///
    /// # Errors
    /// The problems, if there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for PayloadProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let gap = if n == 0 { "" } else { "; " };
            write!(f, "{gap}{}: {}", problem.field, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for PayloadProblems {}

/// Who adds the job.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The user of the credentials.
    pub user: &'a str,
    /// Whether a payload may name another user: administrators only.
    pub may_name_others: bool,
}

/// A payload as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The data.
    pub data: Map<String, Value>,
    /// The things it is about, to be found among the caller's own before the job is added.
    pub entities: Vec<EntityRef>,
}

/// A field that names a thing of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityRef {
    /// The field, at the top of the data.
    pub field: &'static str,
    /// What it may be: `property`.
    pub kinds: &'static [&'static str],
}

impl Prepared {
    /// From a payload type, whose JSON is an object.
    ///
    /// # Errors
    /// A payload that JSON cannot say.
    pub fn new(payload: &impl Serialize, entities: Vec<EntityRef>) -> Result<Self, PayloadProblems> {
        if let Ok(Value::Object(data)) = serde_json::to_value(payload) {
            return Ok(Self { data, entities });
        }
        let mut problems = PayloadProblems::default();
        problems.push("data", "cannot be written as a JSON object");
        Err(problems)
    }
}

/// Seals secrets, so that only whoever holds the same key can read them.
pub trait Sealer: Send + Sync {
    /// Seals a text.
    ///
    /// # Errors
    /// [`SealError`] if it cannot be sealed.
    fn seal(&self, plain: &str) -> Result<SealedText, SealError>;
}

/// A secret could not be sealed, or a text is not a sealed one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SealError(pub String);

/// A sealed secret: useless without the key. `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SealedText(String);

impl SealedText {
    /// How a sealed text begins.
    pub const PREFIX: &'static str = "sealed:";

    /// Takes a text that is sealed.
    ///
    /// # Errors
    /// [`SealError`] for a text without the mark: it may be a plain secret.
    pub fn new(text: String) -> Result<Self, SealError> {
        if text.starts_with(Self::PREFIX) {
            Ok(Self(text))
        } else {
            Err(SealError("the text is not sealed; a plain secret is not accepted here".to_owned()))
        }
    }

    /// The sealed form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for SealedText {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// The fields of an object, read one by one; what is wrong is noted and the reading goes on.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: &'a str,
    problems: &'a mut PayloadProblems,
}

impl<'a> Fields<'a> {
    /// Reads `map`, which stands at `path`.
    pub fn new(map: &'a Map<String, Value>, path: &'a str, problems: &'a mut PayloadProblems) -> Self {
        Self { map, path, problems }
    }

    /// Notes a problem of a field.
    pub fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push(format!("{}.{name}", self.path), message);
    }

    /// Reads `map`, the object that the field `name` holds.
    pub fn within<T>(
        &mut self,
        name: &str,
        map: &Map<String, Value>,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> T {
        let path = format!("{}.{name}", self.path);
        read(&mut Fields::new(map, &path, self.problems))
    }

    /// A field that is there and not null.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Notes every field that is not one of `known`.
    pub fn only(&mut self, known: &[&str]) {
        let map = self.map;
        // A hostile object may have any number of them; a few tell enough.
        for name in map.keys().filter(|name| !known.contains(&name.as_str())).take(10) {
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("is not known; did you mean {near}?"),
                None => format!("is not known; known are {}", known.join(", ")),
            };
            self.problem(&name.chars().take(64).collect::<String>(), hint);
        }
    }

    /// A required text of 1 to `max` bytes without control characters.
    pub fn text(&mut self, name: &str, max: usize) -> Option<String> {
        let Some(value) = self.value(name) else {
            self.problem(name, "is required");
            return None;
        };
        self.check_text(name, value, max)
    }

    /// An optional text of 1 to `max` bytes without control characters.
    pub fn text_opt(&mut self, name: &str, max: usize) -> Option<String> {
        let value = self.value(name)?;
        self.check_text(name, value, max)
    }

    fn check_text(&mut self, name: &str, value: &Value, max: usize) -> Option<String> {
        match value.as_str() {
            Some(text) if (1..=max).contains(&text.len()) && !text.chars().any(char::is_control) => {
                Some(text.to_owned())
            }
            Some(_) => {
                self.problem(name, format!("must have 1 to {max} bytes and no control characters"));
                None
            }
            None => {
                self.problem(name, "must be a text");
                None
            }
        }
    }

    /// A required number within `min..=max`.
    pub fn number(&mut self, name: &str, min: f64, max: f64) -> Option<f64> {
        match self.value(name) {
            None => self.problem(name, "is required"),
            Some(value) => match value.as_f64() {
                Some(number) if (min..=max).contains(&number) => return Some(number),
                _ => self.problem(name, format!("must be a number from {min} to {max}")),
            },
        }
        None
    }

    /// A required whole number within `min..=max`.
    pub fn whole(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        match self.value(name) {
            None => self.problem(name, "is required"),
            Some(value) => match value.as_u64() {
                Some(number) if (min..=max).contains(&number) => return Some(number),
                _ => self.problem(name, format!("must be a whole number from {min} to {max}")),
            },
        }
        None
    }

    /// A required day, `YYYY-MM-DD`, within these years.
    pub fn day(&mut self, name: &str, years: std::ops::RangeInclusive<i16>) -> Option<Date> {
        let Some(value) = self.value(name) else {
            self.problem(name, "is required: \"2026-12-20\"");
            return None;
        };
        // The length keeps out times of day and signed years, which the parser would take.
        let day = value.as_str().filter(|text| text.len() == 10).and_then(|text| text.parse::<Date>().ok());
        if day.is_none_or(|day| !years.contains(&day.year())) {
            let (first, last) = (years.start(), years.end());
            self.problem(
                name,
                format!("must be a day such as \"2026-12-20\", of the years {first} to {last}"),
            );
            return None;
        }
        day
    }

    /// A required place: `{latitude, longitude}`.
    pub fn place(&mut self, name: &str) -> Option<GeoPoint> {
        match self.value(name) {
            None => {
                self.problem(name, "is required: {\"latitude\": 47.6, \"longitude\": -122.3}");
                None
            }
            Some(Value::Object(map)) => {
                let path = format!("{}.{name}", self.path);
                let mut inner = Fields::new(map, &path, self.problems);
                inner.only(&["latitude", "longitude"]);
                let latitude = inner.number("latitude", -90.0, 90.0);
                let longitude = inner.number("longitude", -180.0, 180.0);
                Some(GeoPoint { latitude: latitude?, longitude: longitude? })
            }
            Some(_) => {
                self.problem(name, "must be an object: {\"latitude\": 47.6, \"longitude\": -122.3}");
                None
            }
        }
    }

    /// A required word of a list.
    pub fn one_of<T: Copy>(&mut self, name: &str, known: &[(T, &'static str)]) -> Option<T> {
        let names = || known.iter().map(|(_, name)| *name);
        let Some(value) = self.value(name) else {
            self.problem(name, format!("is required: one of {}", names().collect::<Vec<_>>().join(", ")));
            return None;
        };
        let found = value.as_str().and_then(|text| known.iter().find(|(_, name)| *name == text));
        if found.is_none() {
            let list = names().collect::<Vec<_>>().join(", ");
            let near = value.as_str().and_then(|text| nearest(text, names()));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            self.problem(name, format!("must be one of {list}{hint}"));
        }
        found.map(|(value, _)| *value)
    }

    /// An optional day, as `2024-12-31`.
    pub fn day_opt(&mut self, name: &str) -> Option<Date> {
        let value = self.value(name)?;
        let day = value.as_str().filter(|text| text.len() == 10).and_then(|text| text.parse().ok());
        if day.is_none() {
            self.problem(name, "must be a day, such as \"2024-12-31\"");
        }
        day
    }

    /// An optional country, in upper case.
    pub fn country(&mut self, name: &str) -> Option<String> {
        match self.value(name)?.as_str() {
            Some(code) if code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic()) => {
                Some(code.to_ascii_uppercase())
            }
            _ => {
                self.problem(name, "must be two letters of ISO 3166-1, such as \"DE\"");
                None
            }
        }
    }

    /// For whom the job is: the caller, unless an administrator names somebody else.
    pub fn user_id(&mut self, caller: &Caller<'_>) -> Option<String> {
        let Some(value) = self.value("userId") else { return Some(caller.user.to_owned()) };
        let user = self.check_text("userId", value, 256)?;
        if user == caller.user || caller.may_name_others {
            return Some(user);
        }
        self.problem("userId", "is somebody else; leave it out: it is taken from the token");
        None
    }

    /// An optional secret, sealed on the spot.
    pub fn secret(&mut self, name: &str, sealer: Option<&dyn Sealer>) -> Option<SealedText> {
        let value = self.value(name)?;
        let visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
        let Some(text) = value.as_str().filter(|text| (1..=512).contains(&text.len()) && visible(text))
        else {
            self.problem(name, "must be a key of 1 to 512 visible ASCII characters without quotes");
            return None;
        };
        match sealer.map(|sealer| sealer.seal(text)) {
            Some(Ok(sealed)) => Some(sealed),
            Some(Err(error)) => {
                self.problem(name, format!("cannot be kept safely: {error}"));
                None
            }
            None => {
                self.problem(
                    name,
                    "cannot be kept safely here, as no BULRUSH_SEAL_KEY is set; leave it out and set CALENDARIFIC_API_KEY \
                     on the workers",
                );
                None
            }
        }
    }
}
