//! Where objects are kept: a folder, or a bucket that speaks S3.

use std::fmt;
use std::path::PathBuf;

use crate::ObjectError;

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket.
    Bucket(BucketSettings),
}

/// A bucket that speaks S3, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSettings {
    /// Its name.
    pub bucket: String,
    /// What all keys begin with, without a slash at either end; empty for nothing.
    pub prefix: String,
    /// Where it is, if not at AWS: `https://minio.example.com:9000`. `http://` is not encrypted.
    pub endpoint: Option<String>,
    /// Its region; without one `us-east-1`, which is what servers other than AWS expect.
    pub region: Option<String>,
    /// How the program signs; without them as the role of the machine or container that it runs on.
    pub keys: Option<BucketKeys>,
    /// Whether the bucket stands in the path (`/bucket/key`) instead of the host's name, as most servers other than AWS need it.
    pub path_style: bool,
}

/// The keys to a bucket. `Debug` shows none of the secret ones.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketKeys {
    /// The access key, which is public.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
    /// The token of a session, where the keys are for a time only.
    pub session_token: Option<String>,
}

impl fmt::Debug for BucketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketKeys").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl Place {
    /// Reads a path, or `s3://BUCKET/PREFIX` (the prefix may be left out), whose other settings are then to be filled in.
    ///
    /// # Errors
    /// [`ObjectError::Place`] with what is wrong; nothing is repeated of a text that may hold a secret.
    pub fn parse(text: &str) -> Result<Self, ObjectError> {
        let refuse = |reason: &str| Err(ObjectError::Place { reason: reason.to_owned() });
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() || text.contains('\0') {
                refuse("it is empty or no path; write a folder or s3://BUCKET/PREFIX")
            } else {
                Ok(Self::Folder(text.into()))
            };
        };
        match scheme {
            "s3" => {}
            "file" => return refuse("write the folder by itself, without file://"),
            _ => return refuse("its scheme is unknown; write a folder or s3://BUCKET/PREFIX"),
        }
        if rest.contains(['@', '?', '#']) {
            return refuse(
                "keys, endpoint and region do not stand in it; write s3://BUCKET/PREFIX and give those by their own settings",
            );
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
            && !bucket.starts_with(['-', '.'])
            && !bucket.ends_with(['-', '.']);
        if !is_name {
            return refuse(
                "a bucket's name has 3 to 63 small letters, digits, hyphens and dots; write s3://BUCKET/PREFIX",
            );
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_segment = |part: &str| {
            !part.is_empty()
                && part.bytes().any(|b| b != b'.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if prefix.len() > 512 || !(prefix.is_empty() || prefix.split('/').all(is_segment)) {
            return refuse(
                "the prefix may have letters, digits, dots, hyphens and underscores between single slashes, and 512 in all",
            );
        }
        Ok(Self::Bucket(BucketSettings {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: None,
            region: None,
            keys: None,
            path_style: false,
        }))
    }
}

impl fmt::Display for Place {
    /// The folder or the bucket, as it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket(BucketSettings { bucket, prefix, .. }) if prefix.is_empty() => {
                write!(f, "s3://{bucket}")
            }
            Self::Bucket(BucketSettings { bucket, prefix, .. }) => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_buckets_are_read_and_written_as_they_are() {
        for text in ["data/files", "/srv/files", "s3://files", "s3://my.files-1/a/B_c.d"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Place::parse("s3://files/a/").unwrap().to_string(), "s3://files/a");
        assert_eq!(Place::parse("s3://files/").unwrap().to_string(), "s3://files");
    }

    #[test]
    fn what_is_no_place_is_refused_without_repeating_it() {
        for text in [
            "",
            "s3://",
            "s3:///a",
            "s3://ab",
            "s3://Files",
            "s3://-files",
            "s3://key:hunter2@files",
            "s3://files?secret=hunter2",
            "s3://files/a//b",
            "s3://files/../b",
            "s3://files/a b",
            "s3://files/hunter2%",
            "gs://hunter2",
            "file:///srv",
        ] {
            let said = Place::parse(text).unwrap_err().to_string();
            assert!(!said.contains("hunter2"), "{text:?}: {said}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let keys = BucketKeys {
            access_key: "AKIA".into(),
            secret_key: "canary".into(),
            session_token: Some("canary".into()),
        };
        assert!(!format!("{keys:?}").contains("canary"));
    }
}
