//! Signatures over identifier, time and body: what the sender writes and the receiver checks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::WebhookSecret;

/// The header of the message's identifier, which stays the same over all attempts.
pub const HEADER_ID: &str = "webhook-id";
/// The header of the time of the attempt, seconds since 1970.
pub const HEADER_TIMESTAMP: &str = "webhook-timestamp";
/// The header of the signatures.
pub const HEADER_SIGNATURE: &str = "webhook-signature";
/// How far the time of an attempt may be from the receiver's clock, seconds.
pub const TOLERANCE_S: i64 = 5 * 60;

/// The one kind of signature that is made and accepted: HMAC-SHA256.
const VERSION: &str = "v1";
/// Longest identifier, bytes.
const ID_MAX: usize = 256;
/// Most signatures that a receiver looks at: one for each secret of a rotation, with room.
const SIGNATURES_MAX: usize = 16;

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Nothing to sign with.
    #[error("the webhook has no secret, and nothing is sent unsigned; give it one")]
    NoSecret,
    /// A full stop in the identifier would leave open where it ends in what is signed.
    #[error("the identifier of a message has 1 to 256 visible ASCII characters and no full stop")]
    Id,
}

/// Why a message is not to be trusted. A receiver answers all of them with one and the same 400 or 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The identifier is missing or not one.
    #[error("the header {HEADER_ID} is missing or no identifier")]
    Id,
    /// The time is missing or no number of seconds.
    #[error("the header {HEADER_TIMESTAMP} is missing or no number of seconds since 1970")]
    Timestamp,
    /// Sent too long ago, or repeated by somebody who listened.
    #[error("the message is older than {TOLERANCE_S} s; check the clock")]
    TooOld,
    /// From the future.
    #[error("the message is from more than {TOLERANCE_S} s ahead; check the clock")]
    TooNew,
    /// No signature, or none that fits.
    #[error(
        "no signature of the message fits; check the secret, and that the body is checked byte for byte as it came"
    )]
    NoMatch,
}

/// The value of [`HEADER_SIGNATURE`]: a signature for each secret, so that a receiver accepts the message while the secret
/// changes. The current secret stands first.
///
/// # Errors
/// [`SignError`] without a secret, or with an identifier that is none.
pub fn sign(secrets: &[WebhookSecret], id: &str, timestamp_s: i64, body: &[u8]) -> Result<String, SignError> {
    if secrets.is_empty() {
        return Err(SignError::NoSecret);
    }
    if !is_id(id) {
        return Err(SignError::Id);
    }
    let signatures = secrets.iter().map(|secret| {
        let mut signing = hmac::Context::with_key(secret.key());
        signing.update(head(id, timestamp_s).as_bytes());
        signing.update(body);
        format!("{VERSION},{}", STANDARD.encode(signing.sign()))
    });
    Ok(signatures.collect::<Vec<_>>().join(" "))
}

/// Checks a message that was received: that somebody who holds one of `secrets` signed exactly this identifier, time and body,
/// and did so around `now_s` (seconds since 1970). What is compared with a secret is compared in constant time.
///
/// `id`, `timestamp` and `signature` are the values of the three headers; an absent one is an empty text. `body` are the bytes
/// as they came, not parsed and written anew. Remember the `id`s of the last minutes beside: a repeat within the tolerance is
/// a valid message.
///
/// # Errors
/// [`VerifyError`] if the message is not to be trusted.
pub fn verify(
    secrets: &[WebhookSecret],
    (id, timestamp, signature): (&str, &str, &str),
    body: &[u8],
    now_s: i64,
) -> Result<(), VerifyError> {
    if !is_id(id) {
        return Err(VerifyError::Id);
    }
    // Written as a sender writes it: digits alone, as what was signed is this number's one spelling.
    let timestamp_s: i64 = timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
    if timestamp_s.to_string() != timestamp {
        return Err(VerifyError::Timestamp);
    }
    if now_s.saturating_sub(timestamp_s) > TOLERANCE_S {
        return Err(VerifyError::TooOld);
    }
    if timestamp_s.saturating_sub(now_s) > TOLERANCE_S {
        return Err(VerifyError::TooNew);
    }
    let mut signed = head(id, timestamp_s).into_bytes();
    signed.extend_from_slice(body);
    // All are looked at, whichever fits: how long it takes tells nothing.
    let mut fits = false;
    for given in signature.split(' ').take(SIGNATURES_MAX) {
        let Some(encoded) = given.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(',')) else {
            continue;
        };
        let Ok(tag) = STANDARD.decode(encoded) else { continue };
        for secret in secrets {
            fits |= hmac::verify(secret.key(), &signed, &tag).is_ok();
        }
    }
    if fits { Ok(()) } else { Err(VerifyError::NoMatch) }
}

/// What is signed before the body.
fn head(id: &str, timestamp_s: i64) -> String {
    format!("{id}.{timestamp_s}.")
}

fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    // The test vector of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret(text: &str) -> WebhookSecret {
        text.parse().unwrap()
    }

    fn check(signature: &str) -> Result<(), VerifyError> {
        verify(&[secret(SECRET)], (ID, "1614265330", signature), BODY, TIME)
    }

    #[test]
    fn the_specification_s_vector_is_signed_and_accepted() {
        assert_eq!(sign(&[secret(SECRET)], ID, TIME, BODY).unwrap(), SIGNATURE);
        assert_eq!(check(SIGNATURE), Ok(()));
    }

    #[test]
    fn e15_whatever_is_altered_is_refused() {
        let secrets = [secret(SECRET)];
        let now = TIME;
        let ok = |id: &str, time: &str, signature: &str, body: &[u8]| {
            verify(&secrets, (id, time, signature), body, now)
        };
        assert_eq!(ok(ID, "1614265330", SIGNATURE, BODY), Ok(()));
        assert_eq!(ok(ID, "1614265330", SIGNATURE, br#"{"test": 2432232315}"#), Err(VerifyError::NoMatch));
        assert_eq!(
            ok(ID, "1614265330", SIGNATURE, br#"{"test":2432232314}"#),
            Err(VerifyError::NoMatch),
            "reformatted"
        );
        assert_eq!(ok("msg_other", "1614265330", SIGNATURE, BODY), Err(VerifyError::NoMatch));
        assert_eq!(ok(ID, "1614265331", SIGNATURE, BODY), Err(VerifyError::NoMatch));
        assert_eq!(ok("", "1614265330", SIGNATURE, BODY), Err(VerifyError::Id));
        assert_eq!(ok(ID, "", SIGNATURE, BODY), Err(VerifyError::Timestamp));
        for time in
            ["soon", "1614265330.0", "+1614265330", " 1614265330", "01614265330", "99999999999999999999"]
        {
            assert_eq!(ok(ID, time, SIGNATURE, BODY), Err(VerifyError::Timestamp), "{time:?}");
        }
        // A piece of the body moved into the identifier would sign the same bytes.
        assert_eq!(ok("msg_p5jXN8AQM9LWM0D4loKWxJek.1", "1614265330", SIGNATURE, BODY), Err(VerifyError::Id));
    }

    #[test]
    fn e15_the_time_may_be_off_by_five_minutes_and_no_more() {
        let at = |now| verify(&[secret(SECRET)], (ID, "1614265330", SIGNATURE), BODY, now);
        assert_eq!(at(TIME + TOLERANCE_S), Ok(()));
        assert_eq!(at(TIME - TOLERANCE_S), Ok(()));
        assert_eq!(at(TIME + TOLERANCE_S + 1), Err(VerifyError::TooOld));
        assert_eq!(at(TIME - TOLERANCE_S - 1), Err(VerifyError::TooNew));
        assert_eq!(at(TIME + 600), Err(VerifyError::TooOld));
        assert_eq!(at(i64::MIN), Err(VerifyError::TooNew));
        assert_eq!(at(i64::MAX), Err(VerifyError::TooOld));
    }

    #[test]
    fn e15_one_fitting_signature_among_others_is_enough_in_any_order() {
        let other = WebhookSecret::generate().unwrap();
        let (old, new) = (secret(SECRET), WebhookSecret::generate().unwrap());
        let both = sign(&[new.clone(), old.clone()], ID, TIME, BODY).unwrap();
        assert_eq!(both.split(' ').count(), 2);
        let headers = (ID, "1614265330", both.as_str());
        for holder in [vec![old.clone()], vec![new.clone()], vec![other.clone(), old.clone()]] {
            assert_eq!(verify(&holder, headers, BODY, TIME), Ok(()));
        }
        assert_eq!(verify(&[other], headers, BODY, TIME), Err(VerifyError::NoMatch));
        assert_eq!(verify(&[], headers, BODY, TIME), Err(VerifyError::NoMatch));

        let value = SIGNATURE.trim_start_matches("v1,");
        assert_eq!(check(&format!("v1,AAAA v2,{value} {SIGNATURE}")), Ok(()));
        assert_eq!(check(&format!("{SIGNATURE} v1,AAAA")), Ok(()));
    }

    #[test]
    fn e15_signatures_of_other_kinds_or_no_kind_never_fit() {
        let value = SIGNATURE.trim_start_matches("v1,");
        for signature in [
            String::new(),
            value.to_owned(),
            format!("v2,{value}"),
            format!("v1a,{value}"),
            format!("v1,,{value}"),
            format!("v1{value}"),
            format!("V1,{value}"),
            format!("v1,{value}="),
            format!("v1,{}", value.trim_end_matches('=')),
            format!("v1,{}", &value[..20]),
            "v1,".to_owned(),
            format!("{}{SIGNATURE}", "v1,AAAA ".repeat(SIGNATURES_MAX)),
        ] {
            assert_eq!(check(&signature), Err(VerifyError::NoMatch), "{signature:?}");
        }
    }

    #[test]
    fn nothing_is_signed_without_a_secret_or_a_clear_identifier() {
        assert_eq!(sign(&[], ID, TIME, BODY), Err(SignError::NoSecret));
        for id in ["", "a.b", "a b", "a\r\nb", "é", &"x".repeat(257)] {
            assert_eq!(sign(&[secret(SECRET)], id, TIME, BODY), Err(SignError::Id), "{id:?}");
        }
    }
}
