//! From a bearer token to verified claims: first the signature, by a pinned algorithm and a known key, then the claims.
//! No HTTP framework, no clock and no grant is here; callers pass the token and the time.

mod algorithms;
mod claims;
mod jwks;
mod keys;
mod refusals;
mod sign;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use jsonwebtoken::{Algorithm, Header, Validation, errors::ErrorKind};
use reqwest::Url;
use serde_json::{Map, Value};

pub(crate) use self::{
    algorithms::Algorithms,
    sign::{SigningKey, sign},
};
use self::{claims::ClaimRules, jwks::Jwks, keys::VerifyingKey, refusals::RefusalLog};
use crate::metrics::Metrics;

/// The longest token that is read. Tokens with long group lists stay below it, and a header of this size is still
/// cheap.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The longest `kid` that is looked up. Real ones are thumbprints or short names.
const KID_BYTES_MAX: usize = 256;
/// The clocks of an identity provider and a gateway differ by less. A larger leeway would accept expired tokens for
/// longer.
pub(crate) const LEEWAY_S_MAX: u32 = 30;
/// Enough for two clocks that NTP keeps.
pub(crate) const LEEWAY_S_DEFAULT: u32 = 10;
/// The claim that names the user unless the configuration says otherwise (RFC 7519, section 4.1.2).
pub(crate) const USER_CLAIM_DEFAULT: &str = "sub";

/// Settings of an [`Authenticator`]: which tokens to accept, and which claim names the user.
#[derive(Clone, Debug)]
pub(crate) struct AuthConfig {
    pub(crate) algorithms: Algorithms,
    pub(crate) keys: KeySource,
    /// The shared secret before the present one. Tokens signed with it are still accepted.
    pub(crate) previous_secret: Option<SigningKey>,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) user_claim: String,
    pub(crate) leeway_s: u32,
}

impl AuthConfig {
    /// HS256 with one shared secret and no issuer or audience, as in `dev`.
    pub(crate) fn with_secret(key: SigningKey) -> Self {
        AuthConfig {
            algorithms: Algorithms::hs256(),
            keys: KeySource::Secret(key),
            previous_secret: None,
            issuer: None,
            audience: None,
            user_claim: USER_CLAIM_DEFAULT.to_owned(),
            leeway_s: LEEWAY_S_DEFAULT,
        }
    }
}

/// The source of the keys. There is exactly one, so that it is clear which key accepted a token.
#[derive(Clone, Debug)]
pub(crate) enum KeySource {
    Secret(SigningKey),
    PublicKeyFile(PathBuf),
    JwksUrl(Url),
}

/// Checks tokens. One per gateway, shared by all requests.
pub(crate) struct Authenticator {
    algorithms: Algorithms,
    keys: Keys,
    rules: ClaimRules,
    refusals: RefusalLog,
    metrics: Arc<Metrics>,
}

impl Authenticator {
    /// Reads the key file, if there is one. Keys of a JWKS are fetched with the first token.
    ///
    /// # Errors
    /// When a key is missing, unreadable, too weak, or unusable with every pinned algorithm.
    pub(crate) fn new(config: &AuthConfig) -> Result<Self, AuthSetupError> {
        Self::measured(config, Metrics::new())
    }

    /// The same, for a gateway whose metrics are read.
    ///
    /// # Errors
    /// Those of [`Authenticator::new`].
    pub(crate) fn measured(
        config: &AuthConfig,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AuthSetupError> {
        let algorithms = &config.algorithms;
        let keys = match &config.keys {
            KeySource::Secret(secret) => {
                let secrets = [Some(secret), config.previous_secret.as_ref()];
                let keys = secrets.into_iter().flatten();
                let keys = keys.map(|secret| VerifyingKey::from_secret(secret, algorithms));
                Keys::Fixed(keys.collect::<Result<_, _>>()?)
            }
            KeySource::PublicKeyFile(path) => {
                Keys::Fixed(vec![VerifyingKey::from_file(path, algorithms)?])
            }
            KeySource::JwksUrl(url) => Keys::Jwks(Jwks::new(
                url.clone(),
                algorithms.clone(),
                Arc::clone(&metrics),
            )?),
        };
        Ok(Self::over(config, keys, metrics))
    }

    fn over(config: &AuthConfig, keys: Keys, metrics: Arc<Metrics>) -> Self {
        Self {
            algorithms: config.algorithms.clone(),
            keys,
            rules: ClaimRules::new(config),
            refusals: RefusalLog::default(),
            metrics,
        }
    }

    /// One with these settings. Keys behind the same URL stay known until they are fetched again, with the next token.
    ///
    /// # Errors
    /// Those of [`Authenticator::new`].
    pub(crate) fn reloaded(&self, config: &AuthConfig) -> Result<Self, AuthSetupError> {
        let metrics = Arc::clone(&self.metrics);
        if let (Keys::Jwks(jwks), KeySource::JwksUrl(url)) = (&self.keys, &config.keys)
            && jwks.is_of(url)
            && self.algorithms == config.algorithms
        {
            jwks.expire();
            return Ok(Self::over(config, Keys::Jwks(jwks.clone()), metrics));
        }
        Self::measured(config, metrics)
    }

    /// Whether there are keys to verify tokens with. Fetches them, if none are known and a fetch is due.
    pub(crate) async fn has_keys(&self, now_ms: i64) -> bool {
        match &self.keys {
            Keys::Fixed(_) => true,
            Keys::Jwks(jwks) => jwks.has_keys(now_ms).await,
        }
    }

    /// The bearer of `token` at the time `now_ms` (milliseconds since the Unix epoch).
    ///
    /// # Errors
    /// [`AuthError::Refused`] for every bad token, whatever is wrong with it: a reason would help an attacker more than
    /// a client. The reason is logged, once in a while.
    pub(crate) async fn verify(
        &self,
        token: &str,
        now_ms: i64,
    ) -> Result<VerifiedToken, AuthError> {
        let checked = self.check(token, now_ms).await;
        let result = match &checked {
            Ok(_) => "accepted",
            Err(reason) => {
                self.refusals.note(reason, now_ms);
                reason.kind()
            }
        };
        self.metrics.tokens.of([result.into()]).inc();
        checked.map_err(AuthError::from)
    }

    /// The same with the reason of a refusal, for an operator.
    ///
    /// # Errors
    /// [`TokenRejection`].
    pub(crate) async fn examine(
        &self,
        token: &str,
        now_ms: i64,
    ) -> Result<VerifiedToken, TokenRejection> {
        self.check(token, now_ms).await
    }

    async fn check(&self, token: &str, now_ms: i64) -> Result<VerifiedToken, TokenRejection> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRejection::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenRejection::Header)?;
        self.check_header(&header)?;
        let claims = match &self.keys {
            Keys::Fixed(keys) => {
                let mut tried = keys.iter().map(|key| claims_of(token, &header, key));
                let first = tried.next().ok_or(TokenRejection::UnknownKey)?;
                first.or_else(|error| tried.find_map(Result::ok).ok_or(error))?
            }
            Keys::Jwks(jwks) => {
                let key = jwks.key(header.kid.as_deref(), header.alg, now_ms).await?;
                claims_of(token, &header, &key)?
            }
        };
        self.rules.check(claims, now_ms)
    }

    /// Reads the token's own header. `jku`, `x5u`, `x5c` and `jwk` offer a key of the sender's choice, and are not
    /// read.
    fn check_header(&self, header: &Header) -> Result<(), TokenRejection> {
        if !self.algorithms.contains(header.alg) {
            return Err(TokenRejection::Algorithm);
        }
        // RFC 7515, section 4.1.11: extensions that a recipient does not understand make the token
        // invalid.
        if header.crit.is_some() {
            return Err(TokenRejection::CriticalExtension);
        }
        if header
            .kid
            .as_ref()
            .is_some_and(|kid| kid.len() > KID_BYTES_MAX)
        {
            return Err(TokenRejection::KeyIdTooLong);
        }
        Ok(())
    }
}

enum Keys {
    /// A public key, or a shared secret and the one before it.
    Fixed(Vec<VerifyingKey>),
    Jwks(Jwks),
}

/// The claims of a token that was signed with this key.
fn claims_of(
    token: &str,
    header: &Header,
    key: &VerifyingKey,
) -> Result<Map<String, Value>, TokenRejection> {
    let decoded = jsonwebtoken::decode(token, &key.key, &signature_only(header.alg));
    let decoded = decoded.map_err(|error| match error.kind() {
        ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::Base64(_) => TokenRejection::Payload,
        _ => TokenRejection::Signature,
    });
    Ok(decoded?.claims)
}

/// The library checks the signature alone. It would read the system's clock for `exp` and accept an
/// array for `iss`. [`ClaimRules`] checks every claim with the time that the caller passes.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

/// A good token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VerifiedToken {
    /// Not empty, at most 200 bytes, without U+0000.
    pub(crate) user: String,
    pub(crate) claims: Map<String, Value>,
    /// The first moment at which the token is refused: `exp` plus the leeway.
    pub(crate) expires_at_ms: i64,
}

/// The token in an `Authorization` header, or in the same field of `connection_init`.
///
/// # Errors
/// [`AuthError::Missing`] when the header offers no bearer token at all.
pub(crate) fn bearer(header_value: Option<&str>) -> Result<&str, AuthError> {
    let (scheme, token) = header_value
        .and_then(|value| value.trim().split_once(' '))
        .ok_or(AuthError::Missing)?;
    // RFC 9110, section 11.1: the scheme's name is case-insensitive.
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(AuthError::Missing);
    }
    Ok(token.trim_start())
}

/// Why a caller is refused, in the detail that a client may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("a bearer token is required")]
    Missing,
    #[error("the bearer token was refused")]
    Refused,
    /// Its sender knows its length, so the reason helps nobody else.
    #[error("the bearer token is too long")]
    TooLong,
    /// No key is known, because the JWKS could not be read yet. The gateway answers 503.
    #[error("tokens cannot be checked at the moment")]
    KeysUnavailable,
}

impl From<TokenRejection> for AuthError {
    fn from(reason: TokenRejection) -> Self {
        match reason {
            TokenRejection::KeysUnavailable => AuthError::KeysUnavailable,
            TokenRejection::TooLong => AuthError::TooLong,
            _ => AuthError::Refused,
        }
    }
}

/// The reason for an [`AuthError`], for the log. It never contains a part of the token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenRejection {
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "the token is not three base64url parts, or its header does not name a known algorithm"
    )]
    Header,
    #[error("the token's algorithm is not in auth.algorithms")]
    Algorithm,
    #[error("the token's header has a `crit` extension")]
    CriticalExtension,
    #[error("the token's `kid` is longer than {KID_BYTES_MAX} bytes")]
    KeyIdTooLong,
    #[error("no known key has the token's `kid` and algorithm")]
    UnknownKey,
    #[error("no key is known, because auth.jwks_url could not be read")]
    KeysUnavailable,
    #[error("the signature is invalid")]
    Signature,
    #[error("the payload is no JSON object")]
    Payload,
    #[error("`exp` is missing")]
    NoExpiry,
    #[error("`{0}` is not a number of seconds before the year 10000")]
    NotATime(&'static str),
    #[error("the token has expired")]
    Expired,
    #[error("`nbf` lies in the future")]
    NotYetValid,
    #[error("`iss` is not auth.issuer")]
    Issuer,
    #[error("`aud` does not name auth.audience")]
    Audience,
    #[error(
        "the user claim is not a non-empty string of at most 200 bytes without U+0000, or an integer"
    )]
    User,
}

impl TokenRejection {
    /// The reason as metrics name it.
    fn kind(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Header => "malformed",
            Self::Algorithm => "algorithm",
            Self::CriticalExtension => "critical_extension",
            Self::KeyIdTooLong => "key_id_too_long",
            Self::UnknownKey => "unknown_key",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Signature => "signature",
            Self::Payload => "payload",
            Self::NoExpiry => "no_expiry",
            Self::NotATime(_) => "not_a_time",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::User => "user",
        }
    }
}

/// Why a gateway cannot check tokens with these settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthSetupError {
    #[error("no algorithm is named; name those your tokens are signed with, such as [\"RS256\"]")]
    NoAlgorithm,
    #[error("\"none\" would accept tokens that anybody can write")]
    UnsignedAlgorithm,
    #[error("{name:?} is not a supported algorithm; the nearest one is {nearest}")]
    UnknownAlgorithm { name: String, nearest: &'static str },
    #[error(
        "HS algorithms cannot stand beside RS, PS, ES or EdDSA: \
         a public key could then be used as a shared secret to forge tokens"
    )]
    MixedFamilies,
    #[error(
        "HS algorithms go with a shared secret, and a shared secret goes with HS algorithms alone"
    )]
    SecretMismatch,
    #[error("the secret has fewer than {} bytes", sign::SECRET_BYTES_MIN)]
    ShortSecret,
    #[error("{} cannot be read: {source}", path.display())]
    KeyFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not a public key in PEM form (\"BEGIN PUBLIC KEY\")", path.display())]
    NotAPublicKey { path: PathBuf },
    #[error("the key in {} cannot verify {algorithm:?}, which is in auth.algorithms", path.display())]
    KeyDoesNotFit { path: PathBuf, algorithm: Algorithm },
    #[error("the client for auth.jwks_url cannot be set up: {0}")]
    HttpClient(#[source] reqwest::Error),
}
