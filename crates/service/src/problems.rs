//! Everything that is wrong with a configuration, told at once.

use std::fmt;

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting: the variable's or the option's name.
    pub name: String,
    /// What is wrong and what is accepted. Never a secret.
    pub message: String,
}

/// Gathers problems while a configuration is read.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

/// The configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// All that is wrong with it.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// Notes a problem.
    pub fn push(&mut self, name: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { name: name.into(), message: message.into() });
    }

    /// The value, or a problem noted.
    pub fn keep<T, E: fmt::Display>(&mut self, name: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.push(name, error.to_string());
                None
            }
        }
    }

    /// Nothing, if nothing is wrong.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigError { problems: self.0 }) }
    }
}

impl From<bulrush_catalog::OverrideProblems> for Problems {
    fn from(found: bulrush_catalog::OverrideProblems) -> Self {
        Self(
            found
                .0
                .into_iter()
                .map(|problem| Problem { name: problem.name, message: problem.message })
                .collect(),
        )
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, found: I) {
        self.0.extend(found);
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used")?;
        for problem in &self.problems {
            write!(f, "\n  {}: {}", problem.name, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
