//! Public keys of another issuer, from a JWKS file (RFC 7517).
//!
//! A key is for the one algorithm that it is made for, by its kind: nothing that a token says changes that. The file is the only source:
//! no address in a token or a key is ever asked. Keys of kinds and uses that are not ours are passed over, as the RFC asks; what is
//! wrong with one of ours refuses the whole file, so that a slip is seen when it is made and not when a token does not fit.
//!
//! The file is read again when it is time; a file that has become unusable changes nothing but the log.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde_json::{Map, Value};

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Largest file that is read, bytes; a hundred RSA keys are a tenth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most keys of one file.
const KEYS_MAX: usize = 100;
/// Shortest and longest modulus of an RSA key, bits: NIST SP 800-131A asks for the first, `ring` for the second.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Members of a key that are secret: private keys of every kind (RFC 7518, RFC 8037) and keys of HMAC.
const SECRET_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// One public key, and what it is for.
#[derive(Debug, Clone)]
pub(crate) struct PublicKey {
    kid: Option<String>,
    /// The algorithm that the key is for. A token that names another is not one of this key.
    pub(crate) algorithm: Algorithm,
    /// The key itself.
    pub(crate) key: DecodingKey,
}

/// The keys of one file.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<PublicKey>);

impl KeySet {
    /// The key that a token means: the one of its `kid`, or, for a token without one, the only key that there is.
    pub(crate) fn find(&self, kid: Option<&str>) -> Option<&PublicKey> {
        match (kid, self.0.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// The keys that a file's text lists.
    ///
    /// # Errors
    /// What is wrong and what to do about it, without any of a key.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let document: Value = serde_json::from_slice(text).map_err(|error| {
            format!(
                "is no JSON (line {}, column {}); give a JWKS: {{\"keys\": [...]}}",
                error.line(),
                error.column()
            )
        })?;
        let Some(Value::Array(entries)) = document.get("keys") else {
            return Err("has no list \"keys\"; give a JWKS: {\"keys\": [...]}".into());
        };
        if entries.len() > KEYS_MAX {
            return Err(format!("has {} keys; at most {KEYS_MAX} are read", entries.len()));
        }
        // All keys first, those that would be passed over among them: a private key must not lie there unnoticed.
        for (index, entry) in entries.iter().enumerate() {
            let Value::Object(entry) = entry else {
                return Err(format!("is no JWKS: key {} is not an object", index + 1));
            };
            if let Some(member) = SECRET_MEMBERS.iter().find(|member| entry.contains_key(**member)) {
                return Err(format!(
                    "holds a private or secret key ({}, member {member:?}); give public keys only, and replace that key where it is \
                     used: it has been where it should not be",
                    name(entry, index)
                ));
            }
        }
        let mut keys: Vec<PublicKey> = Vec::new();
        for (index, entry) in entries.iter().filter_map(Value::as_object).enumerate() {
            let Some(key) =
                read(entry).map_err(|wrong| format!("cannot be used: {} {wrong}", name(entry, index)))?
            else {
                continue;
            };
            if keys.iter().any(|other| other.kid == key.kid && key.kid.is_some()) {
                return Err(format!("has more than one {}; a kid must name one key", name(entry, index)));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(
                "has no key that can be used; Ed25519 (EdDSA) and RSA (RS256) keys for signatures are".into(),
            );
        }
        if keys.len() > 1 && keys.iter().any(|key| key.kid.is_none()) {
            return Err(
                "has several keys and not each of them a kid; without one no token can mean it".into()
            );
        }
        Ok(Self(keys))
    }
}

/// The key that an entry describes; none if it is not for our purpose.
fn read(entry: &Map<String, Value>) -> Result<Option<PublicKey>, String> {
    let text = |member: &str| entry.get(member).and_then(Value::as_str);
    let is_for_signatures = entry.get("use").is_none_or(|to| to == "sig")
        && entry
            .get("key_ops")
            .is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.contains(&"verify".into())));
    let algorithm = match (text("kty"), text("crv"), entry.get("alg").map(Value::as_str)) {
        _ if !is_for_signatures => return Ok(None),
        // RFC 9864 writes the second name.
        (Some("OKP"), Some("Ed25519"), None | Some(Some("EdDSA" | "Ed25519"))) => Algorithm::EdDSA,
        (Some("RSA"), _, None | Some(Some("RS256"))) => Algorithm::RS256,
        _ => return Ok(None),
    };
    let kid = match entry.get("kid") {
        None => None,
        Some(Value::String(kid)) if !kid.is_empty() => Some(kid.clone()),
        Some(_) => return Err("has a kid that is no text".into()),
    };
    let key = if algorithm == Algorithm::EdDSA {
        let key = text("x").and_then(|x| DecodingKey::from_ed_components(x).ok());
        key.filter(|key| key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == 32))
            .ok_or("has no \"x\" of 32 bytes in base64url")?
    } else {
        rsa_key(text("n"), text("e"))?
    };
    Ok(Some(PublicKey { kid, algorithm, key }))
}

/// An RSA key that is long enough to be worth its name.
fn rsa_key(modulus: Option<&str>, exponent: Option<&str>) -> Result<DecodingKey, String> {
    let parts = modulus.zip(exponent).and_then(|(n, e)| DecodingKey::from_rsa_components(n, e).ok());
    let Some(DecodingKeyKind::RsaModulusExponent { n, e }) = parts.as_ref().map(DecodingKey::kind) else {
        return Err("has no \"n\" and \"e\" in base64url".into());
    };
    // Some programs write a leading zero, which RFC 7518 forbids and `ring` refuses.
    let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(format!("has {bits} bits; {} to {} are accepted", RSA_BITS.start(), RSA_BITS.end()));
    }
    // Odd and from 3 to below 2^33, or `ring` would refuse every signature.
    let value = e.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    if e.len() > 5 || value % 2 == 0 || !(3..1 << 33).contains(&value) {
        return Err("has an exponent \"e\" that no RSA key has; 65537 (AQAB) is usual".into());
    }
    Ok(DecodingKey::from_rsa_raw_components(n, e))
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// How a message names a key: by its kid, or by its place.
fn name(entry: &Map<String, Value>, index: usize) -> String {
    match entry.get("kid").and_then(Value::as_str) {
        Some(kid) => format!("key {:?}", kid.chars().take(60).collect::<String>()),
        None => format!("key {}", index + 1),
    }
}

/// The keys of a file that may change while it is in use.
pub(crate) struct Jwks {
    path: PathBuf,
    keys: RwLock<Arc<KeySet>>,
    look: Mutex<Look>,
}

/// The last look at the file.
struct Look {
    next: Instant,
    /// The text that was read, usable or not; none if it could not be read.
    text: Option<Vec<u8>>,
    /// What was wrong with it, so that it is said once and not at each look.
    wrong: Option<String>,
}

impl Jwks {
    /// The keys of the file at `path`.
    ///
    /// # Errors
    /// What is wrong with the file, beginning with its path.
    pub(crate) fn open(path: &Path, now: Instant) -> Result<Self, String> {
        let text = read_file(path).and_then(|text| Ok((KeySet::parse(&text)?, text)));
        let (keys, text) = text.map_err(|wrong| format!("{} {wrong}", path.display()))?;
        let look = Look { next: now + LOOK_EVERY, text: Some(text), wrong: None };
        Ok(Self { path: path.into(), keys: RwLock::new(Arc::new(keys)), look: Mutex::new(look) })
    }

    /// The keys as they are at `now`: those of the file when it was last usable.
    pub(crate) fn keys(&self, now: Instant) -> Arc<KeySet> {
        // One caller looks, in at most a millisecond each half minute; the others go on with what there is.
        if let Ok(mut look) = self.look.try_lock()
            && now >= look.next
        {
            look.next = now + LOOK_EVERY;
            self.look(&mut look);
        }
        // A lock that a panic left behind still guards a whole set: it is replaced in one step.
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file and takes its keys, if it has changed.
    fn look(&self, look: &mut Look) {
        // The text is compared, not its time: a mounted secret is exchanged under a link whose time says nothing.
        let read = read_file(&self.path);
        let parsed = match read {
            Ok(text) if look.text.as_ref() == Some(&text) => return,
            Ok(text) => {
                let parsed = KeySet::parse(&text);
                look.text = Some(text);
                parsed
            }
            Err(wrong) => {
                look.text = None;
                Err(wrong)
            }
        };
        match parsed {
            Ok(keys) => {
                let count = keys.0.len();
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                look.wrong = None;
                tracing::info!(path = %self.path.display(), keys = count, "the JWKS file has changed; its keys are in use");
            }
            Err(wrong) if look.wrong.as_ref() == Some(&wrong) => {}
            Err(wrong) => {
                tracing::warn!(
                    path = %self.path.display(), problem = %wrong,
                    "the JWKS file cannot be used any more; the keys that it had stay in use until it is put right"
                );
                look.wrong = Some(wrong);
            }
        }
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("path", &self.path).finish_non_exhaustive()
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text));
    match read {
        Err(error) => Err(format!("cannot be read: {error}; give a file that this user may read")),
        Ok(_) if text.len() as u64 > FILE_BYTES_MAX => Err(format!("is larger than {FILE_BYTES_MAX} bytes")),
        Ok(_) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Any 32 bytes are the form of an Ed25519 key.
    const X: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn ed(kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": X})
    }

    /// An RSA key whose modulus has `bytes` bytes, the first of them `first`; numbers of this form are no products of two primes.
    fn rsa(kid: &str, first: u8, bytes: usize) -> Value {
        // Three bytes are four characters: "AAAA" is three zeros.
        let whole = bytes / 3;
        let rest = match bytes % 3 {
            0 => "",
            1 => "AQ",
            _ => "AAE",
        };
        let digits: Vec<char> =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars().collect();
        let head = [digits[usize::from(first >> 2)], digits[usize::from((first & 3) << 4)]];
        let n = format!("{}AA{}{rest}", head.iter().collect::<String>(), "AAAA".repeat(whole - 1));
        json!({"kty": "RSA", "kid": kid, "n": n, "e": "AQAB"})
    }

    fn parse(keys: &Value) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn with(mut key: Value, member: &str, value: impl Into<Value>) -> Value {
        key[member] = value.into();
        key
    }

    #[test]
    fn a_key_is_for_the_algorithm_of_its_kind_and_for_no_other() {
        let keys = parse(&json!([
            ed("e"),
            with(ed("e2"), "alg", "EdDSA"),
            with(ed("e3"), "alg", "Ed25519"),
            rsa("r", 0x80, 256),
            with(with(rsa("r2", 0xff, 512), "alg", "RS256"), "use", "sig"),
            // From here on nothing is ours.
            with(ed("x"), "alg", "RS256"),
            with(ed("x"), "alg", "HS256"),
            with(ed("x"), "alg", 7),
            with(ed("x"), "crv", "Ed448"),
            with(ed("x"), "crv", "X25519"),
            with(ed("x"), "use", "enc"),
            with(ed("x"), "key_ops", json!(["sign"])),
            with(ed("x"), "kty", "EC"),
            with(rsa("x", 0x80, 256), "alg", "RS512"),
            with(rsa("x", 0x80, 256), "alg", "PS256"),
            with(rsa("x", 0x80, 256), "alg", "HS256"),
            with(rsa("x", 0x80, 256), "alg", "RSA-OAEP"),
            with(rsa("x", 0x80, 256), "alg", "none"),
            json!({"kid": "x"}),
        ]))
        .unwrap();
        let found = |kid: &str| keys.find(Some(kid)).map(|key| key.algorithm);
        assert_eq!(["e", "e2", "e3"].map(found), [Some(Algorithm::EdDSA); 3]);
        assert_eq!(["r", "r2"].map(found), [Some(Algorithm::RS256); 2]);
        assert_eq!((found("x"), found("E"), found(""), keys.0.len()), (None, None, None, 5));
    }

    #[test]
    fn a_token_without_a_kid_means_the_only_key_and_no_key_of_several() {
        let one = parse(&json!([ed("a")])).unwrap();
        assert!(one.find(None).is_some() && one.find(Some("b")).is_none());
        let nameless = json!({"kty": "OKP", "crv": "Ed25519", "x": X});
        let one = parse(&json!([nameless])).unwrap();
        assert!(one.find(None).is_some() && one.find(Some("a")).is_none());
        assert!(parse(&json!([ed("a"), ed("b")])).unwrap().find(None).is_none());
        assert!(parse(&json!([ed("a"), nameless])).unwrap_err().contains("kid"));
    }

    #[test]
    fn files_that_should_not_be_are_refused_with_what_is_wrong() {
        for member in SECRET_MEMBERS {
            for key in
                [with(ed("mine"), member, "canary"), with(with(ed("mine"), member, "canary"), "use", "enc")]
            {
                let wrong = parse(&json!([ed("a"), key])).unwrap_err();
                assert!(wrong.contains("private") && wrong.contains("\"mine\""), "{wrong}");
                assert!(!wrong.contains("canary"), "{wrong}");
            }
        }
        for (text, word) in [
            (String::new(), "no JSON"),
            ("-----BEGIN PUBLIC KEY-----".into(), "no JSON"),
            ("[]".into(), "\"keys\""),
            (json!({"keys": {}}).to_string(), "\"keys\""),
            (json!({"keys": []}).to_string(), "no key that can be used"),
            (json!({"keys": ["x"]}).to_string(), "not an object"),
            (json!({"keys": [{"kty": "EC", "crv": "P-256"}]}).to_string(), "no key that can be used"),
            (json!({"keys": [ed("a"), ed("a")]}).to_string(), "more than one key \"a\""),
            (json!({"keys": vec![ed("a"); 101]}).to_string(), "101 keys"),
            (json!({"keys": [with(ed("a"), "kid", 7)]}).to_string(), "kid that is no text"),
            (json!({"keys": [with(ed("a"), "x", "AAEC")]}).to_string(), "32 bytes"),
            (json!({"keys": [with(ed("a"), "x", "%")]}).to_string(), "32 bytes"),
            (json!({"keys": [rsa("a", 0x80, 128)]}).to_string(), "1024 bits"),
            (json!({"keys": [rsa("a", 0x7f, 256)]}).to_string(), "2047 bits"),
            // A leading zero does not make it longer.
            (json!({"keys": [rsa("a", 0x00, 257)]}).to_string(), "bits"),
            (json!({"keys": [rsa("a", 0x80, 1_025)]}).to_string(), "8200 bits"),
            (json!({"keys": [with(rsa("a", 0x80, 256), "e", "AQ")]}).to_string(), "exponent"),
            (json!({"keys": [with(rsa("a", 0x80, 256), "e", "AQAA")]}).to_string(), "exponent"),
            (json!({"keys": [with(rsa("a", 0x80, 256), "e", "AQAAAAAAAAAB")]}).to_string(), "exponent"),
            (json!({"keys": [with(rsa("a", 0x80, 256), "n", 7)]}).to_string(), "base64url"),
        ] {
            let wrong = KeySet::parse(text.as_bytes()).unwrap_err();
            assert!(wrong.contains(word), "{wrong:?} does not say {word:?}");
        }
    }

    /// Writes the keys and returns whether each of the kids is known then.
    fn known(jwks: &Jwks, now: Instant, kids: [&str; 2]) -> [bool; 2] {
        let keys = jwks.keys(now);
        kids.map(|kid| keys.find(Some(kid)).is_some())
    }

    #[test]
    fn a_changed_file_is_read_after_half_a_minute_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let write = |keys: Value| std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
        write(json!([ed("old")]));
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let jwks = Jwks::open(&path, start).unwrap();
        let kids = ["old", "new"];

        write(json!([ed("old"), ed("new")]));
        assert_eq!(known(&jwks, at(29), kids), [true, false], "it is not looked at all the time");
        assert_eq!(known(&jwks, at(30), kids), [true, true]);
        // The old key is taken out.
        write(json!([ed("new")]));
        assert_eq!(known(&jwks, at(59), kids), [true, true]);
        assert_eq!(known(&jwks, at(60), kids), [false, true]);

        std::fs::write(&path, "{\"keys\": [").unwrap();
        assert_eq!(known(&jwks, at(90), kids), [false, true], "half written");
        write(json!([with(ed("old"), "d", "AA")]));
        assert_eq!(known(&jwks, at(120), kids), [false, true], "a private key");
        write(json!([]));
        assert_eq!(known(&jwks, at(150), kids), [false, true], "empty");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(known(&jwks, at(180), kids), [false, true], "gone");
        assert!(jwks.look.lock().unwrap().wrong.as_ref().unwrap().contains("cannot be read"));

        write(json!([ed("old")]));
        assert_eq!(known(&jwks, at(210), kids), [true, false], "put right");
        assert_eq!(jwks.look.lock().unwrap().wrong, None);
    }

    #[test]
    fn what_is_wrong_with_the_file_at_the_start_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let wrong = Jwks::open(&path, Instant::now()).unwrap_err();
        assert!(wrong.contains("jwks.json") && wrong.contains("cannot be read"), "{wrong}");
        std::fs::write(&path, "x".repeat(2 << 20)).unwrap();
        assert!(Jwks::open(&path, Instant::now()).unwrap_err().contains("larger"));
        assert!(Jwks::open(folder.path(), Instant::now()).is_err(), "a folder is no file");
    }
}
