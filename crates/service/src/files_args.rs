//! Where uploaded and made files are kept: the options of every binary that reads or writes them.

use std::path::PathBuf;

use bulrush_store::{BucketKeys, BucketSettings, Place};
use clap::{Args, ValueEnum};

use crate::{Problems, Secret};

/// Where files are kept. The bucket's settings have the names that other S3 programs give them, and mean nothing for a folder.
#[derive(Debug, Clone, Args)]
pub struct FilesArgs {
    /// Where uploaded and made files are kept: a folder, or s3://BUCKET/PREFIX for a bucket that speaks S3.
    // A secret, as people put keys into URLs where none belong.
    #[arg(long = "files", env = "BULRUSH_FILES", hide_env_values = true, value_name = "PLACE")]
    pub files: Option<Secret>,
    /// The folder under the name that seed 002 gives it.
    #[arg(
        long,
        env = "EXPORT_DIR",
        hide_env_values = true,
        value_name = "DIR",
        hide = true,
        conflicts_with = "files"
    )]
    pub export_dir: Option<Secret>,
    /// Where the bucket is, if not at AWS: https://HOST:PORT (http:// is not encrypted).
    #[arg(long, env = "AWS_ENDPOINT_URL", hide_env_values = true, value_name = "URL")]
    pub s3_endpoint: Option<Secret>,
    /// The bucket's region; needed at AWS.
    #[arg(long, env = "AWS_REGION", value_name = "REGION")]
    pub s3_region: Option<String>,
    /// Whether the bucket's name stands in the path of its addresses or in their host; auto: in the path with an endpoint of its own.
    #[arg(long, env = "BULRUSH_S3_STYLE", value_enum, default_value_t = BucketStyle::Auto)]
    pub s3_style: BucketStyle,
    /// Access key of the bucket. Without keys the role of the machine or container is used.
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true, value_name = "KEY")]
    pub s3_access_key: Option<Secret>,
    /// File that holds the access key.
    #[arg(long, env = "AWS_ACCESS_KEY_ID_FILE", value_name = "FILE")]
    pub s3_access_key_file: Option<PathBuf>,
    /// Secret key of the bucket; never printed.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true, value_name = "SECRET")]
    pub s3_secret_key: Option<Secret>,
    /// File that holds the secret key.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY_FILE", value_name = "FILE")]
    pub s3_secret_key_file: Option<PathBuf>,
    /// Token of a session, with keys that are good for a time only; never printed.
    #[arg(long, env = "AWS_SESSION_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub s3_session_token: Option<Secret>,
    /// File that holds the session's token.
    #[arg(long, env = "AWS_SESSION_TOKEN_FILE", value_name = "FILE")]
    pub s3_session_token_file: Option<PathBuf>,
}

/// Where a bucket's name stands in its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BucketStyle {
    /// In the path with an endpoint of its own, in the host's name at AWS.
    Auto,
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`; the endpoint, if one is given, names the bucket already.
    Host,
}

impl FilesArgs {
    /// What is given for a place.
    fn given(&self) -> Option<&str> {
        self.files.as_ref().or(self.export_dir.as_ref()).map(Secret::expose)
    }

    /// Whether a place is given, be it one that can be used or not.
    pub fn is_given(&self) -> bool {
        self.given().is_some()
    }

    /// The place, if one is given; what is wrong with it is noted.
    pub fn place(&self, problems: &mut Problems) -> Option<Place> {
        let place = problems.keep("BULRUSH_FILES", Place::parse(self.given()?))?;
        let Place::Bucket(settings) = place else { return Some(place) };
        let endpoint = self.s3_endpoint.as_ref().map(Secret::expose).filter(|endpoint| !endpoint.is_empty());
        if let Some(endpoint) = endpoint
            && !is_endpoint(endpoint)
        {
            problems.push(
                "AWS_ENDPOINT_URL",
                "must be https://HOST:PORT or http://HOST:PORT, without keys, path or parameters",
            );
        }
        let region = self.s3_region.as_deref().filter(|region| !region.is_empty());
        match region {
            None if endpoint.is_none() => problems.push(
                "AWS_REGION",
                "is missing; give the bucket's region (eu-central-1), or AWS_ENDPOINT_URL if it is not at AWS",
            ),
            Some(region) if !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                problems.push("AWS_REGION", "is no region; write it as in eu-central-1");
            }
            _ => {}
        }
        Some(Place::Bucket(BucketSettings {
            endpoint: endpoint.map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            region: region.map(str::to_owned),
            keys: self.keys(problems),
            path_style: match self.s3_style {
                BucketStyle::Auto => endpoint.is_some(),
                BucketStyle::Path => true,
                BucketStyle::Host => false,
            },
            ..settings
        }))
    }

    fn keys(&self, problems: &mut Problems) -> Option<BucketKeys> {
        let mut resolve = |name, value: &Option<Secret>, file: &Option<PathBuf>| {
            let secret = Secret::resolve(name, value.as_ref(), file.as_deref(), problems);
            let is_plain = |secret: &Secret| secret.expose().bytes().all(|b| b.is_ascii_graphic());
            if secret.as_ref().is_some_and(|secret| !is_plain(secret)) {
                problems.push(name, "has a space or another character that no key has");
            }
            (value.is_some() || file.is_some(), secret)
        };
        let (has_access, access) =
            resolve("AWS_ACCESS_KEY_ID", &self.s3_access_key, &self.s3_access_key_file);
        let (has_secret, secret) =
            resolve("AWS_SECRET_ACCESS_KEY", &self.s3_secret_key, &self.s3_secret_key_file);
        let (has_token, token) =
            resolve("AWS_SESSION_TOKEN", &self.s3_session_token, &self.s3_session_token_file);
        let mut missing = |name, other| {
            problems.push(
                name,
                format!("is missing, and {other} is given; give both, or none for the machine's role"),
            );
        };
        match (has_access, has_secret) {
            (true, false) => missing("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
            (false, true) => missing("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            (false, false) if has_token => missing("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"),
            _ => {}
        }
        Some(BucketKeys {
            access_key: access?.expose().to_owned(),
            secret_key: secret?.expose().to_owned(),
            session_token: token.map(|token| token.expose().to_owned()),
        })
    }
}

/// Says where files are kept, without what opens the place.
pub fn log_place(place: &Place) {
    match place {
        Place::Folder(_) => tracing::info!(%place, "files are kept in a folder"),
        Place::Bucket(settings) => tracing::info!(
            %place,
            endpoint = settings.endpoint.as_deref().unwrap_or("AWS"),
            region = settings.region.as_deref().unwrap_or("none"),
            keys = if settings.keys.is_some() { "given" } else { "the machine's role" },
            path_style = settings.path_style,
            "files are kept in a bucket"
        ),
    }
}

fn is_endpoint(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest)) else { return false };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_host = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b))
        && host.contains(':') == (host.starts_with('[') && host.ends_with(']'));
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        files: FilesArgs,
    }

    fn place(options: &[&str]) -> (Option<Place>, String) {
        let only = Only::try_parse_from(["x"].iter().chain(options)).unwrap();
        assert!(!format!("{only:?}").contains("canary"), "{only:?}");
        let mut problems = Problems::default();
        let place = only.files.place(&mut problems);
        let said = problems.finish().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(!said.contains("canary"), "{said}");
        (place, said)
    }

    #[test]
    fn a_folder_needs_nothing_else_and_minds_no_settings_of_buckets() {
        let (found, said) = place(&["--files", "data/files", "--s3-secret-key", "canary"]);
        assert_eq!((found.unwrap(), said.as_str()), (Place::Folder("data/files".into()), ""));
        assert_eq!(place(&[]).0, None);
    }

    #[test]
    fn a_bucket_has_its_settings_and_shows_no_keys() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "canary\n").unwrap();
        let keys = ["--s3-access-key", "AKIA", "--s3-secret-key-file", secret.to_str().unwrap()];
        let at = ["--files", "s3://files/a", "--s3-endpoint", "http://minio:9000/"];
        let (found, said) = place(&[at, keys].concat());
        let Some(Place::Bucket(bucket)) = found else { panic!("{said}") };
        assert_eq!(said, "");
        assert_eq!((bucket.bucket.as_str(), bucket.prefix.as_str()), ("files", "a"));
        assert_eq!((bucket.endpoint.as_deref(), bucket.path_style), (Some("http://minio:9000"), true));
        assert_eq!(bucket.keys.as_ref().unwrap().secret_key, "canary");
        assert!(!format!("{bucket:?}").contains("canary"));
        let (found, said) = place(&["--files", "s3://files", "--s3-region", "eu-central-1"]);
        let Some(Place::Bucket(bucket)) = found else { panic!("{said}") };
        assert_eq!((bucket.keys, bucket.path_style, said.as_str()), (None, false, ""));
    }

    #[test]
    fn what_is_missing_or_contradicts_itself_is_told_at_once() {
        for (options, names) in [
            (&["--files", "s3://files"][..], &["AWS_REGION: is missing"][..]),
            (&["--files", "s3://key:canary@files"], &["BULRUSH_FILES"]),
            (
                &["--files", "s3://files", "--s3-endpoint", "http://a:canary@h", "--s3-access-key", "AKIA"],
                &["AWS_ENDPOINT_URL", "AWS_SECRET_ACCESS_KEY: is missing"],
            ),
            (
                &["--files", "s3://files", "--s3-region", "eu", "--s3-secret-key", "canary"],
                &["AWS_ACCESS_KEY_ID: is missing"],
            ),
            (
                &["--files", "s3://files", "--s3-region", "eu", "--s3-session-token", "canary"],
                &["AWS_ACCESS_KEY_ID: is missing"],
            ),
            (
                &[
                    "--files",
                    "s3://files",
                    "--s3-region",
                    "e u",
                    "--s3-access-key",
                    "A",
                    "--s3-secret-key",
                    "canary",
                    "--s3-secret-key-file",
                    "/absent",
                ],
                &["AWS_REGION", "AWS_SECRET_ACCESS_KEY: is given twice"],
            ),
            (
                &[
                    "--files",
                    "s3://files",
                    "--s3-region",
                    "eu",
                    "--s3-access-key",
                    "A",
                    "--s3-secret-key",
                    "canary canary",
                ],
                &["AWS_SECRET_ACCESS_KEY: has a space"],
            ),
        ] {
            let (_, said) = place(options);
            for name in names {
                assert!(said.contains(name), "{options:?}: {said}");
            }
        }
    }

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        for good in
            ["https://h", "http://h:9000/", "http://127.0.0.1:1", "http://[::1]:9000", "https://[::1]"]
        {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "h",
            "ftp://h",
            "http://",
            "http://h:0",
            "http://h:x",
            "http://u@h",
            "http://h/a",
            "http://h?a",
            "http://a:b:1",
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }
}
