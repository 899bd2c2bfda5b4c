//! Tokens of another issuer: whose keys they may be signed with, and all that does not make up for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bulrush_service::{Claims, Role, Secret, TokenError, TokenKeys, TokenOptions, TokenSources};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ROOT: &str = "fedcba9876543210fedcba9876543210";
/// The modulus of an RSA key of 2048 bits that was made for these tests; its private half was thrown away.
const TEST_RSA_N: &str = "vbEqP4uAk5jRCMNlSNBMzMshyHLvhzlqtlutElV5pSyOia22OUBgqdsbRBA1T_VETPXgMtZim_4mNXRi-4sMkeAjjd9UUG64eVZLJrNwbGLeht\
    rZo8lJ6VYtixFC2eE9OjPkdRwiHwP8d9sssHFjCUTFyxFPDCsBK3hYhWTuXQZikv3Z0SFbrOp7BeMI48SX9eG4O9uW62Eet9W0i-VGYOIVUqsx\
    nQZjpkZcvoxw20VG9CrWDA2yTw9jSpz05Xbhg-VwtEHK4iav6e3-ZsNN-3_lAz1MBmc22zuRy-X0z9yih-CBIKRnycGxooKtQtLSX2lgUClCer\
    VcFc8PcLYzRQ";
/// A token of user `ada` of `acme`, signed with that key (RS256, kid `test-rsa`), good until 2100.
const TEST_RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3QtcnNhIn0.eyJzdWIiOiJhZGEiLCJ0ZW5hbnQiOiJhY21lIiwicm9sZSI6In\
    VzZXIiLCJleHAiOjQxMDI0NDQ4MDB9.LMIauN_zm1FzHLRlaDnEjhA_3MzE4Y8T2rkp9aUSuIuBBBGYV2_knfwSAzRJGmQkBa5rqi1ASr8zlnn\
    gKMcW6lAxvJoK-MtCyZNpnLlA1N_hg6Nbr_ukZ-4mxm8iGy4Tx0h6Zya768e3xer8XEIf4p5SKclzZjzbACJhPWC5lD4pipY07CKYlKYK6X9R4\
    jZP8AD6EtFFV9ImVsw9_BmNq0_nO9R01roaUy3FWzAyWyz5Acp5ogfCkiTHuzvVDPPeXJ0kE50_VhBSknk9yjm_TJWIQsiC_Vw8l_okeByccWd\
    2YwOmeg7o9q71SogWocC5KGfKblkCl6MvH4RLRydJ0Q";
/// The same claims, signed in the same way, under a header that says RS512.
const TEST_RSA_TOKEN_AS_RS512: &str = "eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3QtcnNhIn0.eyJzdWIiOiJhZGEiLCJ0ZW5hbnQiOiJhY21lIiwicm9sZSI6In\
    VzZXIiLCJleHAiOjQxMDI0NDQ4MDB9.DzYAAcu-_C2Z-DJWInfkH-cYOAcntvHrcPTmqYdIdkhJkHQv1BhRXinPCXXwHwC__hN6cPiyl0nUVhZ\
    xnzrGUf8mfk9RTQZ_OcXs_OQro-Kb8IJdwLbaoNWv3R30p9nH6xX_kUdTNY52SRPBewKhuxJr-2iy5NDIjp9wefYb9F2wVuwKhprD7dQewKD3L\
    lblh8S6pWKu1eW0_7YrEseU5FRRg_xgO2W5rU0YNWehd4JOgHpRkZ2GZv0sVEghJKZ8hHDAYPOBZz07W4T8lnvXuHB5AkYIVKDsnq5o9AnbBDF\
    cJutccQG38pWktj7R8NGNW3uT4wgs8WTAN8pIqIK-VA";

/// An issuer with an Ed25519 key of its own.
struct Issuer {
    pair: Ed25519KeyPair,
    kid: &'static str,
}

impl Issuer {
    fn new(kid: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { pair: Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap(), kid }
    }

    fn public(&self) -> Value {
        let x = base64(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.kid, "x": x})
    }

    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid})
    }

    /// A token with any header and claims, signed with its key.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |message| self.pair.sign(message).as_ref().to_vec())
    }
}

fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message =
        format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let signature = base64(&sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn hmac_token(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    token(header, claims, |message| hmac::sign(&key, message).as_ref().to_vec())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

/// The bytes that base64url text writes.
fn unbase64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.chars() {
        bits = (bits << 6) | u32::try_from(DIGITS.find(digit).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap());
        }
    }
    bytes
}

fn in_s(seconds: i64) -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap() + seconds
}

fn claims() -> Value {
    json!({"sub": "ada", "tenant": "acme", "role": "admin", "exp": in_s(60)})
}

fn test_rsa() -> Value {
    json!({"kty": "RSA", "alg": "RS256", "kid": "test-rsa", "n": TEST_RSA_N, "e": "AQAB"})
}

/// Checking keys, and the folder that their file is in.
struct Keys {
    keys: TokenKeys,
    _folder: TempDir,
}

impl Keys {
    fn new(public: &[Value], secret: Option<&str>, options: TokenOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, json!({ "keys": public }).to_string()).unwrap();
        let sources = TokenSources {
            secret: secret.map(Secret::new),
            jwks_file: Some(path),
            root: Some(Secret::new(ROOT)),
        };
        Self { keys: TokenKeys::from_sources(&sources, options).unwrap(), _folder: folder }
    }

    fn of(public: &[Value]) -> Self {
        Self::new(public, None, TokenOptions::default())
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        self.keys.verify(token)
    }
}

#[test]
fn tokens_of_an_issuer_s_keys_are_believed() {
    let issuer = Issuer::new("one");
    let keys = Keys::of(&[issuer.public(), test_rsa()]);
    let ada = |role| Claims { sub: "ada".into(), tenant: "acme".into(), role, tier: None };
    assert_eq!(keys.verify(&issuer.sign(&issuer.header(), &claims())), Ok(ada(Role::Admin)));
    assert_eq!(keys.verify(TEST_RSA_TOKEN), Ok(ada(Role::User)));
}

#[test]
fn a_key_accepts_its_own_algorithm_whatever_a_token_says() {
    let issuer = Issuer::new("one");
    for secret in [None, Some(SECRET)] {
        let keys = Keys::new(&[issuer.public(), test_rsa()], secret, TokenOptions::default());
        for alg in [
            "none", "None", "nOnE", "NONE", "HS256", "HS512", "RS256", "PS256", "ES256", "eddsa", "Ed25519",
            "",
        ] {
            for kid in [Some("one"), Some("test-rsa"), None] {
                let mut header = json!({"alg": alg, "typ": "JWT"});
                if let Some(kid) = kid {
                    header["kid"] = kid.into();
                }
                let signed = issuer.sign(&header, &claims());
                let bare = format!("{}.", signed.rsplit_once('.').unwrap().0);
                for token in [signed, bare] {
                    assert_eq!(keys.verify(&token), Err(TokenError::Invalid), "{header}");
                }
            }
        }
        // The right algorithm under the name of a key of another one.
        let header = json!({"alg": "EdDSA", "kid": "test-rsa"});
        assert_eq!(keys.verify(&issuer.sign(&header, &claims())), Err(TokenError::Invalid));
        assert_eq!(keys.verify(TEST_RSA_TOKEN_AS_RS512), Err(TokenError::Invalid));
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let issuer = Issuer::new("one");
    let n = unbase64(TEST_RSA_N);
    // All forms in which somebody could take the public keys for the secret of an HMAC.
    let der = [
        &[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00][..],
        n.as_slice(),
        &[0x02, 0x03, 0x01, 0x00, 0x01][..],
    ]
    .concat();
    let guesses = [
        TEST_RSA_N.as_bytes().to_vec(),
        test_rsa().to_string().into_bytes(),
        issuer.pair.public_key().as_ref().to_vec(),
        base64(issuer.pair.public_key().as_ref()).into_bytes(),
        n,
        der,
        Vec::new(),
        b"AQAB".to_vec(),
    ];
    for public in [vec![test_rsa()], vec![issuer.public()], vec![issuer.public(), test_rsa()]] {
        for secret in [None, Some(SECRET)] {
            let keys = Keys::new(&public, secret, TokenOptions::default());
            for guess in &guesses {
                for header in [
                    json!({"alg": "HS256"}),
                    json!({"alg": "HS256", "kid": "test-rsa"}),
                    json!({"alg": "HS256", "kid": "one"}),
                    json!({"alg": "RS256", "kid": "test-rsa"}),
                    json!({"alg": "EdDSA", "kid": "one"}),
                ] {
                    let forged = hmac_token(&header, &claims(), guess);
                    assert_eq!(keys.verify(&forged), Err(TokenError::Invalid), "{header}");
                }
            }
        }
    }
}

#[test]
fn a_secret_signs_only_where_it_is_given_for_that() {
    let issuer = Issuer::new("one");
    let public_only = Keys::of(&[issuer.public()]);
    for secret in [SECRET, ROOT] {
        let ours = hmac_token(&json!({"alg": "HS256"}), &claims(), secret.as_bytes());
        assert_eq!(public_only.verify(&ours), Err(TokenError::Invalid));
    }
    let ada = Claims { sub: "ada".into(), tenant: "acme".into(), role: Role::User, tier: None };
    assert_eq!(public_only.keys.mint(&ada, Duration::from_mins(1)), Err(TokenError::NoSecret));
    assert!(!public_only.keys.can_mint());

    let both = Keys::new(&[issuer.public()], Some(SECRET), TokenOptions::default());
    assert!(both.keys.can_mint());
    assert_eq!(both.verify(&both.keys.mint(&ada, Duration::from_mins(1)).unwrap()), Ok(ada));
    assert!(both.verify(&issuer.sign(&issuer.header(), &claims())).is_ok());
    // A kid that names a public key means that key, even with the right secret.
    let header = json!({"alg": "HS256", "kid": "one"});
    assert_eq!(both.verify(&hmac_token(&header, &claims(), SECRET.as_bytes())), Err(TokenError::Invalid));
}

#[test]
fn a_kid_names_one_key_and_nothing_in_a_token_brings_another() {
    let (issuer, other, stranger) = (Issuer::new("one"), Issuer::new("two"), Issuer::new("one"));
    let keys = Keys::of(&[issuer.public(), other.public()]);
    for (signer, header, good) in [
        (&issuer, json!({"alg": "EdDSA", "kid": "one"}), true),
        (&other, json!({"alg": "EdDSA", "kid": "two"}), true),
        (&issuer, json!({"alg": "EdDSA", "kid": "two"}), false),
        (&issuer, json!({"alg": "EdDSA", "kid": "ONE"}), false),
        (&issuer, json!({"alg": "EdDSA", "kid": "three"}), false),
        (&issuer, json!({"alg": "EdDSA", "kid": ""}), false),
        (&issuer, json!({"alg": "EdDSA", "kid": "../../dev/null"}), false),
        (&issuer, json!({"alg": "EdDSA", "kid": 1}), false),
        // Without a kid there are two that it could be.
        (&issuer, json!({"alg": "EdDSA"}), false),
        (&stranger, json!({"alg": "EdDSA", "kid": "one"}), false),
        (&stranger, json!({"alg": "EdDSA", "kid": "one", "jwk": stranger.public()}), false),
        (&stranger, json!({"alg": "EdDSA", "kid": "one", "jku": "https://evil.example/jwks.json"}), false),
        (&stranger, json!({"alg": "EdDSA", "kid": "one", "x5u": "https://evil.example/cert.pem"}), false),
        // Nor do they make a good token worse.
        (&issuer, json!({"alg": "EdDSA", "kid": "one", "jku": "https://evil.example/jwks.json"}), true),
        (&issuer, json!({"alg": "EdDSA", "kid": "one", "crit": ["exp"], "exp": 1}), false),
    ] {
        assert_eq!(keys.verify(&signer.sign(&header, &claims())).is_ok(), good, "{header}");
    }
    let only = Keys::of(&[issuer.public()]);
    assert!(only.verify(&issuer.sign(&json!({"alg": "EdDSA"}), &claims())).is_ok());
    assert!(only.verify(&stranger.sign(&json!({"alg": "EdDSA"}), &claims())).is_err());
}

#[test]
fn an_issuer_s_token_is_held_to_the_same_as_ours() {
    let issuer = Issuer::new("one");
    let options = TokenOptions {
        issuer: Some("https://id.example".into()),
        audience: Some("bulrush".into()),
        leeway_s: None,
    };
    let keys = Keys::new(&[issuer.public()], None, options);
    let good = json!({"sub": "ada", "exp": in_s(60), "iss": "https://id.example", "aud": ["x", "bulrush"]});
    let verify = |member: &str, value: Value| {
        let mut claims = good.clone();
        claims[member] = value;
        keys.verify(&issuer.sign(&issuer.header(), &claims)).map(|claims| claims.sub)
    };
    assert_eq!(verify("sub", "ada".into()), Ok("ada".into()));
    assert_eq!(verify("exp", in_s(-57).into()), Ok("ada".into()), "a minute of leeway");
    assert_eq!(verify("exp", in_s(-61).into()), Err(TokenError::Expired));
    assert_eq!(verify("exp", Value::Null), Err(TokenError::Claims));
    assert_eq!(verify("nbf", in_s(120).into()), Err(TokenError::TooEarly));
    assert_eq!(verify("iss", "https://evil.example".into()), Err(TokenError::Foreign));
    assert_eq!(verify("aud", "other".into()), Err(TokenError::Foreign));
    assert_eq!(verify("aud", json!(["x", "y"])), Err(TokenError::Foreign));
    assert_eq!(verify("aud", json!([])), Err(TokenError::Foreign));
    assert_eq!(verify("role", "root".into()), Err(TokenError::Claims));
    assert_eq!(verify("sub", "a\nb".into()), Err(TokenError::Claims));
    // Who asks for no audience is not meant by a token that names one.
    let lax = Keys::of(&[issuer.public()]);
    assert_eq!(lax.verify(&issuer.sign(&issuer.header(), &good)), Err(TokenError::Foreign));
}

#[test]
fn whatever_is_changed_in_an_issuer_s_token_makes_it_invalid() {
    let issuer = Issuer::new("one");
    let keys = Keys::of(&[issuer.public(), test_rsa()]);
    let admin = base64(claims().to_string().as_bytes());
    let user = json!({"sub": "ada", "tenant": "acme", "role": "user", "exp": in_s(60)});
    for good in [issuer.sign(&issuer.header(), &user), TEST_RSA_TOKEN.to_owned()] {
        assert!(keys.verify(&good).is_ok());
        let parts: Vec<&str> = good.split('.').collect();
        for changed in [
            format!("{}.{admin}.{}", parts[0], parts[2]),
            format!("{}.{}.{}", parts[0], parts[1], &parts[2][..parts[2].len() - 4]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{good}."),
            format!("{}.{}.%%%", parts[0], parts[1]),
            format!("{}.{}.{}", parts[0], parts[1], base64(&[0; 64])),
            format!("{}.{}.{}", parts[0], parts[1], base64(&[0; 256])),
        ] {
            assert_eq!(keys.verify(&changed), Err(TokenError::Invalid), "{changed}");
        }
    }
}

#[test]
fn what_is_derived_depends_on_the_root_and_on_nothing_that_an_issuer_changes() {
    let (one, two) = (Keys::of(&[Issuer::new("one").public()]), Keys::of(&[test_rsa()]));
    assert_eq!(one.keys.derive("x"), two.keys.derive("x"));
    let secret = TokenKeys::new(&Secret::new(ROOT), TokenOptions::default()).unwrap();
    assert_eq!(one.keys.derive("x"), secret.derive("x"));
    let both = Keys::new(&[test_rsa()], Some(SECRET), TokenOptions::default());
    assert_eq!(
        both.keys.derive("x"),
        one.keys.derive("x"),
        "a root of its own goes before the tokens' secret"
    );
}

#[test]
fn what_is_missing_or_wrong_at_the_start_is_told_at_once() {
    let none = TokenKeys::from_sources(&TokenSources::default(), TokenOptions::default());
    let said = none.unwrap_err().to_string();
    assert!(said.contains("JWT_SECRET: is missing") && said.contains("JWT_JWKS_FILE"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let mut private = Issuer::new("mine").public();
    private["d"] = "canary".into();
    std::fs::write(&path, json!({ "keys": [private] }).to_string()).unwrap();
    let sources = TokenSources { jwks_file: Some(path), ..TokenSources::default() };
    let said = TokenKeys::from_sources(&sources, TokenOptions::default()).unwrap_err().to_string();
    for part in ["JWT_JWKS_FILE", "jwks.json", "private", "\"mine\"", "BULRUSH_SECRET: is missing"] {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
    assert!(!said.contains("canary"), "{said}");
}
