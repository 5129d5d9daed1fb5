//! Forged and malformed tokens. All of them get the same answer.

use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::*;

/// A token of any header and payload, signed by HMAC with `secret`, or not at all.
fn forged(header: &Value, payload: &str, secret: Option<&[u8]>) -> String {
    let message = format!(
        "{}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(header.to_string()),
        BASE64_URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = secret.map_or_else(String::new, |secret| {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap()
    });
    format!("{message}.{signature}")
}

/// A token by the trusted key, with `change` laid over good claims; a null removes a claim.
fn with_claims(change: Value) -> String {
    let mut claims = good_claims();
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    RSA.token(&Header::new(Algorithm::RS256), &claims)
}

fn with_header(key: &TestKey, change: impl FnOnce(&mut Header)) -> String {
    let mut header = Header::new(Algorithm::RS256);
    change(&mut header);
    key.token(&header, &good_claims())
}

fn part(token: &str, index: usize) -> &str {
    token.split('.').nth(index).unwrap()
}

#[tokio::test]
async fn hostile_tokens_get_one_answer() {
    let authenticator = by_file(&["RS256"], &RSA.public_pem).unwrap();
    let good = with_claims(json!({}));
    assert!(authenticator.verify(&good, NOW_MS).await.is_ok());

    let payload = good_claims().to_string();
    let other_payload = BASE64_URL_SAFE_NO_PAD.encode(payload.replace("alice", "admin"));
    let der = BASE64_STANDARD
        .decode(RSA.public_pem.lines().nth(1).unwrap())
        .unwrap();
    let confused = json!({"alg": "HS256"});
    let stranger_jwk: Jwk = serde_json::from_value(STRANGER.jwk("k1", Algorithm::RS256)).unwrap();
    for (what, token) in [
        ("alg none", forged(&json!({"alg": "none"}), &payload, None)),
        ("alg None", forged(&json!({"alg": "None"}), &payload, None)),
        (
            "alg missing",
            forged(&json!({"typ": "JWT"}), &payload, None),
        ),
        (
            "alg twice",
            good.replace(
                part(&good, 0),
                &BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","alg":"none"}"#),
            ),
        ),
        (
            "HS256 with the public PEM",
            forged(&confused, &payload, Some(RSA.public_pem.as_bytes())),
        ),
        (
            "HS256 with the public DER",
            forged(&confused, &payload, Some(&der)),
        ),
        ("HS256 with nothing", forged(&confused, &payload, Some(b""))),
        (
            "an unpinned algorithm of the same key",
            RSA.token(&Header::new(Algorithm::RS512), &good_claims()),
        ),
        (
            "another key",
            STRANGER.token(&Header::new(Algorithm::RS256), &good_claims()),
        ),
        (
            "a tampered payload",
            good.replace(part(&good, 1), &other_payload),
        ),
        ("a stripped signature", good.replace(part(&good, 2), "")),
        (
            "a signature of another token",
            good.replace(part(&good, 2), part(&with_claims(json!({"sub": "bob"})), 2)),
        ),
        ("exp missing", with_claims(json!({"exp": null}))),
        ("exp past", with_claims(json!({"exp": NOW_MS / 1000 - 11}))),
        ("exp as text", with_claims(json!({"exp": "9999999999"}))),
        (
            "nbf in the future",
            with_claims(json!({"nbf": NOW_MS / 1000 + 60})),
        ),
        (
            "wrong iss",
            with_claims(json!({"iss": "https://evil.example.com/"})),
        ),
        ("wrong aud", with_claims(json!({"aud": "another-service"}))),
        ("no user", with_claims(json!({"sub": null}))),
        (
            "a kid of 10 KB",
            with_header(&RSA, |header| header.kid = Some("k".repeat(10_000))),
        ),
        (
            "a critical extension",
            with_header(&RSA, |header| header.crit = Some(vec!["b64".to_owned()])),
        ),
        (
            "jku",
            with_header(&STRANGER, |header| {
                header.jku = Some("https://evil.example.com/jwks".to_owned())
            }),
        ),
        (
            "x5u",
            with_header(&STRANGER, |header| {
                header.x5u = Some("https://evil.example.com/cert".to_owned())
            }),
        ),
        (
            "jwk",
            with_header(&STRANGER, |header| header.jwk = Some(stranger_jwk)),
        ),
        (
            "kid as a path",
            with_header(&STRANGER, |header| {
                header.kid = Some("../../../../dev/null".to_owned())
            }),
        ),
        ("20 KB", with_claims(json!({"padding": "x".repeat(20_000)}))),
        (
            "a payload that is no object",
            RSA.token(&Header::new(Algorithm::RS256), &json!(["alice"])),
        ),
        ("four parts", format!("{good}.{}", part(&good, 2))),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned()),
        ("padding in base64", good.replace('.', "=.")),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("no base64", "Ω.Ω.Ω".to_owned()),
    ] {
        assert_eq!(
            authenticator.verify(&token, NOW_MS).await,
            Err(AuthError::Refused),
            "{what}"
        );
    }
}

#[tokio::test]
async fn no_hmac_token_passes_another_secret() {
    let key = |secret: &str| AuthConfig::with_secret(SigningKey::from_secret(secret).unwrap());
    let ours = Authenticator::new(&key(SECRET)).unwrap();
    let theirs = key(&SECRET.replace('0', "1"));
    let token = sign(
        &theirs,
        "alice",
        Map::new(),
        NOW_MS,
        Duration::from_secs(60),
    )
    .unwrap();
    assert_eq!(ours.verify(&token, NOW_MS).await, Err(AuthError::Refused));
    let claims = json!({"sub": "alice", "exp": NOW_MS / 1000 + 60});
    let unpinned = Header::new(Algorithm::HS512);
    let token = jsonwebtoken::encode(
        &unpinned,
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap();
    assert_eq!(ours.verify(&token, NOW_MS).await, Err(AuthError::Refused));
}
