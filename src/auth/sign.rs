//! The shared secret, and tokens signed with it for `dev` and `tidegate token`.
//! A gateway that trusts an identity provider holds no private key and cannot sign.

use std::{fmt, time::Duration};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};

use super::{AuthConfig, AuthSetupError, KeySource, claims};

/// The output of SHA-256: RFC 7518, section 3.2 requires a key of at least the size of the hash.
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// A shared secret of at least 32 bytes, for HS algorithms. Debug output does not show it.
#[derive(Clone)]
pub(crate) struct SigningKey(Vec<u8>);

impl SigningKey {
    /// Takes the bytes as they are; text is not decoded.
    ///
    /// # Errors
    /// When the secret is short enough to guess.
    pub(crate) fn from_secret(secret: impl Into<Vec<u8>>) -> Result<Self, AuthSetupError> {
        let secret = secret.into();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(AuthSetupError::ShortSecret);
        }
        Ok(SigningKey(secret))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(…)")
    }
}

/// A token for `user` that a gateway with the same settings accepts, issuer and audience included.
///
/// # Errors
/// When the settings hold no shared secret, when a gateway would not accept the name `user`, or when `claims` has one of the
/// claims that are set here.
pub(crate) fn sign(
    config: &AuthConfig,
    user: &str,
    mut claims: Map<String, Value>,
    now_ms: i64,
    expires_in: Duration,
) -> Result<String, SignError> {
    let KeySource::Secret(key) = &config.keys else {
        return Err(SignError::NoSecret);
    };
    let user = claims::user_name(Some(&Value::from(user))).ok_or(SignError::User)?;
    let now_s = now_ms / 1000;
    let exp = now_s.saturating_add_unsigned(expires_in.as_secs());
    let mut own = Map::from_iter([
        ("iat".to_owned(), Value::from(now_s)),
        ("exp".to_owned(), Value::from(exp)),
        ("sub".to_owned(), Value::from(user.as_str())),
        (config.user_claim.clone(), Value::from(user)),
    ]);
    for (name, value) in [("iss", &config.issuer), ("aud", &config.audience)] {
        if let Some(value) = value {
            own.insert(name.to_owned(), Value::from(value.as_str()));
        }
    }
    if let Some(name) = own.keys().find(|name| claims.contains_key(*name)) {
        return Err(SignError::Claim(name.clone()));
    }
    claims.extend(own);
    let header = Header::new(config.algorithms.first());
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key.as_bytes()))
        .map_err(SignError::Signature)
}

/// Why no token could be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error(
        "tokens are signed by your identity provider; Tidegate signs only where auth.secret is set"
    )]
    NoSecret,
    #[error("a user's name has 1 to 200 bytes and no U+0000")]
    User,
    #[error("the claim `{0}` is set by tidegate; leave it out of the further claims")]
    Claim(String),
    #[error("the token cannot be signed: {0}")]
    Signature(#[source] jsonwebtoken::errors::Error),
}
