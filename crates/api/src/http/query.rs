//! Query parameters: each at most once, whatever they are.

use actix_web::{HttpRequest, web};
use bulrush_catalog::PayloadProblems;
use jiff::civil::Date;

use crate::http::problem::Problem;

/// Parameters of a query.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters of a request.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map(|pairs| Self(pairs.into_inner()))
            .map_err(|_| {
                Problem::bad_request(
                    "invalid_query",
                    "The query cannot be read; write name=value&name=value.",
                )
            })
    }

    /// A parameter; one that is given twice is a problem, as it would be unclear which counts.
    pub fn one(&self, name: &str, problems: &mut PayloadProblems) -> Option<&str> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let (_, value) = values.next()?;
        if values.next().is_some() {
            problems.push(name, "is given more than once; give it once");
            return None;
        }
        Some(value)
    }

    /// A day.
    pub fn day(&self, name: &str, problems: &mut PayloadProblems) -> Option<Date> {
        let text = self.one(name, problems)?;
        let parsed = (text.len() == 10).then(|| text.parse().ok()).flatten();
        if parsed.is_none() {
            problems.push(name, "must be a day, such as 2026-12-20");
        }
        parsed
    }

    /// A whole number within `min..=max`, or `default`.
    pub fn number(
        &self,
        name: &str,
        (min, max): (usize, usize),
        default: usize,
        problems: &mut PayloadProblems,
    ) -> usize {
        let Some(text) = self.one(name, problems) else { return default };
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(number) if plain && (min..=max).contains(&number) => number,
            _ => {
                problems.push(name, format!("must be a whole number from {min} to {max}"));
                default
            }
        }
    }
}
