//! Tokens of attackers, sent to real gateways over HTTP and sockets: all get the same answer.
//!
//! The parent tests which claims a good token has, and what happens when keys change.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::serve::client;

/// An answer, without what differs with every request.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// The answers to a request and to a socket with this token.
#[derive(Debug, PartialEq)]
struct Reported {
    posted: Answer,
    asked_by_url: Answer,
    asked_for_the_schema: Answer,
    closed: String,
}

async fn offer(http: &reqwest::Client, server: &Server, token: &str) -> Reported {
    let url = |path: &str| format!("{}{path}", server.url);
    let post = http
        .post(url("/graphql"))
        .header("content-type", "application/json")
        .body(r#"{"query":"{ viewer { id } }"}"#);
    let get = http.get(url("/graphql?query=%7Bviewer%7Bid%7D%7D"));
    Reported {
        posted: answer(post, token).await,
        asked_by_url: answer(get, token).await,
        asked_for_the_schema: answer(http.get(url("/schema.graphql")), token).await,
        closed: closed(server, token).await,
    }
}

async fn answer(request: reqwest::RequestBuilder, token: &str) -> Answer {
    let response = request.bearer_auth(token).send().await.unwrap();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| {
        let value = value.to_str().unwrap().to_owned();
        (name.to_string(), value)
    });
    Answer {
        status: response.status().as_u16(),
        headers: headers
            .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
            .collect(),
        body: response.text().await.unwrap(),
    }
}

/// How a socket with this token ends.
async fn closed(server: &Server, token: &str) -> String {
    let mut socket = Socket::open(&server.url).await;
    let payload = json!({"Authorization": format!("Bearer {token}")});
    let init = json!({"type": "connection_init", "payload": payload});
    socket.send(init).await;
    socket.try_next().await.expect_err("it is not taken")
}

fn encode(part: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part)
}

/// A token with any header and payload, signed with this key.
fn signed(header: &Value, payload: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(payload));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// Forged from public knowledge: without a signature, or with the public key as a shared secret.
fn unsigned_and_confused(key: &Key) -> Vec<(String, String)> {
    let payload = claims(json!({})).to_string();
    let good = key.token(Some("k1"), &claims(json!({})));
    let signature = good.rsplit_once('.').unwrap().1;
    let mut tokens = Vec::new();
    for spelling in [
        "none", "None", "NONE", "nOnE", " none", "none\0", "", "null",
    ] {
        let head = encode(json!({"alg": spelling, "kid": "k1"}).to_string());
        let message = format!("{head}.{}", encode(&payload));
        for (how, signature) in [("unsigned", ""), ("signed", signature)] {
            let token = format!("{message}.{signature}");
            tokens.push((format!("alg {spelling:?}, {how}"), token));
        }
    }
    for header in [json!({}), json!({"alg": null}), json!({"alg": ["RS256"]})] {
        let token = signed(&header, &payload, &key.private, Algorithm::RS256);
        tokens.push((header.to_string(), token));
    }
    let pem = key.public_pem.as_bytes();
    let der = BASE64_STANDARD.decode(key.public_pem.lines().nth(1).unwrap());
    let jwk = key.jwk("k1").to_string();
    for (what, secret) in [
        ("the PEM", pem),
        ("the PEM without its last line's end", pem.trim_ascii_end()),
        ("the DER", &der.unwrap()[..]),
        ("the JWK", jwk.as_bytes()),
        ("nothing", b""),
    ] {
        let secret = EncodingKey::from_secret(secret);
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = json!({"alg": format!("{algorithm:?}"), "kid": "k1"});
            let token = signed(&header, &payload, &secret, algorithm);
            tokens.push((format!("{algorithm:?} with {what}"), token));
        }
        // The shared secret's signature under the pinned name.
        let header = json!({"alg": "RS256", "kid": "k1"});
        let token = signed(&header, &payload, &secret, Algorithm::HS256);
        tokens.push((format!("RS256 in name, with {what}"), token));
    }
    tokens
}

/// Signed by the right key, but for another user or purpose, or changed afterwards.
fn misused(key: &Key) -> Vec<(String, String)> {
    let good = key.token(Some("k1"), &claims(json!({})));
    let parts: Vec<&str> = good.split('.').collect();
    let other = key.token(Some("k1"), &claims(json!({"sub": "bob"})));
    let others: Vec<&str> = other.split('.').collect();
    let changed = [
        [parts[0], others[1], parts[2]].join("."),
        [parts[0], parts[1], others[2]].join("."),
        [
            &encode(json!({"alg": "RS384", "kid": "k1"}).to_string()),
            parts[1],
            parts[2],
        ]
        .join("."),
        [
            &encode(r#"{"alg":"RS256","alg":"none","kid":"k1"}"#),
            parts[1],
            parts[2],
        ]
        .join("."),
        signed(
            &json!({"alg": "RS512", "kid": "k1"}),
            &claims(json!({})).to_string(),
            &key.private,
            Algorithm::RS512,
        ),
        signed(
            &json!({"alg": "RS256", "kid": "k1"}),
            r#"["alice"]"#,
            &key.private,
            Algorithm::RS256,
        ),
        [parts[0], parts[1], ""].join("."),
        [parts[0], parts[1]].join("."),
        format!("{good}.{}", parts[2]),
        format!("{good}="),
        format!("{}==.{}.{}", parts[0], parts[1], parts[2]),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "rubbish".to_owned(),
        "x".repeat(20_000),
    ];
    let changed = changed.into_iter().enumerate();
    let changed = changed.map(|(number, token)| (format!("changed, {number}"), token));
    let misused = [
        json!({"exp": null}),
        json!({"exp": now_s() - 1}),
        json!({"exp": "9999999999"}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"nbf": now_s() + 300}),
        json!({"nbf": "0"}),
        json!({"iss": "https://evil.example.com/"}),
        json!({"iss": "https://id.example.com"}),
        json!({"iss": ["https://id.example.com/"]}),
        json!({"iss": null}),
        json!({"aud": "another"}),
        json!({"aud": ["another", "tidegate-too"]}),
        json!({"aud": []}),
        json!({"aud": {"tidegate": true}}),
        json!({"aud": null}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": "alice\0"}),
        json!({"sub": ["alice"]}),
        json!({"sub": {"name": "alice"}}),
        json!({"sub": "a".repeat(201)}),
    ];
    let misused = misused.map(|change| {
        let token = key.token(Some("k1"), &claims(change.clone()));
        (format!("{change:.80}"), token)
    });
    changed.chain(misused).collect()
}

/// With a header that points elsewhere: to a key of the sender's, to a file, or to rules of the sender's own.
fn misled(key: &Key, stranger: &Key) -> Vec<(String, String)> {
    let payload = claims(json!({})).to_string();
    let kids = [
        "../../../../../../dev/null",
        "/dev/null",
        "file:///dev/null",
        "k1\0",
        "\0",
        "' UNION SELECT 'secret' --",
        "|sleep 1",
        "",
    ];
    let pointers = [
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("x5u", json!("http://127.0.0.1:1/key.pem")),
        ("jwk", stranger.jwk("k1")),
        ("x5c", json!([BASE64_STANDARD.encode("a certificate")])),
    ];
    let kids = kids.map(|kid| json!({"alg": "RS256", "kid": kid}));
    let pointers = pointers.map(|(name, value)| json!({"alg": "RS256", "kid": "k1", name: value}));
    let mut headers = [&kids[..], &pointers].concat();
    headers.push(json!({"alg": "RS256"}));
    headers.push(json!({"alg": "RS256", "kid": "k1"}));
    let by_stranger = headers.iter().map(|header| {
        let token = signed(header, &payload, &stranger.private, Algorithm::RS256);
        (format!("by a stranger, {header:.200}"), token)
    });
    let empty = EncodingKey::from_secret(b"");
    let by_nothing = headers.iter().map(|header| {
        let mut header = header.clone();
        header["alg"] = json!("HS256");
        let token = signed(&header, &payload, &empty, Algorithm::HS256);
        (format!("by an empty file, {header:.200}"), token)
    });
    let refused_headers = [
        json!({"alg": "RS256", "kid": "k".repeat(10_240)}),
        json!({"alg": "RS256", "kid": 7}),
        json!({"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": false}),
        json!({"alg": "RS256", "kid": "k1", "crit": ["exp"]}),
        json!({"alg": "RS256", "kid": "k1", "crit": []}),
    ];
    let by_the_key = refused_headers.map(|header| {
        let token = signed(&header, &payload, &key.private, Algorithm::RS256);
        (format!("{header:.80}"), token)
    });
    by_stranger.chain(by_nothing).chain(by_the_key).collect()
}

/// The most bytes of a token.
const TOKEN_BYTES: usize = 16_384;

/// None of the tokens is accepted, and no answer says why, but to a token that is too long.
async fn expect_one_answer(server: &Server, key: &Key, more: Vec<(String, String)>) {
    let stranger = Key::rsa();
    let http = reqwest::Client::new();
    let expected = offer(&http, server, "x.y.z").await;
    assert_eq!(expected.posted.status, 401);
    assert_eq!(code_of(&expected.posted.body), "UNAUTHENTICATED");
    assert!(expected.closed.contains("4403"), "{}", expected.closed);
    let too_long = offer(&http, server, &"x".repeat(TOKEN_BYTES + 1)).await;
    assert_eq!(too_long.posted.status, 401);
    assert!(too_long.posted.body.contains("memberships"));
    let tokens = [
        unsigned_and_confused(key),
        misused(key),
        misled(key, &stranger),
        more,
    ];
    for (what, token) in tokens.concat() {
        let expected = match token.len() > TOKEN_BYTES {
            true => &too_long,
            false => &expected,
        };
        assert_eq!(offer(&http, server, &token).await, *expected, "{what}");
    }
    let good = key.token(Some("k1"), &claims(json!({})));
    assert_eq!(ask_with(server, &good).await.1, ALICE);
    Socket::connect(&client(server, &good)).await;
}

#[tokio::test]
async fn hostile_tokens_get_one_answer_from_a_gateway_with_a_key_file() {
    let key = Key::rsa();
    let (_directory, server) = believer(&key);
    expect_one_answer(&server, &key, Vec::new()).await;
}

#[tokio::test]
async fn hostile_tokens_get_one_answer_from_a_gateway_whose_key_set_holds_shared_secrets_too() {
    let key = Key::rsa();
    let secret = b"a secret of at least 32 bytes, which everybody can read";
    let oct = |kid: &str, more: Value| {
        let mut jwk = json!({"kty": "oct", "kid": kid, "k": encode(secret)});
        for (name, value) in more.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    };
    let provider = Provider::start().await;
    provider.publish(json!([
        oct("shared", json!({})),
        oct("named", json!({"alg": "HS256", "use": "sig"})),
        key.jwk("k1"),
        oct("k1", json!({"alg": "RS256"})),
    ]));
    let directory = directory(
        Algorithm::RS256,
        &format!("jwks_url = \"{}\"", provider.url),
    );
    let server = serve(&directory);
    let payload = claims(json!({})).to_string();
    let by_secret = ["shared", "named", "k1"].into_iter().flat_map(|kid| {
        ["HS256", "RS256"].map(|name| {
            let header = json!({"alg": name, "kid": kid});
            let key = EncodingKey::from_secret(secret);
            let token = signed(&header, &payload, &key, Algorithm::HS256);
            (format!("{name} by the shared secret {kid:?}"), token)
        })
    });
    let began = Instant::now();
    expect_one_answer(&server, &key, by_secret.collect()).await;
    let fetched = provider.requests.load(Ordering::SeqCst);
    let cooldowns = usize::try_from(began.elapsed().as_secs() / 30).unwrap();
    assert!(fetched <= 1 + cooldowns, "{fetched} requests for one key");
}
