//! Settings that would be unsafe: credentials, secrets, algorithms, webhooks.

use super::*;

#[test]
fn who_the_gateway_is_to_mongodb_is_said_once_and_out_of_files() {
    let url = |url: &str| GOOD.replace("mongodb://db1,db2/app", url);
    let anonymous = url("mongodb://db1/app");
    let named = url("mongodb://gateway@db1/app");
    let whole = url("mongodb://gateway:hunter2@db1/app");
    let user = ("TIDEGATE_STORE__USERNAME", "gateway");
    let password = ("TIDEGATE_STORE__PASSWORD", "hunter2");
    for (text, env, expected) in [
        (&anonymous, &[user, password][..], ""),
        (&named, &[password], ""),
        (&anonymous, &[password], "store.password has no user name"),
        (
            &anonymous,
            &[user],
            "store.url has a user without a password",
        ),
        (&named, &[], "store.url has a user without a password"),
        (
            &whole,
            &[user],
            "store.username stands beside the user name in store.url",
        ),
        (
            &whole,
            &[password],
            "store.password stands beside the password in store.url",
        ),
    ] {
        match load(text, env) {
            Ok(loaded) => assert_eq!((lines(&loaded.warnings).as_str(), expected), ("", "")),
            Err(problems) => {
                let problems = lines(&problems);
                assert!(
                    !expected.is_empty() && problems.contains(expected),
                    "{expected}: {problems}"
                );
                assert!(!problems.contains("hunter2"), "{problems}");
            }
        }
    }
    let loaded = load(&whole, &[]).unwrap();
    assert_eq!(
        lines(&loaded.warnings),
        "tidegate.toml:3: store.url has a password, which stands in a file; TIDEGATE_STORE__URL keeps it out of backups and commits\n"
    );
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn unsafe_authentication_is_refused_by_name() {
    for (name, value, expected) in [
        (
            "TIDEGATE_AUTH__ALGORITHMS",
            "",
            "auth.algorithms is refused: no algorithm is named; \
             name those your tokens are signed with, such as [\"RS256\"]",
        ),
        (
            "TIDEGATE_AUTH__ALGORITHMS",
            "RS256,none",
            "auth.algorithms is refused: \"none\" would accept tokens that anybody can write",
        ),
        (
            "TIDEGATE_AUTH__ALGORITHMS",
            "RS265",
            "auth.algorithms is refused: \"RS265\" is not a supported algorithm; the nearest one is RS256",
        ),
        (
            "TIDEGATE_AUTH__ALGORITHMS",
            "RS256,HS256",
            "auth.algorithms is refused: HS algorithms cannot stand beside RS, PS, ES or EdDSA: \
             a public key could then be used as a shared secret to forge tokens",
        ),
        (
            "TIDEGATE_AUTH__ALGORITHMS",
            "HS256",
            "auth.algorithms do not fit: HS algorithms go with a shared secret, \
             and a shared secret goes with HS algorithms alone",
        ),
        (
            "TIDEGATE_AUTH__SECRET",
            SECRET,
            "auth.secret stands beside auth.jwks_url (tidegate.toml:6); keep one of them",
        ),
        (
            "TIDEGATE_AUTH__JWKS_URL",
            "http://id.example.com/jwks.json",
            "auth.jwks_url must begin with https:// (http:// only for this machine)",
        ),
        (
            "TIDEGATE_AUTH__JWKS_URL",
            "http://localhost.example.com/",
            "auth.jwks_url must begin with https:// (http:// only for this machine)",
        ),
        (
            "TIDEGATE_AUTH__JWKS_URL",
            "file:///etc/passwd",
            "auth.jwks_url must begin with https:// (http:// only for this machine)",
        ),
        (
            "TIDEGATE_AUTH__JWKS_URL",
            "https://me:hunter2@id.example.com/",
            "auth.jwks_url carries a user name or a password; key sets are public",
        ),
        (
            "TIDEGATE_AUTH__JWKS_URL",
            "id.example.com/jwks.json",
            "auth.jwks_url must be a URL, such as \"https://id.example.com/jwks.json\"",
        ),
    ] {
        assert_eq!(problem(name, value), expected, "{name}={value}");
    }
    assert!(
        load(
            GOOD,
            &[("TIDEGATE_AUTH__JWKS_URL", "http://127.0.0.1:8080/jwks.json")]
        )
        .is_ok()
    );
}

#[test]
fn a_secret_has_32_bytes_and_is_not_repeated() {
    let text = "[store]\nurl = \"embedded:data\"\n[auth]\nalgorithms = [\"HS256\"]\n";
    let short = [("TIDEGATE_AUTH__SECRET", "hunter2")];
    assert_eq!(
        problems(text, &short),
        "TIDEGATE_AUTH__SECRET: auth.secret is refused: the secret has fewer than 32 bytes\n"
    );
    let loaded = load(text, &[("TIDEGATE_AUTH__SECRET", SECRET)]).unwrap();
    assert_eq!(lines(&loaded.warnings), "");
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn what_is_allowed_but_doubtful_is_a_warning() {
    let text = r#"
[store]
url = "embedded:data"
[auth]
algorithms = ["ES256"]
jwks_url = "https://id.example.com/jwks.json"
[graphql]
introspection = true
graphiql = true
"#;
    let loaded = load(text, &[]).unwrap();
    insta::assert_snapshot!(lines(&loaded.warnings), @r"
    tidegate.toml:8: graphql.introspection is on: everybody can read the whole schema at /schema.graphql, without a token
    tidegate.toml:9: graphql.graphiql is on: it is meant for development
    auth.audience is not set, so every token that names an audience will be refused
    auth.issuer is not set, so tokens of every issuer that shares these keys are accepted
    ");
}

#[test]
fn webhooks_have_addresses_and_a_secret_wherever_they_are_written() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let webhooks = |text: &str, env: &[(&str, &str)]| {
        let loaded = load(&format!("{GOOD}{text}"), env).map_err(|problems| lines(&problems));
        loaded.map(|loaded| loaded.config.webhooks)
    };
    let secret = ("TIDEGATE_WEBHOOKS__SECRET", SECRET);
    let of_file = "[webhooks]\ntimeout = \"2s\"\nconcurrency = 3\n[webhooks.urls]\nreview = \"https://app.example.com/r\"\n";
    let of_file = webhooks(of_file, &[secret]).unwrap();
    assert_eq!(of_file.urls["review"].as_str(), "https://app.example.com/r");
    assert_eq!((of_file.answer_max.as_secs(), of_file.concurrency), (2, 3));
    let urls = "review=https://app.example.com/r, local=http://127.0.0.1:5000/";
    let of_environment = webhooks("", &[secret, ("TIDEGATE_WEBHOOKS__URLS", urls)]).unwrap();
    assert_eq!(of_environment.urls.len(), 2);
    for (text, complaint) in [
        (
            "[webhooks.urls]\nreview = \"http://app.example.com/\"",
            "webhooks.urls must begin with https://",
        ),
        (
            "[webhooks.urls]\nreview = 7",
            "webhooks.urls must be addresses by name",
        ),
        (
            "[webhooks]\ntimeout = \"1h\"",
            "webhooks.timeout must lie between 1s and 10s",
        ),
        (
            "[webhooks]\nconcurrency = 0",
            "webhooks.concurrency must be a whole number from 1 to 1000",
        ),
    ] {
        let problems = webhooks(text, &[secret]).unwrap_err();
        assert!(problems.contains(complaint), "{problems}");
    }
    let unsigned = webhooks(
        "[webhooks.urls]\nreview = \"https://app.example.com/\"",
        &[],
    );
    assert!(unsigned.unwrap_err().contains("webhooks.secret is not set"));
    let short = webhooks("[webhooks]\nsecret = \"hunter2\"", &[]).unwrap_err();
    assert!(
        short.contains("webhooks.secret is refused") && !short.contains("hunter2"),
        "{short}"
    );
}
