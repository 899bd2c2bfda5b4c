//! The binary by itself: what it refuses to start with.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

fn refusal(settings: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bulrush-api"))
        .env_clear()
        .envs(settings.iter().copied())
        .env("BULRUSH_API_PORT", "0")
        .output()
        .unwrap();
    assert!(!output.status.success(), "it started with {settings:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn all_that_is_wrong_or_missing_is_told_at_once() {
    let text = refusal(&[
        ("BULRUSH_API_BODY_TIMEOUT", "soon"),
        ("BULRUSH_QUEUE_FORECAST_CONCURRENCY", "0"),
        ("JWT_LEEWAY", "61"),
        ("JWT_SECRET", "changeme"),
        ("BULRUSH_SEAL_KEY", "canary"),
    ]);
    for name in [
        "BULRUSH_API_BODY_TIMEOUT",
        "BULRUSH_QUEUE_FORECAST_CONCURRENCY",
        "JWT_LEEWAY",
        "JWT_SECRET",
        "BULRUSH_SEAL_KEY",
        "BULRUSH_ENGINE",
        "DATABASE_URL",
        "BULRUSH_FILES",
    ] {
        assert!(text.contains(name), "{name} is not told in: {text}");
    }
    assert!(!text.contains("changeme") && !text.contains("canary"), "{text}");
}

#[test]
fn a_missing_or_guessable_token_secret_is_refused() {
    assert!(refusal(&[]).contains("JWT_SECRET: is missing"));
    for secret in ["", "short", "changeme", "your-256-bit-secret-your-256-bit-secret"] {
        let text = refusal(&[("JWT_SECRET", secret)]);
        assert!(text.contains("JWT_SECRET"), "{secret:?}: {text}");
    }
}
