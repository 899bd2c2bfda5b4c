//! What a bucket holds and how each request changes it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::http::{Answer, Request};
use super::{BucketFault, BucketOperation, BucketPlan};

/// S3 refuses an upload with a smaller part that is not its last.
const PART_BYTES_MIN: usize = 5 << 20;
/// When everything here was last changed: nobody asks in earnest.
const LAST_MODIFIED: &str = "Wed, 01 Jan 2025 00:00:00 GMT";

/// What was asked of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketCounts {
    /// Requests by what they asked for, those that failed on request among them.
    pub requests: BTreeMap<BucketOperation, u32>,
    /// The sizes of the parts that were taken, in order, repeats among them, bytes.
    pub parts: Vec<usize>,
}

/// An upload that was begun.
#[derive(Debug)]
pub(crate) struct Upload {
    key: String,
    parts: BTreeMap<u32, Bytes>,
}

#[derive(Debug)]
pub(crate) struct State {
    name: String,
    access_key: String,
    pub objects: BTreeMap<String, Bytes>,
    pub uploads: HashMap<String, Upload>,
    pub plans: VecDeque<BucketPlan>,
    pub counts: BucketCounts,
    next_upload: u64,
}

impl State {
    pub fn new(name: &str, access_key: &str) -> Self {
        Self {
            name: name.to_owned(),
            access_key: access_key.to_owned(),
            objects: BTreeMap::new(),
            uploads: HashMap::new(),
            plans: VecDeque::new(),
            counts: BucketCounts::default(),
            next_upload: 1,
        }
    }

    /// What a request asks for, if a bucket knows it.
    pub fn operation(request: &Request) -> Option<BucketOperation> {
        use BucketOperation as O;

        let (_, key) = parts_of(&request.path);
        let has = |name| request.query.contains_key(name);
        match (request.method.as_str(), key.is_empty()) {
            ("GET", true) if has("list-type") => Some(O::List),
            ("PUT", false) if has("uploadId") => Some(O::Part),
            ("PUT", false) => Some(O::Put),
            ("POST", false) if has("uploads") => Some(O::Begin),
            ("POST", false) if has("uploadId") => Some(O::Complete),
            ("DELETE", false) if has("uploadId") => Some(O::Abort),
            ("DELETE", false) => Some(O::Delete),
            ("GET", false) => Some(O::Get),
            ("HEAD", false) => Some(O::Head),
            _ => None,
        }
    }

    /// Counts a request; the fault that it meets.
    pub fn count(&mut self, operation: BucketOperation, request: &Request) -> Option<BucketFault> {
        *self.counts.requests.entry(operation).or_default() += 1;
        if operation == BucketOperation::Part {
            self.counts.parts.push(request.body.len());
        }
        let at = self.plans.iter().position(|plan| plan.operation == operation)?;
        let plan = self.plans.get_mut(at)?;
        if plan.after > 0 {
            plan.after -= 1;
            return None;
        }
        plan.count = plan.count.saturating_sub(1);
        let fault = plan.fault.clone();
        if plan.count == 0 {
            self.plans.remove(at);
        }
        Some(fault)
    }

    pub fn carry_out(&mut self, operation: BucketOperation, request: &Request) -> Answer {
        use BucketOperation as O;

        if let Some(refused) = self.check_signature(request) {
            return refused;
        }
        let (bucket, key) = parts_of(&request.path);
        if bucket != self.name {
            return Answer::error(404, "NoSuchBucket");
        }
        let upload_id = request.query.get("uploadId").map(String::as_str).unwrap_or_default();
        match operation {
            O::Put => {
                self.objects.insert(key.to_owned(), request.body.clone());
                Answer::empty(200).with("etag", etag(&request.body))
            }
            O::Begin => {
                let id = format!("upload-{}", self.next_upload);
                self.next_upload += 1;
                self.uploads.insert(id.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
                Answer::xml(format!(
                    "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            O::Part => {
                let number = request.query.get("partNumber").and_then(|number| number.parse().ok());
                match (self.uploads.get_mut(upload_id).filter(|upload| upload.key == key), number) {
                    (None, _) => Answer::error(404, "NoSuchUpload"),
                    (Some(upload), Some(number @ 1..=10_000)) => {
                        upload.parts.insert(number, request.body.clone());
                        Answer::empty(200).with("etag", etag(&request.body))
                    }
                    _ => Answer::error(400, "InvalidArgument"),
                }
            }
            O::Complete => self.complete(upload_id, key, request),
            O::Abort => match self.uploads.remove(upload_id) {
                Some(_) => Answer::empty(204),
                None => Answer::error(404, "NoSuchUpload"),
            },
            O::Get | O::Head => match self.objects.get(key) {
                None => Answer::error(404, "NoSuchKey"),
                Some(object) => read(object, request),
            },
            O::Delete => {
                self.objects.remove(key);
                Answer::empty(204)
            }
            O::List => self.list(request),
        }
    }

    fn complete(&mut self, upload_id: &str, key: &str, request: &Request) -> Answer {
        let Some(upload) = self.uploads.get(upload_id).filter(|upload| upload.key == key) else {
            return Answer::error(404, "NoSuchUpload");
        };
        let named: Vec<u32> = String::from_utf8_lossy(&request.body)
            .split("<PartNumber>")
            .skip(1)
            .filter_map(|text| text.split('<').next()?.parse().ok())
            .collect();
        let parts: Option<Vec<&Bytes>> = named.iter().map(|number| upload.parts.get(number)).collect();
        let Some(parts) = parts.filter(|parts| !parts.is_empty()) else {
            return Answer::error(400, "InvalidPart");
        };
        if !named.is_sorted_by(|a, b| a < b) {
            return Answer::error(400, "InvalidPartOrder");
        }
        if parts[..parts.len() - 1].iter().any(|part| part.len() < PART_BYTES_MIN) {
            return Answer::error(400, "EntityTooSmall");
        }
        let object: Bytes = parts
            .into_iter()
            .fold(Vec::new(), |mut all, part| {
                all.extend_from_slice(part);
                all
            })
            .into();
        let etag = etag(&object);
        self.objects.insert(key.to_owned(), object);
        self.uploads.remove(upload_id);
        Answer::xml(format!(
            "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
        ))
    }

    fn list(&self, request: &Request) -> Answer {
        let prefix = request.query.get("prefix").map(String::as_str).unwrap_or_default();
        let most = request.query.get("max-keys").and_then(|most| most.parse().ok()).unwrap_or(1_000);
        let found: Vec<_> = self.objects.iter().filter(|(key, _)| key.starts_with(prefix)).collect();
        let mut text = format!(
            "<ListBucketResult><Name>{}</Name><IsTruncated>{}</IsTruncated>",
            self.name,
            found.len() > most
        );
        for (key, object) in found.into_iter().take(most) {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "<Contents><Key>{key}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                etag(object),
                object.len()
            );
        }
        text.push_str("</ListBucketResult>");
        Answer::xml(text)
    }

    /// What is wrong with the signature of version 4, without checking its sum.
    fn check_signature(&self, request: &Request) -> Option<Answer> {
        let authorization = request.header("authorization");
        let Some(fields) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else {
            return Some(Answer::error(403, "AccessDenied"));
        };
        let field = |name: &str| {
            fields.split(',').map(str::trim).find_map(|field| field.strip_prefix(name)).unwrap_or_default()
        };
        let credential: Vec<&str> = field("Credential=").split('/').collect();
        if credential.first() != Some(&self.access_key.as_str()) {
            return Some(Answer::error(403, "InvalidAccessKeyId"));
        }
        let signature = field("Signature=");
        let is_whole = credential.len() == 5
            && credential.ends_with(&["s3", "aws4_request"])
            && signature.len() == 64
            && signature.bytes().all(|byte| byte.is_ascii_hexdigit())
            && field("SignedHeaders=").split(';').any(|name| name == "x-amz-content-sha256")
            && !request.header("x-amz-date").is_empty();
        if !is_whole {
            return Some(Answer::error(403, "SignatureDoesNotMatch"));
        }
        let signed = request.header("x-amz-content-sha256");
        (signed != hex(&Sha256::digest(&request.body)))
            .then(|| Answer::error(400, "XAmzContentSHA256Mismatch"))
    }
}

/// The bucket and the key of a path.
fn parts_of(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_once('/').unwrap_or((path, ""))
}

/// An object or the range of it that is asked for.
fn read(object: &Bytes, request: &Request) -> Answer {
    let size = object.len();
    let is_same = request.header("if-match").trim_matches('"');
    if !is_same.is_empty() && is_same != etag(object).trim_matches('"') {
        return Answer::error(412, "PreconditionFailed");
    }
    let whole = |status| {
        Answer::empty(status)
            .with("etag", etag(object))
            .with("last-modified", LAST_MODIFIED)
            .with("accept-ranges", "bytes")
    };
    let Some(range) = request.header("range").strip_prefix("bytes=") else {
        return if request.is_head() {
            whole(200).with("content-length", size.to_string())
        } else {
            Answer { body: object.clone(), ..whole(200) }
        };
    };
    let (from, to) = range.split_once('-').unwrap_or((range, ""));
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) => (from, to.saturating_add(1).min(size)),
        (Ok(from), Err(_)) => (from, size),
        (Err(_), Ok(last)) => (size.saturating_sub(last), size),
        (Err(_), Err(_)) => (size, size),
    };
    if from >= to {
        return Answer::error(416, "InvalidRange");
    }
    Answer { body: object.slice(from..to), ..whole(206) }
        .with("content-range", format!("bytes {from}-{}/{size}", to - 1))
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &hex(&Sha256::digest(bytes))[..32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
