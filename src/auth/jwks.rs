//! The keys that an identity provider publishes: fetched from one pinned URL, cached, and fetched again after a
//! rotation. `keys` decides what a single key may be used for.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, jwk::Jwk};
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Algorithms, AuthSetupError, TokenRejection, keys::VerifyingKey};
use crate::{
    metrics::{Metrics, seconds},
    telemetry::root_cause,
};

/// How long keys are used before they are fetched again. A withdrawn key is accepted for at most this long.
const FRESH_MS: u64 = 10 * 60 * 1000;
/// The least time between two fetches, so that tokens with invented key ids put no load on the provider.
const COOLDOWN_MS: u64 = 30 * 1000;
/// The same while no key is known and no token can be checked.
const COOLDOWN_WITHOUT_KEYS_MS: u64 = 2 * 1000;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The set of a large provider has about 10 KiB.
const JWKS_BYTES_MAX: usize = 256 * 1024;
const JWKS_KEYS_MAX: usize = 100;

/// A key set behind a URL.
#[derive(Clone)]
pub(super) struct Jwks(Arc<JwksCache>);

struct JwksCache {
    url: Url,
    client: Client,
    pinned: Algorithms,
    metrics: Arc<Metrics>,
    known: RwLock<Option<KnownKeys>>,
    /// The start of the last fetch. The holder of the lock is the one fetch in flight.
    last_fetch_ms: Arc<Mutex<Option<i64>>>,
}

#[derive(Clone)]
struct KnownKeys {
    keys: Arc<[VerifyingKey]>,
    fetched_at_ms: i64,
    since: Instant,
    /// Whether they are fetched again with the next token.
    is_expired: bool,
}

impl Jwks {
    pub(super) fn new(
        url: Url,
        pinned: Algorithms,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AuthSetupError> {
        let client = client(&url).map_err(AuthSetupError::HttpClient)?;
        let (known, last_fetch_ms) = (RwLock::default(), Arc::default());
        let cache = Arc::new(JwksCache {
            url,
            client,
            pinned,
            metrics,
            known,
            last_fetch_ms,
        });
        let measured = Arc::downgrade(&cache);
        cache.metrics.read_at_scrape(move |metrics| {
            let known = measured.upgrade()?.known();
            let age = known.map_or(f64::NAN, |known| seconds(known.since.elapsed()));
            metrics.key_set_age.set(age);
            Some(())
        });
        Ok(Jwks(cache))
    }

    pub(super) fn is_of(&self, url: &Url) -> bool {
        self.0.url == *url
    }

    /// Has the keys fetched again with the next token. Until then the known ones are used.
    pub(super) fn expire(&self) {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &mut *known {
            known.is_expired = true;
        }
    }

    /// Whether keys are known. Fetches them if not, unless that was just tried.
    pub(super) async fn has_keys(&self, now_ms: i64) -> bool {
        if self.0.known().is_none()
            && let Ok(turn) = Arc::clone(&self.0.last_fetch_ms).try_lock_owned()
        {
            self.refresh(turn, now_ms).await;
        }
        self.0.known().is_some()
    }

    /// The key for a token. Asks the provider when the keys are old or the key is not among them.
    pub(super) async fn key(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now_ms: i64,
    ) -> Result<VerifyingKey, TokenRejection> {
        let known = self.0.known();
        match known
            .as_ref()
            .and_then(|known| Some((known.find(kid, algorithm)?, known.is_fresh(now_ms))))
        {
            Some((key, true)) => return Ok(key),
            // A provider that hangs delays one request per cooldown, and no other.
            Some((key, false)) => match Arc::clone(&self.0.last_fetch_ms).try_lock_owned() {
                Ok(turn) => self.refresh(turn, now_ms).await,
                Err(_) => return Ok(key),
            },
            // A caller that waits for a fetch uses its result. Otherwise, when a provider hangs, waiting callers would
            // start one fetch after the other, and the last would wait for all of them.
            None => match Arc::clone(&self.0.last_fetch_ms).try_lock_owned() {
                Ok(turn) => self.refresh(turn, now_ms).await,
                Err(_) => drop(self.0.last_fetch_ms.lock().await),
            },
        }
        let known = self.0.known().ok_or(TokenRejection::KeysUnavailable)?;
        known.find(kid, algorithm).ok_or(TokenRejection::UnknownKey)
    }

    /// Fetches, unless the last fetch began less than a cooldown ago.
    ///
    /// The fetch is a task of its own. A caller that disconnects must not stop it, or it could use up
    /// every cooldown with fetches that never end.
    async fn refresh(&self, mut turn: OwnedMutexGuard<Option<i64>>, now_ms: i64) {
        let cooldown_ms = match self.0.known() {
            Some(known) if known.is_expired => 0,
            Some(_) => COOLDOWN_MS,
            None => COOLDOWN_WITHOUT_KEYS_MS,
        };
        if turn.is_some_and(|last_ms| last_ms.abs_diff(now_ms) < cooldown_ms) {
            return;
        }
        *turn = Some(now_ms);
        let cache = Arc::clone(&self.0);
        let fetch = tokio::spawn(async move {
            cache.fetch(now_ms).await;
            drop(turn);
        });
        if let Err(error) = fetch.await {
            let panicked = error.is_panic();
            tracing::error!(panicked, "fetching auth.jwks_url ended early");
        }
    }
}

impl JwksCache {
    fn known(&self) -> Option<KnownKeys> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces the keys, or keeps the old ones when the fetch failed: a provider that is down does not
    /// log users out.
    async fn fetch(&self, now_ms: i64) {
        let keys = match fetch(&self.client, &self.url).await {
            Ok(body) => parse(&body, &self.pinned),
            Err(error) => Err(error),
        };
        match keys {
            Ok(keys) => {
                self.metrics.key_set_fetches.of(["fetched".into()]).inc();
                tracing::debug!(keys = keys.len(), "auth.jwks_url fetched");
                let known = KnownKeys {
                    keys: keys.into(),
                    fetched_at_ms: now_ms,
                    since: Instant::now(),
                    is_expired: false,
                };
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
            }
            Err(error) => {
                self.metrics.key_set_fetches.of(["failed".into()]).inc();
                self.keep_for_a_while();
                tracing::warn!(%error, "auth.jwks_url cannot be used; the known keys stay")
            }
        }
    }
}

impl JwksCache {
    /// After a fetch that failed, the next one waits as long as any other.
    fn keep_for_a_while(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_mut().filter(|known| known.is_expired) {
            known.is_expired = false;
            known.fetched_at_ms = i64::MIN;
        }
    }
}

impl KnownKeys {
    /// A token without a `kid` is accepted only if a single key is possible. Trying several would be guessing.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<VerifyingKey> {
        let mut candidates = self.keys.iter().filter(|key| {
            key.algorithms.contains(&algorithm) && (kid.is_none() || key.id.as_deref() == kid)
        });
        let first = candidates.next()?;
        (kid.is_some() || candidates.next().is_none()).then(|| first.clone())
    }

    fn is_fresh(&self, now_ms: i64) -> bool {
        !self.is_expired && self.fetched_at_ms.abs_diff(now_ms) < FRESH_MS
    }
}

/// A client for the configured URL and nothing else. Plain HTTP is for loopback addresses, which the
/// configuration ensures; these are not reached through a proxy.
fn client(url: &Url) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(FETCH_TIMEOUT);
    let builder = if url.scheme() == "https" {
        builder.https_only(true)
    } else {
        builder.no_proxy()
    };
    builder
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .build()
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>, JwksError> {
    let mut response = client
        .get(url.clone())
        .header("accept", "application/json")
        .send()
        .await?;
    if response.status() != StatusCode::OK {
        return Err(JwksError::Status(response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > JWKS_BYTES_MAX {
            return Err(JwksError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Keys that are unknown or useless here are skipped: providers publish encryption keys and new types
/// too.
fn parse(body: &[u8], pinned: &Algorithms) -> Result<Vec<VerifyingKey>, JwksError> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<serde_json::Value>,
    }
    let set: KeySet = serde_json::from_slice(body).map_err(JwksError::NotAKeySet)?;
    if set.keys.len() > JWKS_KEYS_MAX {
        return Err(JwksError::TooManyKeys);
    }
    let jwks = set
        .keys
        .into_iter()
        .filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Vec<_> = jwks
        .filter_map(|jwk| VerifyingKey::from_jwk(&jwk, pinned))
        .collect();
    if keys.is_empty() {
        Err(JwksError::NoUsableKey)
    } else {
        Ok(keys)
    }
}

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
enum JwksError {
    #[error("the request failed: {}", root_cause(.0))]
    Request(#[from] reqwest::Error),
    #[error("the answer was {0} instead of 200 (redirects are not followed)")]
    Status(StatusCode),
    #[error("the answer is larger than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is not a JWK set (line {}, column {})", .0.line(), .0.column())]
    NotAKeySet(#[source] serde_json::Error),
    #[error("the set has more than {JWKS_KEYS_MAX} keys")]
    TooManyKeys,
    #[error("the set has no key for an algorithm in auth.algorithms")]
    NoUsableKey,
}
