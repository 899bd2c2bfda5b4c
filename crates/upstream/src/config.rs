//! Where the upstreams are and how patient the clients are.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use crate::http::HttpOptions;
use crate::secret::Secret;

/// Where an upstream lives: scheme, host, port and perhaps a path in front of its own paths.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why a text is no base URL. The text is not repeated, as it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseUrlError {
    /// Not a URL at all.
    #[error("the base URL cannot be read ({0}); give one such as https://api.open-meteo.com")]
    Unreadable(String),
    /// Neither http nor https.
    #[error("the base URL has the scheme {0:?}; only http and https are accepted")]
    Scheme(String),
    /// Credentials, a query or a fragment.
    #[error("the base URL has {0}, which it must not have; give scheme, host, port and path only")]
    Excess(&'static str),
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut url = Url::parse(text).map_err(|error| BaseUrlError::Unreadable(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BaseUrlError::Scheme(url.scheme().chars().take(16).collect()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Excess("credentials"));
        }
        if url.query().is_some() {
            return Err(BaseUrlError::Excess("a query"));
        }
        if url.fragment().is_some() {
            return Err(BaseUrlError::Excess("a fragment"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl BaseUrl {
    /// The URL of a path below this one.
    pub(crate) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        // `path_segments_mut` fails only for URLs without a host, and http(s) URLs have one. It escapes what it is given.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A URL that is known to be good: the defaults below, which a test parses.
    fn known(text: &str) -> Self {
        text.parse().unwrap_or_else(|error| unreachable!("{text} is a good base URL: {error}"))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Everything the clients need to know. [`Default`] is the real world.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Past weather, Open-Meteo's archive format.
    pub weather_archive: BaseUrl,
    /// Weather of the last weeks and the next days, Open-Meteo's forecast format.
    pub weather_forecast: BaseUrl,
    /// Public holidays, Nager.Date's format.
    pub nager: BaseUrl,
    /// Public holidays, Calendarific's format; used when there is a key.
    pub calendarific: BaseUrl,
    /// School holidays, OpenHolidays' format.
    pub open_holidays: BaseUrl,
    /// Key for Calendarific. Without one, and without one in the call, Nager.Date is asked.
    pub calendarific_key: Option<Secret>,
    /// Limits, retries and cache of the HTTP layer.
    pub http: HttpOptions,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            weather_archive: BaseUrl::known("https://archive-api.open-meteo.com"),
            weather_forecast: BaseUrl::known("https://api.open-meteo.com"),
            nager: BaseUrl::known("https://date.nager.at"),
            calendarific: BaseUrl::known("https://calendarific.com"),
            open_holidays: BaseUrl::known("https://openholidaysapi.org"),
            calendarific_key: None,
            http: HttpOptions::default(),
        }
    }
}

impl UpstreamConfig {
    /// All upstreams behind one base URL, as the sandbox serves them: their paths do not overlap.
    pub fn all_at(base: &BaseUrl) -> Self {
        Self {
            weather_archive: base.clone(),
            weather_forecast: base.clone(),
            nager: base.clone(),
            calendarific: base.clone(),
            open_holidays: base.clone(),
            calendarific_key: None,
            http: HttpOptions::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_real_world_over_https() {
        let config = UpstreamConfig::default();
        for base in [
            &config.weather_archive,
            &config.weather_forecast,
            &config.nager,
            &config.calendarific,
            &config.open_holidays,
        ] {
            assert!(base.to_string().starts_with("https://"), "{base}");
        }
    }

    #[test]
    fn paths_are_joined_and_escaped() {
        let base: BaseUrl = "http://127.0.0.1:9/prefix/".parse().unwrap();
        assert_eq!(base.join(&["v1", "archive"]).as_str(), "http://127.0.0.1:9/prefix/v1/archive");
        assert_eq!(base.join(&["a/../b?x"]).as_str(), "http://127.0.0.1:9/prefix/a%2F..%2Fb%3Fx");
        let bare: BaseUrl = "http://127.0.0.1:9".parse().unwrap();
        assert_eq!(bare.join(&["v1"]).as_str(), "http://127.0.0.1:9/v1");
        assert_eq!(bare.to_string(), "http://127.0.0.1:9");
    }

    #[test]
    fn base_urls_with_more_than_a_place_are_refused_without_repeating_it() {
        for bad in [
            "",
            "api.open-meteo.com",
            "ftp://host",
            "file:///etc/passwd",
            "http://user:hunter2@host",
            "http://host/?key=hunter2",
            "http://host/#hunter2",
        ] {
            let error = bad.parse::<BaseUrl>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
