//! How the place where queues live is: whether it can be relied on, and how much of what it acknowledged survives what.

use std::fmt;

use serde::Serialize;

/// What an acknowledged job survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Durability {
    /// Nothing that is promised: the end of the process or, on a server without an append-only file, a crash may lose every job.
    Volatile,
    /// A crash of the process, not always one of the machine: some 30 s of acknowledged jobs can go with it.
    Weak,
    /// If the machine dies, up to 2 s of acknowledged jobs go with it.
    Standard,
    /// What was acknowledged is on the disk.
    Durable,
    /// It could not be looked at.
    #[default]
    Unverified,
}

impl Durability {
    /// The class in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volatile => "volatile",
            Self::Weak => "weak",
            Self::Standard => "standard",
            Self::Durable => "durable",
            Self::Unverified => "unverified",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and something may be lost or slow, or could not be looked at.
    Warning,
    /// Jobs cannot be kept safely, or not at all.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What, named like the setting where there is one.
    #[serde(rename = "check")]
    pub what: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// The same in words, and what that means. No address and no secret is in it.
    pub found: String,
    /// How to put it right.
    pub cure: Option<String>,
    /// Whether the queues must not be relied on until it is put right. Not everything that is broken is of this kind: a server whose
    /// memory is full lets workers go on, and they mend it.
    #[serde(skip)]
    pub hinders: bool,
}

impl Check {
    /// All is well.
    pub fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Ok, found: found.into(), cure: None, hinders: false }
    }

    /// It works, but.
    pub fn warning(what: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        let cure = Some(cure.into());
        Self { what, verdict: Verdict::Warning, found: found.into(), cure, hinders: false }
    }

    /// It is broken, and workers may mend it.
    pub fn broken(what: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Broken, ..Self::warning(what, found, cure) }
    }

    /// It is broken, and nobody should rely on the queues meanwhile.
    pub fn hindrance(what: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { hinders: true, ..Self::broken(what, found, cure) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.found)?;
        match &self.cure {
            Some(cure) => write!(f, " (to put it right: {cure})"),
            None => Ok(()),
        }
    }
}

/// How the place where queues live was when it was last looked at. The default is that nobody has looked: nothing is known against it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Condition {
    /// What an acknowledged job survives.
    pub durability: Durability,
    /// All that was looked at.
    pub checks: Vec<Check>,
}

impl Condition {
    /// Whether the queues can be relied on.
    pub fn is_ready(&self) -> bool {
        self.hindrances().next().is_none()
    }

    /// What keeps them from being relied on.
    pub fn hindrances(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.hinders)
    }
}

/// Bytes as people read them: for what is found.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64 / 1024.0, UNITS[0]);
    for larger in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hinders_makes_it_not_ready_and_what_is_merely_broken_does_not() {
        let mut condition = Condition::default();
        assert!(condition.is_ready(), "nothing is known against it");
        condition.checks.push(Check::broken("maxmemory", "it is full", "drain"));
        condition.checks.push(Check::warning("version", "it is odd", "look"));
        assert!(condition.is_ready());
        condition.checks.push(Check::hindrance("maxmemory-policy", "it evicts", "set it"));
        assert!(!condition.is_ready());
        let told: Vec<String> = condition.hindrances().map(Check::to_string).collect();
        assert_eq!(told, ["maxmemory-policy: it evicts (to put it right: set it)"]);
    }
}
