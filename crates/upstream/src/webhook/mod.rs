//! Webhooks that we send, signed as [Standard Webhooks] has it, and the check that a receiver makes.
//!
//! [Standard Webhooks]: https://www.standardwebhooks.com

mod secret;
mod send;
mod signature;

pub use secret::{WebhookSecret, WebhookSecretError};
pub use send::{ANSWER_MAX, BODY_MAX, Message, Outcome, TOTAL_TIMEOUT, WebhookClient};
pub use signature::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, SignError, TOLERANCE_S, VerifyError, sign, verify,
};
