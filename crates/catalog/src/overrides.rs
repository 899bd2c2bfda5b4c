//! What an operator changes: numbers of queues, by settings given as a map of names and texts (from the environment, say).
//!
//! Per queue: `BULRUSH_QUEUE_<NAME>_CONCURRENCY`, `_CONCURRENCY_GLOBAL`, `_ATTEMPTS`, `_BACKOFF` (the first pause), `_TIMEOUT`,
//! `_RATE_MAX` (a number, or `off`), `_RATE_PER`, `_DEPTH_MAX` (a number, or `off`), `_FOLLOW_UPS` (`on` for all that is declared, `off` for
//! none; otherwise those that the platform has a processor for); the name in upper case with `_` for `-`. Lengths of
//! time are milliseconds, or have a unit (`5m`). The seeds' own names are understood too: [`crate::SeedVariables`] of each queue, and
//! `QUEUE_MAX_ATTEMPTS` and `QUEUE_BACKOFF_DELAY`, which speak for every queue that has the platform's default. Where both are set,
//! the `BULRUSH_` name wins.

use std::collections::BTreeMap;
use std::fmt;

use bulrush::model::{NewJob, RateLimit};

use crate::FollowUps;
use crate::entry::{Growth, Limits, QueueEntry};
use crate::queues;
use crate::span::parse_span_ms;
use crate::suggest::nearest;

/// How every setting of a queue begins.
pub const SETTING_PREFIX: &str = "BULRUSH_QUEUE_";

/// Most slots of a process: more is a slip, and each holds a task and its data.
const CONCURRENCY_MAX: u64 = 10_000;
/// Longest run of an attempt: a week.
const TIMEOUT_MAX_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// Longest first pause: a day.
const BACKOFF_MAX_MS: u64 = 24 * 3_600 * 1_000;
/// Most starts per window.
const RATE_MAX: u64 = 1_000_000;

/// What can be set, by the end of the setting's name. Longer ends stand before their own ends.
const SETTINGS: [(&str, Setting); 9] = [
    ("CONCURRENCY_GLOBAL", Setting::ConcurrencyGlobal),
    ("CONCURRENCY", Setting::Concurrency),
    ("ATTEMPTS", Setting::Attempts),
    ("BACKOFF", Setting::Backoff),
    ("TIMEOUT", Setting::Timeout),
    ("RATE_MAX", Setting::RateMax),
    ("RATE_PER", Setting::RatePer),
    ("DEPTH_MAX", Setting::DepthMax),
    ("FOLLOW_UPS", Setting::FollowUps),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Setting {
    Concurrency,
    ConcurrencyGlobal,
    Attempts,
    Backoff,
    Timeout,
    RateMax,
    RatePer,
    DepthMax,
    FollowUps,
}

/// A number, or the word that lifts a limit or switches something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Of(u64),
    On,
    Off,
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideProblem {
    /// The setting.
    pub name: String,
    /// What is wrong and what is accepted.
    pub message: String,
}

/// All settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideProblems(pub Vec<OverrideProblem>);

impl fmt::Display for OverrideProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queues cannot be set like this")?;
        for problem in &self.0 {
            write!(f, "\n  {}: {}", problem.name, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for OverrideProblems {}

/// Settings that were read and are right each by itself.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// By queue; the name of the setting stays with its value, for what is found wrong later.
    queues: BTreeMap<&'static str, BTreeMap<Setting, (Number, String)>>,
    attempts_default: Option<u32>,
    backoff_default_ms: Option<u64>,
}

impl Overrides {
    /// Reads settings. Names that are not about queues are none of its business and are passed over.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn parse(settings: impl IntoIterator<Item = (String, String)>) -> Result<Self, OverrideProblems> {
        let mut parsed = Self::default();
        let mut problems = Vec::new();
        for (name, value) in settings {
            if let Err(message) = parsed.read(&name, &value) {
                problems.push(OverrideProblem { name, message });
            }
        }
        problems.sort_by(|a, b| a.name.cmp(&b.name));
        if problems.is_empty() { Ok(parsed) } else { Err(OverrideProblems(problems)) }
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        if let Some(rest) = name.strip_prefix(SETTING_PREFIX) {
            let (queue, setting) = find_setting(rest)?;
            let number = setting.read(value)?;
            self.queues.entry(queue.name).or_default().insert(setting, (number, name.to_owned()));
            return Ok(());
        }
        match name {
            "QUEUE_MAX_ATTEMPTS" => {
                self.attempts_default = Some(whole(value, 1, u64::from(NewJob::ATTEMPTS_MAX))? as u32);
                return Ok(());
            }
            "QUEUE_BACKOFF_DELAY" => {
                self.backoff_default_ms = Some(span(value, BACKOFF_MAX_MS)?);
                return Ok(());
            }
            _ => {}
        }
        for queue in queues::ALL {
            let seeds = &queue.seed_variables;
            let setting = if seeds.concurrency.contains(&name) {
                Setting::Concurrency
            } else if seeds.timeout.contains(&name) {
                Setting::Timeout
            } else {
                continue;
            };
            let number = setting.read(value)?;
            // The platform's own name for it wins, in whichever order they come.
            let known = self.queues.entry(queue.name).or_default();
            let own_is_set = known.get(&setting).is_some_and(|(_, by)| by.starts_with(SETTING_PREFIX));
            if !own_is_set {
                known.insert(setting, (number, name.to_owned()));
            }
        }
        Ok(())
    }

    /// The limits of a queue with what was changed.
    pub(crate) fn apply(&self, entry: &QueueEntry, problems: &mut Vec<OverrideProblem>) -> Limits {
        let mut limits = entry.limits;
        if let Some(attempts) = self.attempts_default
            && limits.attempts == queues::DEFAULT_ATTEMPTS
        {
            limits.attempts = attempts;
        }
        if let Some(base_ms) = self.backoff_default_ms
            && limits.backoff == Growth::DEFAULT
        {
            limits.backoff.base_ms = base_ms;
        }
        let Some(changes) = self.queues.get(entry.name) else { return limits };
        for (setting, (number, name)) in changes {
            match (setting, *number) {
                (Setting::Concurrency, Number::Of(n)) => limits.concurrency = n as u32,
                (Setting::ConcurrencyGlobal, Number::Of(n)) => limits.concurrency_global = Some(n as u32),
                (Setting::ConcurrencyGlobal, Number::Off) => limits.concurrency_global = None,
                (Setting::Attempts, Number::Of(n)) => limits.attempts = n as u32,
                (Setting::Backoff, Number::Of(ms)) => limits.backoff.base_ms = ms,
                (Setting::Timeout, Number::Of(ms)) => limits.timeout_ms = ms,
                (Setting::DepthMax, Number::Of(n)) => limits.depth_max = Some(n),
                (Setting::DepthMax, Number::Off) => limits.depth_max = None,
                (Setting::FollowUps, Number::On) => limits.follow_ups = FollowUps::All,
                (Setting::FollowUps, Number::Off) => limits.follow_ups = FollowUps::Nothing,
                (Setting::RateMax, Number::Off) => limits.rate = None,
                (Setting::RateMax, Number::Of(max)) => {
                    let per = changes.get(&Setting::RatePer).map(|(per, _)| *per);
                    let per_ms = match (per, limits.rate) {
                        (Some(Number::Of(per_ms)), _) => per_ms,
                        (_, Some(rate)) => rate.per_ms,
                        (_, None) => {
                            problems.push(OverrideProblem {
                                name: name.clone(),
                                message: "says how many but not per what; set …_RATE_PER too (60s)"
                                    .to_owned(),
                            });
                            continue;
                        }
                    };
                    limits.rate = Some(RateLimit { max: max as u32, per_ms });
                }
                (Setting::RatePer, Number::Of(per_ms)) => {
                    match (&mut limits.rate, changes.get(&Setting::RateMax)) {
                        (Some(rate), _) => rate.per_ms = per_ms,
                        // Lifted, or refused above: there is nothing to spread.
                        (None, Some(_)) => {}
                        (None, None) => problems.push(OverrideProblem {
                            name: name.clone(),
                            message: "the queue has no rate limit; set …_RATE_MAX too (10)".to_owned(),
                        }),
                    }
                }
                // `Setting::read` lets `off` through for limits, and `on` and no number for a switch.
                (
                    Setting::Concurrency
                    | Setting::Attempts
                    | Setting::Backoff
                    | Setting::Timeout
                    | Setting::RatePer,
                    Number::Off,
                )
                | (_, Number::On)
                | (Setting::FollowUps, Number::Of(_)) => {}
            }
        }
        limits
    }
}

impl Setting {
    fn read(self, value: &str) -> Result<Number, String> {
        if self == Self::FollowUps {
            return match value.trim().to_ascii_lowercase().as_str() {
                "on" => Ok(Number::On),
                "off" => Ok(Number::Off),
                _ => {
                    let seen: String = value.chars().take(40).collect();
                    Err(format!("{seen:?} is not accepted; give on or off"))
                }
            };
        }
        let may_be_off = matches!(self, Self::RateMax | Self::DepthMax | Self::ConcurrencyGlobal);
        if may_be_off && value.trim().eq_ignore_ascii_case("off") {
            return Ok(Number::Off);
        }
        let number = match self {
            Self::Concurrency | Self::ConcurrencyGlobal => whole(value, 1, CONCURRENCY_MAX),
            Self::Attempts => whole(value, 1, u64::from(NewJob::ATTEMPTS_MAX)),
            Self::RateMax => whole(value, 1, RATE_MAX),
            Self::DepthMax => whole(value, 1, 1 << 40),
            Self::Backoff => span(value, BACKOFF_MAX_MS),
            Self::Timeout => span(value, TIMEOUT_MAX_MS),
            Self::RatePer => span(value, RateLimit::PER_MAX_MS),
            Self::FollowUps => unreachable!("it is read above"),
        };
        match number {
            Ok(number) => Ok(Number::Of(number)),
            Err(message) if may_be_off => Err(format!("{message}, or off")),
            Err(message) => Err(message),
        }
    }
}

fn whole(value: &str, min: u64, max: u64) -> Result<u64, String> {
    let seen: String = value.chars().take(40).collect();
    match value.trim().parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("{seen:?} is not accepted; give a whole number from {min} to {max}")),
    }
}

fn span(value: &str, max_ms: u64) -> Result<u64, String> {
    let ms = parse_span_ms(value).map_err(|error| error.to_string())?;
    if (1..=max_ms).contains(&ms) {
        Ok(ms)
    } else {
        Err(format!("{ms} ms is not accepted; give 1 ms to {} h", max_ms / 3_600_000))
    }
}

/// A queue's name as it stands in a setting.
fn in_setting(queue: &QueueEntry) -> String {
    queue.name.to_ascii_uppercase().replace('-', "_")
}

fn find_setting(rest: &str) -> Result<(&'static QueueEntry, Setting), String> {
    let found = SETTINGS
        .into_iter()
        .find_map(|(end, setting)| Some((rest.strip_suffix(end)?.strip_suffix('_')?, setting)));
    let Some((name, setting)) = found else {
        let ends: Vec<&str> = SETTINGS.iter().map(|(end, _)| *end).collect();
        return Err(format!("is no setting of a queue; it must end in _{}", ends.join(", _")));
    };
    let names: Vec<String> = queues::ALL.iter().map(|queue| in_setting(queue)).collect();
    match names.iter().position(|known| known == name) {
        Some(at) => Ok((queues::ALL[at], setting)),
        None => Err(match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("there is no queue {name}; did you mean {near}?"),
            None => format!("there is no such queue; queues are {}", names.join(", ")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalog;

    fn with(settings: &[(&str, &str)]) -> Result<Catalog, OverrideProblems> {
        Catalog::with_settings(settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    fn limits(catalog: &Catalog, queue: &str) -> Limits {
        *catalog.find(queue).expect("a queue of the catalogue").limits()
    }

    #[test]
    fn every_number_of_a_queue_can_be_changed() {
        let catalog = with(&[
            ("BULRUSH_QUEUE_ANALYTICS_HEAVY_CONCURRENCY", "7"),
            ("BULRUSH_QUEUE_ANALYTICS_HEAVY_CONCURRENCY_GLOBAL", "9"),
            ("BULRUSH_QUEUE_ANALYTICS_HEAVY_ATTEMPTS", "4"),
            ("BULRUSH_QUEUE_ANALYTICS_HEAVY_BACKOFF", "250ms"),
            ("BULRUSH_QUEUE_ANALYTICS_HEAVY_TIMEOUT", "90s"),
            ("BULRUSH_QUEUE_ANALYTICS_HEAVY_RATE_MAX", "5"),
            ("BULRUSH_QUEUE_ANALYTICS_HEAVY_RATE_PER", "1s"),
            ("BULRUSH_QUEUE_ANALYTICS_HEAVY_DEPTH_MAX", "1000"),
            ("PATH", "/usr/bin"),
        ])
        .unwrap();
        let heavy = limits(&catalog, "analytics-heavy");
        assert_eq!((heavy.concurrency, heavy.concurrency_global, heavy.attempts), (7, Some(9), 4));
        assert_eq!((heavy.backoff.base_ms, heavy.timeout_ms, heavy.depth_max), (250, 90_000, Some(1_000)));
        assert_eq!(heavy.rate, Some(RateLimit { max: 5, per_ms: 1_000 }));
        assert_eq!(limits(&catalog, "analytics"), limits(&Catalog::default(), "analytics"));
    }

    #[test]
    fn the_seeds_names_work_and_the_platform_s_own_name_wins() {
        let catalog = with(&[
            ("ENRICHMENT_WORKER_CONCURRENCY", "5"),
            ("BULRUSH_QUEUE_FORECAST_CONCURRENCY", "8"),
            ("QUEUE_CONCURRENCY_FORECAST", "3"),
            ("JOB_TIMEOUT_IMPORT", "1000000"),
            ("QUEUE_MAX_ATTEMPTS", "6"),
            ("QUEUE_BACKOFF_DELAY", "100"),
        ])
        .unwrap();
        assert_eq!(limits(&catalog, "enrichment").concurrency, 5);
        assert_eq!(limits(&catalog, "forecast").concurrency, 8);
        assert_eq!(limits(&catalog, "import").timeout_ms, 1_000_000);
        let (sync, enrichment) = (limits(&catalog, "sync"), limits(&catalog, "enrichment"));
        assert_eq!((sync.attempts, sync.backoff.base_ms), (6, 100));
        assert_eq!((enrichment.attempts, enrichment.backoff), (5, Growth::OUTSIDE), "its own limits stay");
    }

    #[test]
    fn a_rate_limit_is_lifted_spread_or_asked_to_be_whole() {
        let catalog = with(&[
            ("BULRUSH_QUEUE_ENRICHMENT_RATE_MAX", "off"),
            ("BULRUSH_QUEUE_SYNC_RATE_PER", "1m"),
            ("BULRUSH_QUEUE_EXPORT_RATE_MAX", "100"),
        ])
        .unwrap();
        assert_eq!(limits(&catalog, "enrichment").rate, None);
        assert_eq!(limits(&catalog, "sync").rate, Some(RateLimit { max: 10, per_ms: 60_000 }));
        assert_eq!(limits(&catalog, "export").rate, Some(RateLimit { max: 100, per_ms: 60_000 }));
        let problems =
            with(&[("BULRUSH_QUEUE_ALERTS_RATE_MAX", "1"), ("BULRUSH_QUEUE_METRICS_RATE_PER", "1s")])
                .unwrap_err();
        assert_eq!(problems.0.len(), 2, "{problems}");
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_with_what_is_accepted() {
        let problems = with(&[
            ("BULRUSH_QUEUE_ENRICHMNET_CONCURRENCY", "3"),
            ("BULRUSH_QUEUE_ENRICHMENT_CONCURENCY", "3"),
            ("BULRUSH_QUEUE_SYNC_CONCURRENCY", "0"),
            ("BULRUSH_QUEUE_FEEDS_CONCURRENCY", "-1"),
            ("BULRUSH_QUEUE_IMPORT_CONCURRENCY", "1000000000"),
            ("BULRUSH_QUEUE_EXPORT_CONCURRENCY", ""),
            ("BULRUSH_QUEUE_EXPORT_TIMEOUT", "soon"),
            ("BULRUSH_QUEUE_EXPORT_RATE_MAX", "none"),
            ("QUEUE_MAX_ATTEMPTS", "0"),
            ("JOB_TIMEOUT_FORECAST", "1e9"),
        ])
        .unwrap_err();
        assert_eq!(problems.0.len(), 10, "{problems}");
        let text = problems.to_string();
        for hint in ["did you mean ENRICHMENT?", "_CONCURRENCY, _ATTEMPTS", "from 1 to 10000", "or off", "5m"]
        {
            assert!(text.contains(hint), "{hint} is missing in: {text}");
        }
    }
}
