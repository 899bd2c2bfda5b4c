//! The secret that signs what a webhook is sent: made here, shown once, kept sealed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::problem::Problem;
use crate::state::State;

/// Bytes of a secret: as strong as the signature (HMAC-SHA256).
const LENGTH: usize = 32;

/// A new secret, in both its forms.
pub(super) struct NewSecret {
    /// What its owner is shown.
    pub plain: String,
    /// What is kept.
    pub sealed: String,
}

/// Makes a secret as Standard Webhooks writes it.
pub(super) fn new_secret(state: &State) -> Result<NewSecret, Problem> {
    let sealer = state.sealer().ok_or_else(|| {
        Problem::unprocessable(
            "sealing_off",
            "This server has no key to keep secrets with, so it takes no webhooks; its operator gives one to the API and to the \
             workers (BULRUSH_SEAL_KEY).",
        )
    })?;
    let mut bytes = [0_u8; LENGTH];
    getrandom::fill(&mut bytes).map_err(|_| {
        Problem::internal(&std::io::Error::other("the operating system gave no random bytes for a secret"))
    })?;
    let plain = format!("whsec_{}", STANDARD.encode(bytes));
    let sealed = sealer.seal(&plain).map_err(|error| Problem::internal(&error))?;
    Ok(NewSecret { plain, sealed: sealed.as_str().to_owned() })
}
