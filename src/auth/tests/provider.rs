//! An identity provider on a loopback port: it rotates its keys, fails, hangs and answers with
//! nonsense.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::time::{Instant, sleep, timeout};

use super::*;

const COOLDOWN_MS: i64 = 30_000;
const FRESH_MS: i64 = 600_000;

/// What the provider says next.
#[derive(Clone)]
struct KeySetAnswer {
    status: StatusCode,
    body: String,
    location: Option<String>,
    delay: Duration,
}

impl KeySetAnswer {
    fn keys(keys: &[Value]) -> Self {
        Self::of(StatusCode::OK, json!({"keys": keys}).to_string())
    }

    fn of(status: StatusCode, body: impl Into<String>) -> Self {
        KeySetAnswer {
            status,
            body: body.into(),
            location: None,
            delay: Duration::ZERO,
        }
    }

    fn after(self, delay: Duration) -> Self {
        KeySetAnswer { delay, ..self }
    }
}

struct Provider {
    url: Url,
    answer: Arc<Mutex<KeySetAnswer>>,
    requests: Arc<AtomicUsize>,
}

impl Provider {
    async fn start(answer: KeySetAnswer) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let provider = Provider {
            url,
            answer: Arc::new(Mutex::new(answer)),
            requests: Arc::default(),
        };
        let (answer, requests) = (Arc::clone(&provider.answer), Arc::clone(&provider.requests));
        let respond = move || {
            requests.fetch_add(1, Ordering::SeqCst);
            let answer = answer.lock().unwrap().clone();
            respond(answer)
        };
        tokio::spawn(axum::serve(listener, Router::new().fallback(get(respond))).into_future());
        provider
    }

    fn answers(&self, answer: KeySetAnswer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn authenticator(&self) -> Arc<Authenticator> {
        let config = config(&["RS256", "ES256"], KeySource::JwksUrl(self.url.clone()));
        Arc::new(Authenticator::new(&config).unwrap())
    }
}

async fn respond(answer: KeySetAnswer) -> Response {
    sleep(answer.delay).await;
    let mut headers = HeaderMap::new();
    if let Some(location) = answer.location {
        headers.insert(header::LOCATION, location.parse().unwrap());
    }
    (answer.status, headers, answer.body).into_response()
}

/// A token that never expires within a test, by the key called `kid`.
fn token(key: &TestKey, algorithm: Algorithm, kid: Option<&str>) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    let mut claims = good_claims();
    claims["exp"] = json!(NOW_MS / 1000 + 86_400);
    key.token(&header, &claims)
}

fn rsa_token(kid: &str) -> String {
    token(&RSA, Algorithm::RS256, Some(kid))
}

async fn outcome(
    authenticator: &Authenticator,
    token: &str,
    now_ms: i64,
) -> Result<String, AuthError> {
    authenticator
        .verify(token, now_ms)
        .await
        .map(|verified| verified.user)
}

fn alice() -> Result<String, AuthError> {
    Ok("alice".to_owned())
}

const ALICE: Result<&str, AuthError> = Ok("alice");
const REFUSED: Result<&str, AuthError> = Err(AuthError::Refused);
const UNAVAILABLE: Result<&str, AuthError> = Err(AuthError::KeysUnavailable);

/// Asserts what becomes of a token, so long after the beginning.
async fn expect(
    authenticator: &Authenticator,
    token: &str,
    after_ms: i64,
    expected: Result<&str, AuthError>,
) {
    let user = outcome(authenticator, token, NOW_MS + after_ms).await;
    assert_eq!(
        user,
        expected.map(str::to_owned),
        "{token} after {after_ms} ms"
    );
}

#[tokio::test]
async fn many_first_tokens_cause_one_fetch() {
    let keys =
        KeySetAnswer::keys(&[RSA.jwk("k1", Algorithm::RS256)]).after(Duration::from_millis(50));
    let provider = Provider::start(keys).await;
    let authenticator = provider.authenticator();
    let verify = |_| {
        let authenticator = Arc::clone(&authenticator);
        tokio::spawn(async move { outcome(&authenticator, &rsa_token("k1"), NOW_MS).await })
    };
    for task in (0..20).map(verify).collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), alice());
    }
    expect(&authenticator, &rsa_token("k1"), FRESH_MS - 1, ALICE).await;
    assert_eq!(provider.requests(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found_and_a_withdrawn_one_forgotten() {
    let provider = Provider::start(KeySetAnswer::keys(&[RSA.jwk("k1", Algorithm::RS256)])).await;
    let authenticator = provider.authenticator();
    expect(&authenticator, &rsa_token("k1"), 0, ALICE).await;

    provider.answers(KeySetAnswer::keys(&[P256.jwk("k2", Algorithm::ES256)]));
    let rotated = token(&P256, Algorithm::ES256, Some("k2"));
    expect(&authenticator, &rotated, COOLDOWN_MS - 1, REFUSED).await;
    expect(&authenticator, &rotated, COOLDOWN_MS, ALICE).await;
    expect(&authenticator, &rsa_token("k1"), COOLDOWN_MS, REFUSED).await;
    assert_eq!(provider.requests(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_forgotten_without_a_new_one_in_use() {
    let both = [
        RSA.jwk("k1", Algorithm::RS256),
        P256.jwk("k2", Algorithm::ES256),
    ];
    let provider = Provider::start(KeySetAnswer::keys(&both)).await;
    let authenticator = provider.authenticator();
    expect(&authenticator, &rsa_token("k1"), 0, ALICE).await;
    provider.answers(KeySetAnswer::keys(&both[1..]));
    expect(&authenticator, &rsa_token("k1"), FRESH_MS, REFUSED).await;
}

#[tokio::test]
async fn invented_key_ids_cause_one_fetch_per_cooldown() {
    let provider = Provider::start(KeySetAnswer::keys(&[RSA.jwk("k1", Algorithm::RS256)])).await;
    let authenticator = provider.authenticator();
    for (attempt, kid) in [
        "x",
        "../../etc/passwd",
        "http://127.0.0.1/",
        "k1\0",
        "K1",
        "",
    ]
    .into_iter()
    .cycle()
    .take(30)
    .enumerate()
    {
        let after_ms = i64::try_from(attempt).unwrap() * 3000;
        expect(&authenticator, &rsa_token(kid), after_ms, REFUSED).await;
    }
    assert_eq!(provider.requests(), 3);
}

#[tokio::test]
async fn a_refresh_that_fails_keeps_the_old_keys() {
    let good = KeySetAnswer::keys(&[RSA.jwk("k1", Algorithm::RS256)]);
    let elsewhere =
        Provider::start(KeySetAnswer::keys(&[STRANGER.jwk("k2", Algorithm::RS256)])).await;
    let redirect = KeySetAnswer {
        location: Some(elsewhere.url.to_string()),
        ..KeySetAnswer::of(StatusCode::FOUND, "")
    };
    let stranger = STRANGER.jwk("k2", Algorithm::RS256);
    for (what, answer) in [
        (
            "an error with keys",
            KeySetAnswer {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                ..KeySetAnswer::keys(std::slice::from_ref(&stranger))
            },
        ),
        ("a redirect", redirect),
        (
            "too large",
            KeySetAnswer::of(
                StatusCode::OK,
                json!({"keys": [stranger], "pad": "x".repeat(300_000)}).to_string(),
            ),
        ),
        ("too many", KeySetAnswer::keys(&vec![stranger.clone(); 101])),
        (
            "no JSON",
            KeySetAnswer::of(StatusCode::OK, "<html>sign in</html>"),
        ),
        ("no keys", KeySetAnswer::keys(&[])),
        (
            "a symmetric key",
            KeySetAnswer::keys(&[json!({"kty": "oct", "kid": "k2", "k": "AAAA"})]),
        ),
    ] {
        let provider = Provider::start(good.clone()).await;
        let authenticator = provider.authenticator();
        expect(&authenticator, &rsa_token("k1"), 0, ALICE).await;
        provider.answers(answer);
        expect(&authenticator, &rsa_token("k1"), FRESH_MS, ALICE).await;
        let forged = token(&STRANGER, Algorithm::RS256, Some("k2"));
        expect(&authenticator, &forged, FRESH_MS + 1, REFUSED).await;
        assert_eq!(provider.requests(), 2, "{what}");
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn without_any_key_it_is_a_fault_until_the_provider_answers() {
    let provider = Provider::start(KeySetAnswer::of(StatusCode::SERVICE_UNAVAILABLE, "")).await;
    let authenticator = provider.authenticator();
    expect(&authenticator, &rsa_token("k1"), 0, UNAVAILABLE).await;
    provider.answers(KeySetAnswer::keys(&[RSA.jwk("k1", Algorithm::RS256)]));
    expect(&authenticator, &rsa_token("k1"), 1999, UNAVAILABLE).await;
    expect(&authenticator, &rsa_token("k1"), 2000, ALICE).await;
}

#[tokio::test]
async fn a_request_waits_for_one_fetch_at_most() {
    let slow_fault = KeySetAnswer::of(StatusCode::SERVICE_UNAVAILABLE, "");
    let provider = Provider::start(slow_fault.after(Duration::from_secs(1))).await;
    let authenticator = provider.authenticator();
    // While the first one fetches, the others come 3 s after one another by their clocks.
    let verify = |number| {
        let authenticator = Arc::clone(&authenticator);
        let now_ms = NOW_MS + number * 3000;
        tokio::spawn(async move { outcome(&authenticator, &rsa_token("k1"), now_ms).await })
    };
    for task in (0..10_i64).map(verify).collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), Err(AuthError::KeysUnavailable));
    }
    assert_eq!(provider.requests(), 1);
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_fetch() {
    let keys =
        KeySetAnswer::keys(&[RSA.jwk("k1", Algorithm::RS256)]).after(Duration::from_millis(100));
    let provider = Provider::start(keys).await;
    let authenticator = provider.authenticator();
    let token = rsa_token("k1");
    timeout(
        Duration::from_millis(20),
        outcome(&authenticator, &token, NOW_MS),
    )
    .await
    .unwrap_err();
    expect(&authenticator, &token, 1, ALICE).await;
    assert_eq!(provider.requests(), 1);
}

#[tokio::test]
async fn a_provider_that_hangs_delays_one_request_for_a_bounded_time() {
    let good = KeySetAnswer::keys(&[RSA.jwk("k1", Algorithm::RS256)]);
    let provider = Provider::start(good.clone()).await;
    let authenticator = provider.authenticator();
    let token = rsa_token("k1");
    expect(&authenticator, &token, 0, ALICE).await;

    provider.answers(good.after(Duration::from_secs(60)));
    let begin = Instant::now();
    let stale_ms = NOW_MS + FRESH_MS;
    let delayed = tokio::spawn({
        let (authenticator, token) = (Arc::clone(&authenticator), token.clone());
        async move { outcome(&authenticator, &token, stale_ms).await }
    });
    sleep(Duration::from_millis(100)).await;
    expect(&authenticator, &token, FRESH_MS, ALICE).await;
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "the second request waited for the first"
    );
    assert_eq!(delayed.await.unwrap(), alice());
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "the fetch was not cut off"
    );
}

#[tokio::test]
async fn a_token_without_a_key_id_is_served_when_one_key_fits() {
    let provider = Provider::start(KeySetAnswer::keys(&[
        RSA.jwk("k1", Algorithm::RS256),
        P256.jwk("k2", Algorithm::ES256),
        json!({"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "future", "kid": 7}),
    ]))
    .await;
    let bare = token(&RSA, Algorithm::RS256, None);
    expect(&provider.authenticator(), &bare, 0, ALICE).await;

    provider.answers(KeySetAnswer::keys(&[
        RSA.jwk("k1", Algorithm::RS256),
        STRANGER.jwk("k3", Algorithm::RS256),
    ]));
    expect(&provider.authenticator(), &bare, 0, REFUSED).await;
}

#[tokio::test]
async fn a_header_that_points_to_a_key_is_never_followed() {
    let provider =
        Provider::start(KeySetAnswer::keys(&[STRANGER.jwk("k1", Algorithm::RS256)])).await;
    let authenticator = by_file(&["RS256"], &RSA.public_pem).unwrap();
    let mut header = Header::new(Algorithm::RS256);
    header.jku = Some(provider.url.to_string());
    header.x5u = Some(provider.url.to_string());
    header.kid = Some(provider.url.to_string());
    let honest = RSA.token(&header, &good_claims());
    expect(&authenticator, &honest, 0, ALICE).await;
    let forged = STRANGER.token(&header, &good_claims());
    expect(&authenticator, &forged, 0, REFUSED).await;
    assert_eq!(provider.requests(), 0);
}
