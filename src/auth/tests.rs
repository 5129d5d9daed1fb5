//! Tests of authentication with real keys. `provider` serves key sets that rotate, fail and misbehave. `tests/it` offers
//! forged tokens to a real gateway.

mod provider;

use std::{sync::LazyLock, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair,
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";

static RSA: LazyLock<TestKey> = LazyLock::new(TestKey::rsa);
static STRANGER: LazyLock<TestKey> = LazyLock::new(TestKey::rsa);
static P256: LazyLock<TestKey> = LazyLock::new(|| TestKey::ec(&ECDSA_P256_SHA256_FIXED_SIGNING));
static P384: LazyLock<TestKey> = LazyLock::new(|| TestKey::ec(&ECDSA_P384_SHA384_FIXED_SIGNING));
static ED: LazyLock<TestKey> = LazyLock::new(TestKey::ed);

struct TestKey {
    private: EncodingKey,
    public_pem: String,
}

impl TestKey {
    fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let private =
            EncodingKey::from_rsa_pem(pem("PRIVATE KEY", der.as_ref()).as_bytes()).unwrap();
        TestKey {
            private,
            public_pem: public_pem(pair.public_key()),
        }
    }

    fn ec(algorithm: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let private = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        TestKey {
            private,
            public_pem: public_pem(pair.public_key()),
        }
    }

    fn ed() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        TestKey {
            private: EncodingKey::from_ed_der(der.as_ref()),
            public_pem: public_pem(pair.public_key()),
        }
    }

    fn jwk(&self, kid: &str, algorithm: Algorithm) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private, algorithm).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn token(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.private).unwrap()
    }
}

fn public_pem(key: &impl AsDer<PublicKeyX509Der<'static>>) -> String {
    pem("PUBLIC KEY", key.as_der().unwrap().as_ref())
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        BASE64_STANDARD.encode(der)
    )
}

/// The settings of a gateway that trusts `keys` for tokens to "tidegate" by
/// "https://id.example.com/".
fn config(algorithms: &[&str], keys: KeySource) -> AuthConfig {
    let names: Vec<String> = algorithms.iter().map(|name| (*name).to_owned()).collect();
    AuthConfig {
        algorithms: Algorithms::parse(&names).unwrap(),
        keys,
        previous_secret: None,
        issuer: Some("https://id.example.com/".to_owned()),
        audience: Some("tidegate".to_owned()),
        user_claim: "sub".to_owned(),
        leeway_s: 10,
    }
}

fn by_file(algorithms: &[&str], pem: &str) -> Result<Authenticator, AuthSetupError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    Authenticator::new(&config(
        algorithms,
        KeySource::PublicKeyFile(file.path().to_owned()),
    ))
}

fn good_claims() -> Value {
    json!({
        "sub": "alice", "iss": "https://id.example.com/", "aud": "tidegate",
        "exp": NOW_MS / 1000 + 60, "teams": ["42"],
    })
}

#[tokio::test]
async fn each_algorithm_is_verified_by_the_right_key_alone() {
    for (algorithm, key) in [
        (Algorithm::RS256, &RSA),
        (Algorithm::RS384, &RSA),
        (Algorithm::RS512, &RSA),
        (Algorithm::PS256, &RSA),
        (Algorithm::PS384, &RSA),
        (Algorithm::PS512, &RSA),
        (Algorithm::ES256, &P256),
        (Algorithm::ES384, &P384),
        (Algorithm::EdDSA, &ED),
    ] {
        let authenticator = by_file(&[&format!("{algorithm:?}")], &key.public_pem).unwrap();
        let token = key.token(&Header::new(algorithm), &good_claims());
        let verified = authenticator.verify(&token, NOW_MS).await.unwrap();
        assert_eq!(verified.user, "alice");
        assert_eq!(verified.claims["teams"], json!(["42"]));
        assert_eq!(verified.expires_at_ms, NOW_MS + 70_000);

        let other = if algorithm.family() == STRANGER.private.family() {
            STRANGER.token(&Header::new(algorithm), &good_claims())
        } else {
            STRANGER.token(&Header::new(Algorithm::RS256), &good_claims())
        };
        assert_eq!(
            authenticator.verify(&other, NOW_MS).await,
            Err(AuthError::Refused),
            "{algorithm:?}"
        );
    }
}

#[tokio::test]
async fn a_signed_token_is_accepted_by_a_gateway_with_the_same_settings() {
    for algorithm in ["HS256", "HS384", "HS512"] {
        let key = SigningKey::from_secret(SECRET).unwrap();
        let mut config = config(&[algorithm], KeySource::Secret(key));
        config.user_claim = "uid".to_owned();
        let claims = Map::from_iter([("teams".to_owned(), json!(["42"]))]);
        let token = sign(&config, "alice", claims, NOW_MS, Duration::from_secs(3600)).unwrap();
        let verified = Authenticator::new(&config)
            .unwrap()
            .verify(&token, NOW_MS)
            .await
            .unwrap();
        assert_eq!(
            (verified.user.as_str(), &verified.claims["sub"]),
            ("alice", &json!("alice"))
        );
        assert_eq!(verified.claims["teams"], json!(["42"]));
        assert_eq!(verified.expires_at_ms, NOW_MS + 3_610_000);
    }
}

#[test]
fn signing_needs_a_secret_and_a_name() {
    let sign = |config: &AuthConfig, user: &str| {
        sign(config, user, Map::new(), NOW_MS, Duration::from_secs(1))
            .map_err(|error| error.to_string())
    };
    let by_secret = AuthConfig::with_secret(SigningKey::from_secret(SECRET).unwrap());
    assert!(sign(&by_secret, "").unwrap_err().contains("1 to 200 bytes"));
    let by_file = config(
        &["RS256"],
        KeySource::PublicKeyFile(PathBuf::from("key.pem")),
    );
    assert!(
        sign(&by_file, "alice")
            .unwrap_err()
            .contains("identity provider")
    );
}

#[test]
fn signing_lets_no_claim_stand_against_its_own() {
    let key = SigningKey::from_secret(SECRET).unwrap();
    let config = config(&["HS256"], KeySource::Secret(key));
    for name in ["sub", "iat", "exp", "iss", "aud"] {
        let claims = Map::from_iter([(name.to_owned(), json!("other"))]);
        let signed = sign(&config, "alice", claims, NOW_MS, Duration::from_secs(1));
        assert!(signed.unwrap_err().to_string().contains(name));
    }
}

#[test]
fn unsafe_or_useless_keys_are_refused_at_start_up() {
    let missing = KeySource::PublicKeyFile(PathBuf::from("no/such/key.pem"));
    let private = pem("PRIVATE KEY", &[0; 64]);
    let setup = |result: Result<Authenticator, AuthSetupError>| result.err().unwrap().to_string();
    for (error, part) in [
        (
            SigningKey::from_secret(&SECRET[1..])
                .unwrap_err()
                .to_string(),
            "fewer than 32 bytes",
        ),
        (
            setup(Authenticator::new(&config(&["RS256"], missing))),
            "no/such/key.pem cannot be read",
        ),
        (
            setup(by_file(&["RS256"], &private)),
            "is not a public key in PEM form",
        ),
        (
            setup(by_file(&["RS256"], "")),
            "is not a public key in PEM form",
        ),
        (
            setup(by_file(&["RS256", "ES256"], &RSA.public_pem)),
            "cannot verify ES256",
        ),
        (
            setup(by_file(&["ES256"], &P384.public_pem)),
            "cannot verify ES256",
        ),
        (
            setup(by_file(&["HS256"], &RSA.public_pem)),
            "cannot verify HS256",
        ),
    ] {
        assert!(error.contains(part), "{error}");
    }
    let key = SigningKey::from_secret(SECRET).unwrap();
    assert!(!format!("{:?}", AuthConfig::with_secret(key.clone())).contains("0123"));
    assert!(
        setup(Authenticator::new(&config(
            &["RS256"],
            KeySource::Secret(key)
        )))
        .contains("shared secret")
    );
}

#[test]
fn a_bearer_token_is_found_in_its_header() {
    for (header, expected) in [
        (Some("Bearer abc"), Ok("abc")),
        (Some(" bearer  abc "), Ok("abc")),
        (Some("Bearer"), Err(AuthError::Missing)),
        (Some("Bearer "), Err(AuthError::Missing)),
        (Some("Basic YTpi"), Err(AuthError::Missing)),
        (Some("Bearerabc"), Err(AuthError::Missing)),
        (Some(""), Err(AuthError::Missing)),
        (None, Err(AuthError::Missing)),
    ] {
        assert_eq!(bearer(header), expected, "{header:?}");
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
