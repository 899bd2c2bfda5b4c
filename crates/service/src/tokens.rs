//! Bearer tokens: JWTs, made and checked with a secret of ours (HMAC-SHA-256), or checked with the public keys of another issuer (Ed25519,
//! RSA).
//!
//! The algorithm is the key's, never the token's: what a header names is only compared. A header chooses among the keys by its `kid`, and
//! brings none along: `jku`, `jwk`, `x5u` and their like are not looked at.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulrush::clock::{Clock as _, SystemClock};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::jwks::{Jwks, KeySet};
use crate::key_file::KEY_BYTES_MIN;
use crate::{ConfigError, Problems, Secret, jwt_crypto};

/// Longest accepted difference between two clocks, s.
pub const LEEWAY_MAX_S: u64 = 60;
/// Longest token that is looked at, bytes: a larger one costs work and says no more.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Longest subject or tenant, bytes; the engine keeps both with every job.
const NAME_BYTES_MAX: usize = 200;
/// The tenant of a token that names none.
const TENANT_DEFAULT: &str = "default";
/// Secrets that stand in examples and are therefore known to everybody.
const KNOWN_SECRETS: [&str; 5] =
    ["changeme", "change-me", "your-256-bit-secret", "your-secret-key", "supersecret"];

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What is theirs.
    User,
    /// Reads everything of the tenant.
    Viewer,
    /// Everything.
    Admin,
}

impl Role {
    /// The word in tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        [Self::User, Self::Viewer, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or_else(|| format!("{word:?} is no role; use user, viewer or admin"))
    }
}

/// What a token says, once it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// The organization; `default` where the token names none.
    pub tenant: String,
    /// What the user may do; a token that does not say is a user's.
    pub role: Role,
    /// The tenant's tier.
    pub tier: Option<String>,
}

impl Claims {
    /// Whether a token could say this: every name has 1 to 200 bytes and no control character. Whatever else stands for somebody (an
    /// API key, say) is held to the same.
    pub fn are_usable(&self) -> bool {
        is_name(&self.sub) && is_name(&self.tenant) && self.tier.as_deref().is_none_or(is_name)
    }
}

/// Claims on the wire.
#[derive(Serialize, Deserialize)]
struct WireClaims {
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default = "plain_user")]
    role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<serde_json::Value>,
}

fn plain_user() -> Role {
    Role::User
}

/// Why a token is not accepted. None of them repeats any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not a JWT, or not one of ours: form, algorithm or signature.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired; get a new one")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet; is a clock wrong?")]
    TooEarly,
    /// Made by or for somebody else.
    #[error("the token is meant for another service")]
    Foreign,
    /// A claim is missing or cannot be what it says.
    #[error(
        "the token's claims cannot be used: it needs sub, exp, and a role of user, viewer or admin if it names one"
    )]
    Claims,
    /// There is no secret to sign with: tokens come from the issuer whose public keys are known.
    #[error(
        "this server signs no tokens, it only checks those of another issuer; get one there, or give the server a JWT_SECRET"
    )]
    NoSecret,
}

/// What is asked of a token beside its signature.
#[derive(Debug, Clone, Default)]
pub struct TokenOptions {
    /// Who must have made it; anybody with a key that is known where none is named.
    pub issuer: Option<String>,
    /// For whom it must be. A token that names an audience is refused where none is set, as RFC 7519 asks.
    pub audience: Option<String>,
    /// Accepted difference between two clocks, s; at most [`LEEWAY_MAX_S`], which is the default.
    pub leeway_s: Option<u64>,
}

/// Where the keys come from. At least one of `secret` and `jwks_file` is needed.
#[derive(Debug, Clone, Default)]
pub struct TokenSources {
    /// Signs tokens, and checks those that it has signed (HS256).
    pub secret: Option<Secret>,
    /// The public keys of another issuer (EdDSA, RS256), as a JWKS file; read again when it changes.
    pub jwks_file: Option<PathBuf>,
    /// What [`TokenKeys::derive`] begins with; `secret`, where none is given.
    pub root: Option<Secret>,
}

/// Makes and checks bearer tokens.
#[derive(Clone)]
pub struct TokenKeys {
    /// To sign and to check with the secret, where there is one.
    secret: Option<(EncodingKey, DecodingKey)>,
    jwks: Option<Arc<Jwks>>,
    /// What is asked of every token; for one of these algorithms at a time, which is that of its key.
    validations: [(Algorithm, Validation); 3],
    options: TokenOptions,
    /// For what else needs a key that all instances share: see [`TokenKeys::derive`].
    root: hmac::Key,
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeys")
            .field("secret", &self.secret.as_ref().map(|_| "***"))
            .field("jwks", &self.jwks)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl TokenKeys {
    /// Keys from a secret of at least 32 bytes.
    ///
    /// # Errors
    /// As [`TokenKeys::from_sources`].
    pub fn new(secret: &Secret, options: TokenOptions) -> Result<Self, ConfigError> {
        Self::from_sources(&TokenSources { secret: Some(secret.clone()), ..TokenSources::default() }, options)
    }

    /// Keys from a secret, a JWKS file, or both. Each key accepts tokens of its own algorithm alone.
    ///
    /// # Errors
    /// What is missing; a secret that is too short or stands in everybody's examples; a JWKS file that cannot be used; a leeway that is
    /// too long, an empty issuer or audience.
    pub fn from_sources(sources: &TokenSources, options: TokenOptions) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        if let Some(secret) = &sources.secret {
            check_secret("JWT_SECRET", secret, &mut problems);
        }
        if let Some(root) = &sources.root {
            check_secret("BULRUSH_SECRET", root, &mut problems);
        }
        match (&sources.secret, &sources.jwks_file, &sources.root) {
            (None, None, _) => problems.push(
                "JWT_SECRET",
                "is missing; give it or JWT_SECRET_FILE (make one with: openssl rand -hex 32), or the public keys of your issuer as \
                 JWT_JWKS_FILE",
            ),
            (None, Some(_), None) => problems.push(
                "BULRUSH_SECRET",
                "is missing: the keys of JWT_JWKS_FILE only check tokens, and the server signs things of its own, such as the cursors of \
                 lists; give it or BULRUSH_SECRET_FILE, the same to all instances (make one with: openssl rand -hex 32)",
            ),
            _ => {}
        }
        let jwks = sources.jwks_file.as_ref().and_then(|path| {
            let jwks = Jwks::open(path, Instant::now());
            jwks.map_err(|wrong| problems.push("JWT_JWKS_FILE", wrong)).ok()
        });
        let leeway_s = options.leeway_s.unwrap_or(LEEWAY_MAX_S);
        if leeway_s > LEEWAY_MAX_S {
            problems.push("JWT_LEEWAY", format!("is {leeway_s} s; at most {LEEWAY_MAX_S} s are accepted"));
        }
        for (name, value) in [("JWT_ISSUER", &options.issuer), ("JWT_AUDIENCE", &options.audience)] {
            if value.as_deref() == Some("") {
                problems.push(name, "is empty; give a value, or leave it out");
            }
        }
        problems.finish()?;
        jwt_crypto::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = leeway_s;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &options.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &options.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        let for_algorithm = |algorithm| {
            let mut validation = validation.clone();
            validation.algorithms = vec![algorithm];
            (algorithm, validation)
        };
        let root = sources.root.as_ref().or(sources.secret.as_ref()).map_or("", Secret::expose);
        Ok(Self {
            secret: sources.secret.as_ref().map(|secret| {
                let bytes = secret.expose().as_bytes();
                (EncodingKey::from_secret(bytes), DecodingKey::from_secret(bytes))
            }),
            jwks: jwks.map(Arc::new),
            validations: [Algorithm::HS256, Algorithm::EdDSA, Algorithm::RS256].map(for_algorithm),
            options,
            root: hmac::Key::new(hmac::HMAC_SHA256, root.as_bytes()),
        })
    }

    /// Whether there is a secret, so that [`TokenKeys::mint`] makes tokens.
    pub fn can_mint(&self) -> bool {
        self.secret.is_some()
    }

    /// A token that is good for so long from now.
    ///
    /// # Errors
    /// [`TokenError::Claims`] for claims that [`TokenKeys::verify`] would refuse, [`TokenError::NoSecret`] where there is nothing to
    /// sign with.
    pub fn mint(&self, claims: &Claims, good_for: Duration) -> Result<String, TokenError> {
        let (signing, _) = self.secret.as_ref().ok_or(TokenError::NoSecret)?;
        if !claims.are_usable() {
            return Err(TokenError::Claims);
        }
        let now_s = SystemClock.now() / 1_000;
        let wire = WireClaims {
            sub: claims.sub.clone(),
            tenant: Some(claims.tenant.clone()),
            role: claims.role,
            tier: claims.tier.clone(),
            exp: now_s.saturating_add(good_for.as_secs()),
            iat: Some(now_s),
            iss: self.options.issuer.clone().map(Into::into),
            aud: self.options.audience.clone().map(Into::into),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &wire, signing).map_err(|_| TokenError::Invalid)
    }

    /// What a token says, if it is one of ours and its time is now.
    ///
    /// # Errors
    /// [`TokenError`] says what kind of wrong it is, and nothing of the token.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        self.verify_until(token).map(|(claims, _)| claims)
    }

    /// The same, with the moment until which the token is good (its end and the accepted difference of clocks), ms since 1970.
    ///
    /// # Errors
    /// As [`TokenKeys::verify`].
    pub fn verify_until(&self, token: &str) -> Result<(Claims, u64), TokenError> {
        // The library splits from the right; a token with more parts than three is none.
        if token.len() > TOKEN_BYTES_MAX || token.bytes().filter(|b| *b == b'.').count() != 2 {
            return Err(TokenError::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        // Something that a token must not be accepted without, and that nobody here knows (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let keys = self.jwks.as_ref().map_or_else(Arc::default, |jwks| jwks.keys(Instant::now()));
        let (algorithm, key) = self.key_of(&header, &keys).ok_or(TokenError::Invalid)?;
        let (_, validation) =
            self.validations.iter().find(|(known, _)| *known == algorithm).ok_or(TokenError::Invalid)?;
        // This compares the header's algorithm with the key's, and refuses every other.
        let decoded = jsonwebtoken::decode::<WireClaims>(token, key, validation).map_err(reason)?;
        let wire = decoded.claims;
        let claims = Claims {
            sub: wire.sub,
            tenant: wire.tenant.unwrap_or_else(|| TENANT_DEFAULT.to_owned()),
            role: wire.role,
            tier: wire.tier,
        };
        let until_ms = wire.exp.saturating_add(validation.leeway).saturating_mul(1_000);
        if claims.are_usable() { Ok((claims, until_ms)) } else { Err(TokenError::Claims) }
    }

    /// The one key that a token may have been signed with, and the algorithm of that key.
    fn key_of<'k>(&'k self, header: &Header, keys: &'k KeySet) -> Option<(Algorithm, &'k DecodingKey)> {
        // A kid that names a public key means that key: if the token says HS256 beside it, somebody tries to have the public key taken
        // for a secret. Our own tokens have no kid and say HS256.
        if let Some(key) = header.kid.as_deref().and_then(|kid| keys.find(Some(kid))) {
            return Some((key.algorithm, &key.key));
        }
        if header.alg == Algorithm::HS256
            && let Some((_, checking)) = &self.secret
        {
            return Some((Algorithm::HS256, checking));
        }
        if header.kid.is_some() {
            return None;
        }
        keys.find(None).map(|key| (key.algorithm, &key.key))
    }

    /// A key of 32 bytes for another purpose, the same in every process that has the same `root` of
    /// [`TokenSources`], or the same secret; it tells nothing of them.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(
            hmac::sign(&self.root, format!("bulrush derived: {purpose}").as_bytes()).as_ref(),
        );
        key
    }
}

/// Notes what is wrong with a secret, without repeating it.
fn check_secret(name: &str, secret: &Secret, problems: &mut Problems) {
    let text = secret.expose();
    let known = |example: &&str| text.to_ascii_lowercase().starts_with(*example);
    if text.len() < KEY_BYTES_MIN || KNOWN_SECRETS.iter().any(known) {
        problems.push(
            name,
            format!(
                "has fewer than {KEY_BYTES_MIN} bytes or begins like an example's; make one with: openssl rand -hex 32"
            ),
        );
    }
    let distinct: std::collections::HashSet<u8> = text.bytes().collect();
    if text.len() >= KEY_BYTES_MIN && distinct.len() < 4 {
        problems.push(name, "repeats itself; make one with: openssl rand -hex 32");
    }
}

/// Whether a text can be the name of a user, a tenant, a key: 1 to 200 bytes without control characters.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn reason(error: JwtError) -> TokenError {
    match error.kind() {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::TooEarly,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => TokenError::Foreign,
        // The signature was right by then, so this is a claim of ours that is wrong; a header that is no JSON comes here too.
        ErrorKind::Json(_) | ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
            TokenError::Claims
        }
        _ => TokenError::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn keys_with(options: TokenOptions) -> TokenKeys {
        TokenKeys::new(&Secret::new(SECRET), options).unwrap()
    }

    fn keys() -> TokenKeys {
        keys_with(TokenOptions::default())
    }

    fn ada() -> Claims {
        Claims { sub: "ada".into(), tenant: "acme".into(), role: Role::User, tier: Some("gold".into()) }
    }

    /// A token with any header and claims, signed as ours are.
    fn forge(header: &serde_json::Value, claims: &serde_json::Value) -> String {
        let message =
            format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        format!("{message}.{}", base64(hmac::sign(&key, message.as_bytes()).as_ref()))
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            for place in 0..=chunk.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]));
            }
        }
        text
    }

    fn in_s(seconds: i64) -> i64 {
        i64::try_from(SystemClock.now() / 1_000).unwrap() + seconds
    }

    #[test]
    fn a_token_says_what_it_was_made_to_say() {
        let token = keys().mint(&ada(), Duration::from_mins(1)).unwrap();
        assert_eq!(keys().verify(&token), Ok(ada()));
    }

    #[test]
    fn a_token_without_tenant_or_role_is_a_plain_user_s() {
        let token =
            forge(&serde_json::json!({"alg": "HS256"}), &serde_json::json!({"sub": "u", "exp": in_s(60)}));
        let claims = keys().verify(&token).unwrap();
        assert_eq!((claims.tenant.as_str(), claims.role), ("default", Role::User));
    }

    #[test]
    fn no_other_algorithm_is_accepted_however_it_is_written() {
        let claims = serde_json::json!({"sub": "ada", "exp": in_s(60), "role": "admin"});
        for alg in ["none", "None", "nOnE", "HS384", "HS512", "RS256", "ES256", "EdDSA", ""] {
            let signed = forge(&serde_json::json!({"alg": alg, "typ": "JWT"}), &claims);
            let bare = format!("{}.", signed.rsplit_once('.').unwrap().0);
            for token in [signed, bare] {
                assert!(keys().verify(&token).is_err(), "{alg:?} was accepted");
            }
        }
        let header = serde_json::json!({"alg": "HS256"});
        assert!(keys().verify(&forge(&header, &claims)).is_ok(), "the forge itself works");
    }

    #[test]
    fn a_token_ends_a_minute_after_its_end_and_must_have_one() {
        let header = serde_json::json!({"alg": "HS256"});
        let verify =
            |claims: serde_json::Value| keys().verify(&forge(&header, &claims)).map(|claims| claims.sub);
        // A second or two may pass between making and checking.
        assert_eq!(verify(serde_json::json!({"sub": "ada", "exp": in_s(-57)})), Ok("ada".into()));
        assert_eq!(verify(serde_json::json!({"sub": "ada", "exp": in_s(-61)})), Err(TokenError::Expired));
        assert_eq!(verify(serde_json::json!({"sub": "ada"})), Err(TokenError::Claims));
        assert_eq!(
            verify(serde_json::json!({"sub": "ada", "exp": in_s(60), "nbf": in_s(120)})),
            Err(TokenError::TooEarly)
        );
        for odd in [
            serde_json::json!("soon"),
            serde_json::json!(null),
            serde_json::json!(-1),
            serde_json::json!(true),
        ] {
            assert!(verify(serde_json::json!({"sub": "ada", "exp": odd})).is_err(), "{odd}");
        }
    }

    #[test]
    fn claims_that_cannot_be_are_refused() {
        let header = serde_json::json!({"alg": "HS256"});
        let long = "x".repeat(201);
        for claims in [
            serde_json::json!({"exp": in_s(60)}),
            serde_json::json!({"sub": "", "exp": in_s(60)}),
            serde_json::json!({"sub": long, "exp": in_s(60)}),
            serde_json::json!({"sub": "a\nb", "exp": in_s(60)}),
            serde_json::json!({"sub": "a", "tenant": "", "exp": in_s(60)}),
            serde_json::json!({"sub": "a", "role": "root", "exp": in_s(60)}),
            serde_json::json!({"sub": "a", "role": ["admin"], "exp": in_s(60)}),
            serde_json::json!({"sub": "a", "aud": "somebody", "exp": in_s(60)}),
        ] {
            assert!(keys().verify(&forge(&header, &claims)).is_err(), "{claims}");
        }
    }

    #[test]
    fn whatever_is_changed_in_a_token_makes_it_invalid() {
        let token = keys().mint(&ada(), Duration::from_mins(1)).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let other = keys().mint(&Claims { role: Role::Admin, ..ada() }, Duration::from_mins(1)).unwrap();
        let admin = other.split('.').nth(1).unwrap();
        for changed in [
            format!("{}.{}.{}", parts[0], admin, parts[2]),
            token[..token.len() - 4].to_owned(),
            format!("{token}.x"),
            format!("x.{token}"),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.%%%.{}", parts[0], parts[2]),
            String::new(),
            "..".to_owned(),
            "x".repeat(100_000),
            format!("{token}{}", "A".repeat(100_000)),
        ] {
            assert_eq!(
                keys().verify(&changed).map_err(|_| ()),
                Err(()),
                "{}",
                &changed[..changed.len().min(80)]
            );
        }
    }

    #[test]
    fn issuer_and_audience_are_asked_for_where_they_are_set() {
        let strict = keys_with(TokenOptions {
            issuer: Some("https://id.example".into()),
            audience: Some("bulrush".into()),
            leeway_s: Some(0),
        });
        assert!(strict.verify(&strict.mint(&ada(), Duration::from_mins(1)).unwrap()).is_ok());
        assert!(strict.verify(&keys().mint(&ada(), Duration::from_mins(1)).unwrap()).is_err());
        let header = serde_json::json!({"alg": "HS256"});
        for (iss, aud, good) in [
            (serde_json::json!("https://id.example"), serde_json::json!("bulrush"), true),
            (serde_json::json!("https://id.example"), serde_json::json!(["x", "bulrush"]), true),
            (serde_json::json!("https://evil.example"), serde_json::json!("bulrush"), false),
            (serde_json::json!("https://id.example"), serde_json::json!("other"), false),
            (serde_json::json!("https://id.example"), serde_json::json!(["x", "y"]), false),
        ] {
            let claims = serde_json::json!({"sub": "a", "exp": in_s(60), "iss": iss, "aud": aud});
            assert_eq!(strict.verify(&forge(&header, &claims)).is_ok(), good, "{claims}");
        }
    }

    #[test]
    fn secrets_that_anybody_could_guess_are_refused() {
        for bad in [
            "",
            "short",
            "changeme",
            "changeme-changeme-changeme-changeme",
            "your-256-bit-secret-your-256-bit-secret",
            &"a".repeat(64),
        ] {
            let error = TokenKeys::new(&Secret::new(bad), TokenOptions::default()).unwrap_err().to_string();
            assert!(error.contains("openssl rand") && (bad.is_empty() || !error.contains(bad)), "{error}");
        }
        let late = TokenOptions { leeway_s: Some(61), ..TokenOptions::default() };
        assert!(TokenKeys::new(&Secret::new(SECRET), late).unwrap_err().to_string().contains("JWT_LEEWAY"));
        assert!(!format!("{:?}", keys()).contains(SECRET));
        assert_ne!(keys().derive("a"), keys().derive("b"));
    }
}
