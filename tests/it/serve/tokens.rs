//! Which tokens a gateway accepts: by public keys in a file, by keys behind a URL, and no others.
//!
//! [`hostile`] has hostile tokens. The unit tests of `auth` rotate keys over minutes, where the clock can be set.

mod hostile;

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use axum::{Router, http::StatusCode, routing::get};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{code_of, configured};
use crate::harness::{Server, Socket, command};

/// A key pair of an identity provider.
pub(crate) struct Key {
    private: EncodingKey,
    pub(crate) public_pem: String,
    pub(crate) algorithm: Algorithm,
}

impl Key {
    fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let private = pem("PRIVATE KEY", der.as_ref());
        Self {
            private: EncodingKey::from_rsa_pem(private.as_bytes()).unwrap(),
            public_pem: public_pem(pair.public_key()),
            algorithm: Algorithm::RS256,
        }
    }

    pub(crate) fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            private: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
            public_pem: public_pem(pair.public_key()),
            algorithm: Algorithm::ES256,
        }
    }

    fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self {
            private: EncodingKey::from_ed_der(der.as_ref()),
            public_pem: public_pem(pair.public_key()),
            algorithm: Algorithm::EdDSA,
        }
    }

    pub(crate) fn token(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }

    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }
}

fn public_pem(key: &impl AsDer<PublicKeyX509Der<'static>>) -> String {
    pem("PUBLIC KEY", key.as_der().unwrap().as_ref())
}

fn pem(label: &str, der: &[u8]) -> String {
    let der = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{der}\n-----END {label}-----\n")
}

fn now_s() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

/// The claims of a good token for alice, with changes; null removes one.
pub(crate) fn claims(changed: Value) -> Value {
    let mut claims = json!({
        "sub": "alice", "iss": "https://id.example.com/", "aud": "tidegate", "exp": now_s() + 600, "teams": ["demo"],
    });
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    claims
}

/// A gateway by a directory's configuration.
fn serve(directory: &TempDir) -> Server {
    let mut command = command(directory.path());
    command.arg("serve");
    Server::start(directory.path(), command)
}

/// A directory with a configuration that has this in its `[auth]`.
pub(crate) fn directory(algorithm: Algorithm, source: &str) -> TempDir {
    configured(&format!(
        "listen = \"127.0.0.1:0\"\n[store]\nurl = \"embedded:data\"\n[auth]\nalgorithms = [\"{algorithm:?}\"]\n{source}\n\
         issuer = \"https://id.example.com/\"\naudience = \"tidegate\"\nleeway = \"0s\"\n"
    ))
}

/// A gateway that accepts the tokens of `key`, whose public half it has in a file.
fn believer(key: &Key) -> (TempDir, Server) {
    let directory = directory(key.algorithm, "public_key_file = \"key.pem\"");
    fs::write(directory.path().join("key.pem"), &key.public_pem).unwrap();
    let server = serve(&directory);
    (directory, server)
}

/// The status and the body that a request with this `Authorization` gets.
async fn ask(server: &Server, authorization: Option<&str>) -> (u16, String) {
    let request = reqwest::Client::new().post(format!("{}/graphql", server.url));
    let request = request
        .header("content-type", "application/json")
        .body(r#"{"query":"{ viewer { id } }"}"#);
    let header = |request: reqwest::RequestBuilder, value| request.header("authorization", value);
    let response = authorization
        .into_iter()
        .fold(request, header)
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn ask_with(server: &Server, token: &str) -> (u16, String) {
    ask(server, Some(&format!("Bearer {token}"))).await
}

const ALICE: &str = r#"{"data":{"viewer":{"id":"alice"}}}"#;

#[tokio::test]
async fn a_public_key_in_a_file_verifies_rs256_es256_and_eddsa() {
    for key in [Key::rsa(), Key::p256(), Key::ed25519()] {
        let (_directory, server) = believer(&key);
        let answer = ask_with(&server, &key.token(None, &claims(json!({})))).await;
        assert_eq!(answer, (200, ALICE.to_owned()), "{:?}", key.algorithm);
    }
}

#[tokio::test]
async fn a_request_without_a_bearer_token_is_refused() {
    let key = Key::rsa();
    let (_directory, server) = believer(&key);
    let signed = key.token(None, &claims(json!({})));
    for header in [
        None,
        Some("Bearer "),
        Some("Basic YTpi"),
        Some(signed.as_str()),
    ] {
        let (status, body) = ask(&server, header).await;
        assert_eq!(
            (status, code_of(&body)),
            (401, "UNAUTHENTICATED".to_owned()),
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let key = Key::p256();
    let (_directory, server) = believer(&key);
    let token = key.token(None, &claims(json!({"exp": now_s() + 2})));
    let client = super::client(&server, &token);
    let mut socket = Socket::follow(&client, "").await;
    assert_eq!(socket.page().await["reset"], true);
    assert_eq!(
        socket.close_code().await,
        4403,
        "clients resume with a new token"
    );
}

#[test]
fn a_key_file_of_no_use_is_refused_at_the_start() {
    for (text, reported) in [
        (Some(Key::p256().public_pem), "cannot verify RS256"),
        (Some("no key at all".to_owned()), "is not a public key"),
        (None, "key.pem cannot be read"),
    ] {
        let directory = directory(Algorithm::RS256, "public_key_file = \"key.pem\"");
        if let Some(text) = text {
            fs::write(directory.path().join("key.pem"), text).unwrap();
        }
        let complaint = crate::harness::complaint(directory.path(), &["serve"]);
        assert!(complaint.contains(reported), "{complaint}");
    }
}

/// An identity provider on this machine.
pub(crate) struct Provider {
    pub(crate) url: String,
    /// The key set that it publishes; without one it fails.
    keys: Arc<Mutex<Option<Value>>>,
    requests: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            url: format!("http://{}/jwks.json", listener.local_addr().unwrap()),
            keys: Arc::default(),
            requests: Arc::default(),
        };
        let (keys, requests) = (provider.keys.clone(), provider.requests.clone());
        let answer = async move || {
            requests.fetch_add(1, Ordering::SeqCst);
            match keys.lock().unwrap().clone() {
                Some(keys) => (StatusCode::OK, json!({"keys": keys}).to_string()),
                None => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            }
        };
        let router = Router::new().route("/jwks.json", get(answer));
        tokio::spawn(axum::serve(listener, router).into_future());
        provider
    }

    pub(crate) fn publish(&self, keys: Value) {
        *self.keys.lock().unwrap() = Some(keys);
    }

    /// Fails from now on.
    pub(crate) fn fail(&self) {
        *self.keys.lock().unwrap() = None;
    }
}

#[tokio::test]
async fn keys_behind_a_url_are_fetched_when_needed_and_asked_for_seldom() {
    let provider = Provider::start().await;
    let (first, second, stranger) = (Key::p256(), Key::p256(), Key::p256());
    let directory = directory(
        Algorithm::ES256,
        &format!("jwks_url = \"{}\"", provider.url),
    );
    let server = serve(&directory);
    let good = claims(json!({}));
    let token = first.token(Some("first"), &good);

    let (status, body) = ask_with(&server, &token).await;
    assert_eq!(
        (status, code_of(&body)),
        (503, "SERVICE_UNAVAILABLE".to_owned()),
        "the provider is down"
    );
    let readiness = reqwest::get(format!("{}/readyz", server.url))
        .await
        .unwrap();
    assert_eq!(readiness.status(), 503, "no token can be verified");
    let body: Value = serde_json::from_str(&readiness.text().await.unwrap()).unwrap();
    assert_eq!(body["missing"], json!(["keys"]));

    provider.publish(json!([first.jwk("first"), second.jwk("second")]));
    let began = Instant::now();
    while ask_with(&server, &token).await.0 != 200 {
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "it tries again soon"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let fetched = provider.requests.load(Ordering::SeqCst);
    assert!(
        fetched <= 4,
        "{fetched} requests while the provider was down"
    );

    assert_eq!(
        ask_with(&server, &second.token(Some("second"), &good))
            .await
            .1,
        ALICE
    );
    for kid in ["invented", "first ", "../first", "second"] {
        let (status, body) = ask_with(&server, &stranger.token(Some(kid), &good)).await;
        assert_eq!(
            (status, code_of(&body)),
            (401, "UNAUTHENTICATED".to_owned()),
            "{kid}"
        );
    }
    assert_eq!(
        provider.requests.load(Ordering::SeqCst),
        fetched,
        "invented key ids cost the provider nothing"
    );

    provider.fail();
    assert_eq!(
        ask_with(&server, &token).await.1,
        ALICE,
        "known keys outlive their provider"
    );
}
