//! What a Redis server says of itself: INFO, and the settings of CONFIG that INFO leaves out.

use std::collections::HashMap;

use super::super::RedisOptions;
use super::judge;
use crate::port::Condition;

/// Settings that decide what is kept, and that only CONFIG tells.
pub const SETTINGS: [&str; 4] =
    ["appendfsync", "no-appendfsync-on-rewrite", "save", "stop-writes-on-bgsave-error"];

/// A server's own words about itself.
#[derive(Debug, Clone, Default)]
pub struct Info {
    fields: HashMap<String, String>,
    settings: HashMap<String, String>,
}

impl Info {
    /// What it means for jobs of somebody who uses the server so.
    pub fn condition(&self, options: &RedisOptions) -> Condition {
        judge::all(self, options)
    }

    /// Reads the answer to INFO.
    pub fn parse(text: &str) -> Self {
        let fields = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.trim_end().split_once(':')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Self { fields: fields.collect(), settings: HashMap::new() }
    }

    /// Adds what CONFIG GET told of a setting.
    pub fn learn(&mut self, settings: HashMap<String, String>) {
        self.settings.extend(settings);
    }

    /// A field of INFO.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// A field of INFO that is a whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    /// Whether a field of INFO is `1`; not, if the server has no such field.
    pub fn is_on(&self, name: &str) -> bool {
        self.field(name) == Some("1")
    }

    /// A setting; none if the account may not read it.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }
}
