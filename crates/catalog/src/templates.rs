//! Jobs that the platform ships ready to be run: one for each kind of job that it has a processor for.
//!
//! A template's data hold placeholders, texts such as `"{propertyId}"`, which are filled in when it is run. One that may be left out takes
//! its member along.

use serde_json::{Map, Value};

use crate::jobs::{aggregate, analyze, enrich_property, export, optimize, run_forecast, scrape_prices};
use crate::payload::PayloadProblems;
use crate::suggest::nearest;

/// A job of the catalogue, ready to be run.
#[derive(Debug)]
pub struct JobTemplate {
    /// The queue.
    pub queue: &'static str,
    /// The kind of job.
    pub job: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// The data, JSON, with placeholders.
    pub data: &'static str,
    /// Options of the job, JSON.
    pub options: &'static str,
    /// What is to be filled in.
    pub placeholders: &'static [Placeholder],
}

/// What is to be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholder {
    /// Its name, without braces.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What it may be, as JSON.
    pub example: &'static str,
    /// What stands there if nothing is given.
    pub otherwise: Otherwise,
}

/// What happens to a placeholder that nothing is given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// The template cannot be run.
    Required,
    /// Its member is left out.
    LeftOut,
    /// This stands there, JSON.
    Default(&'static str),
}

impl Placeholder {
    /// One that must be given.
    pub const fn required(name: &'static str, about: &'static str, example: &'static str) -> Self {
        Self { name, about, example, otherwise: Otherwise::Required }
    }

    /// One that may be left out.
    pub const fn optional(name: &'static str, about: &'static str, example: &'static str) -> Self {
        Self { name, about, example, otherwise: Otherwise::LeftOut }
    }

    /// One that stands for `default` if nothing is given.
    pub const fn with_default(
        name: &'static str,
        about: &'static str,
        example: &'static str,
        default: &'static str,
    ) -> Self {
        Self { name, about, example, otherwise: Otherwise::Default(default) }
    }
}

/// Every template, in the order of the queues.
pub const ALL: [&JobTemplate; 7] = [
    &enrich_property::TEMPLATE,
    &scrape_prices::TEMPLATE,
    &analyze::TEMPLATE,
    &aggregate::TEMPLATE,
    &export::TEMPLATE,
    &run_forecast::TEMPLATE,
    &optimize::TEMPLATE,
];

/// The template of this id.
pub fn find(id: &str) -> Option<&'static JobTemplate> {
    ALL.into_iter().find(|template| template.id() == id)
}

impl JobTemplate {
    /// Its id: queue and job, `enrichment.enrich-property`. No id of a stored template has a dot.
    pub fn id(&self) -> String {
        format!("{}.{}", self.queue, self.job)
    }

    /// The data with `values` in place of the placeholders.
    ///
    /// # Errors
    /// Each placeholder that is missing, and each value that stands for none, by `values.NAME`.
    pub fn fill(&self, values: &Map<String, Value>) -> Result<Map<String, Value>, PayloadProblems> {
        let mut problems = PayloadProblems::default();
        for name in
            values.keys().filter(|name| !self.placeholders.iter().any(|known| known.name == **name)).take(10)
        {
            let known = || self.placeholders.iter().map(|known| known.name);
            let hint = nearest(name, known()).map_or_else(
                || format!("its placeholders are {}", known().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean {near}?"),
            );
            let hint = format!("is no placeholder of this template; {hint}");
            problems.push(format!("values.{}", name.chars().take(64).collect::<String>()), hint);
        }
        let filled = self.placeholders.iter().filter_map(|placeholder| {
            let given = values.get(placeholder.name).filter(|value| !value.is_null()).cloned();
            let value = match (given, placeholder.otherwise) {
                (Some(value), _) => Some(value),
                (None, Otherwise::LeftOut) => None,
                (None, Otherwise::Default(json)) => serde_json::from_str(json).ok(),
                (None, Otherwise::Required) => {
                    let Placeholder { about, example, .. } = placeholder;
                    problems.push(
                        format!("values.{}", placeholder.name),
                        format!("is required: {about}, such as {example}"),
                    );
                    None
                }
            };
            Some((format!("{{{}}}", placeholder.name), value?))
        });
        let filled: Map<String, Value> = filled.collect();
        problems.into_result()?;
        Ok(self
            .written()
            .into_iter()
            .filter_map(|(name, value)| match value.as_str().filter(|text| text.starts_with('{')) {
                Some(placeholder) => Some((name, filled.get(placeholder)?.clone())),
                None => Some((name, value)),
            })
            .collect())
    }

    /// The data as it is written, placeholders and all.
    pub fn written(&self) -> Map<String, Value> {
        serde_json::from_str(self.data)
            .unwrap_or_else(|error| unreachable!("a test reads every template's data: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::{Access, Caller, Catalog};

    #[test]
    fn every_job_that_users_may_add_and_a_processor_runs_has_one_template() {
        let catalog = Catalog::default();
        let mut wanted = BTreeSet::new();
        for queue in catalog.queues().iter().filter(|queue| queue.entry().access == Access::Users) {
            let kinds = queue.entry().jobs.iter().filter(|kind| kind.prepare.is_some());
            wanted.extend(kinds.map(|kind| format!("{}.{}", queue.entry().name, kind.name)));
        }
        let shipped: Vec<String> = ALL.iter().map(|template| template.id()).collect();
        assert_eq!(shipped.iter().cloned().collect::<BTreeSet<_>>(), wanted);
        assert_eq!(shipped.len(), wanted.len(), "one is there twice");
    }

    #[test]
    fn what_a_template_is_filled_in_to_is_taken_by_its_job() {
        let caller = Caller { user: "ada", may_name_others: false };
        for template in ALL {
            let example = |placeholder: &Placeholder| {
                let value: Value = serde_json::from_str(placeholder.example).unwrap();
                (placeholder.name.to_owned(), value)
            };
            let all: Map<String, Value> = template.placeholders.iter().map(example).collect();
            let required = template.placeholders.iter().filter(|one| one.otherwise == Otherwise::Required);
            let least: Map<String, Value> = required.map(example).collect();
            let catalog = Catalog::default();
            let (_, kind) = catalog.find(template.queue).unwrap().job(Some(template.job), "").unwrap();
            for values in [all, least] {
                let data = template.fill(&values).unwrap();
                assert!(!Value::Object(data.clone()).to_string().contains('{') || !data.is_empty());
                assert!(data.values().all(|value| !value.as_str().is_some_and(|text| text.starts_with('{'))));
                let prepared = kind.check(&data, &caller, None);
                assert!(prepared.is_ok(), "{}: {data:?} {prepared:?}", template.id());
            }
            let written: BTreeSet<String> = template
                .written()
                .values()
                .filter_map(|value| Some(value.as_str()?.strip_prefix('{')?.strip_suffix('}')?.to_owned()))
                .collect();
            let named: BTreeSet<String> =
                template.placeholders.iter().map(|one| one.name.to_owned()).collect();
            assert_eq!(written, named, "{}", template.id());
            assert!(serde_json::from_str::<Map<String, Value>>(template.options).is_ok());
            for one in template.placeholders {
                if let Otherwise::Default(json) = one.otherwise {
                    assert!(serde_json::from_str::<Value>(json).is_ok(), "{json}");
                }
            }
            assert!(template.description.ends_with('.') && find(&template.id()).is_some());
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let template = &enrich_property::TEMPLATE;
        let values = json!({"propertyid": "p", "location": null, "zebra": 1});
        let problems = template.fill(values.as_object().unwrap()).unwrap_err();
        let told: Vec<(&str, bool)> = problems
            .0
            .iter()
            .map(|problem| (problem.field.as_str(), problem.message.starts_with("is required: ")))
            .collect();
        let expected = [
            ("values.propertyid", false),
            ("values.zebra", false),
            ("values.propertyId", true),
            ("values.location", true),
        ];
        assert_eq!(told, expected);
        assert!(problems.0[0].message.ends_with("did you mean propertyId?"), "{problems}");
    }
}
