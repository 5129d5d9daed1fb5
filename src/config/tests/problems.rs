//! Wrong settings: all of them are reported at once, with their places and what to do.

use super::*;

#[test]
fn all_problems_are_reported_at_once_with_their_places() {
    let text = r#"
listen = 4000
modle = "model.graphql"
jwks_url = "https://id.example.com/jwks.json"
limits = 5

[store]
url = "postgres://root:hunter2@db1/app"
prefix = ""
tombstone_retention = "90 days"

[auth]
algoritms = ["RS256"]
leeway = "5m"

[graphql]
introspection = "yes"

[http]
allowed_origins = ["*"]

[sotre]
url = "mongodb://db1/app"
"#;
    let env = [
        ("TIDEGATE_STORE_URL", "mongodb://root:hunter2@db1/app"),
        ("TIDEGATE_AUTH__SECRT", SECRET),
        ("TIDEGATE_LIMITS__BODY_BYTES", "1MB"),
        ("TIDEGATE_auth__issuer", "me"),
    ];
    let problems = problems(text, &env);
    assert!(!problems.contains("hunter2"));
    insta::assert_snapshot!(problems, @r#"
    tidegate.toml:2: listen must be an IP address and a port, such as "0.0.0.0:4000"
    tidegate.toml:3: modle is not a setting; the nearest one is model
    tidegate.toml:4: jwks_url is not a setting; the nearest one is auth.jwks_url
    tidegate.toml:5: limits is a section: write [limits], with its settings below
    tidegate.toml:8: store.url is refused: a store's URL is mongodb://HOSTS/DATABASE, mongodb+srv://HOST/DATABASE or embedded:PATH
    tidegate.toml:9: store.prefix must have 1 to 64 ASCII letters, digits, '.', '_' or '-'
    tidegate.toml:10: store.tombstone_retention is refused: a duration is a whole number and one of s, m, h and d, such as "90d"
    tidegate.toml:13: auth.algoritms is not a setting; the nearest one is auth.algorithms
    tidegate.toml:14: auth.leeway must be at most 30s: it is for clocks that differ, not for tokens that are late
    tidegate.toml:17: graphql.introspection must be true or false
    tidegate.toml:20: http.allowed_origins contains "*"; name the origins of your apps
    tidegate.toml:22: sotre is not a setting; the nearest one is store
    TIDEGATE_AUTH__SECRT: this variable is not a setting; the nearest one is TIDEGATE_AUTH__SECRET
    TIDEGATE_LIMITS__BODY_BYTES: limits.body_bytes must be a whole number from 1024 to 67108864
    TIDEGATE_STORE_URL: this variable is not a setting; the nearest one is TIDEGATE_STORE__URL
    TIDEGATE_auth__issuer: this variable is not a setting; the nearest one is TIDEGATE_AUTH__ISSUER
    auth has no key to check tokens with; set one of auth.jwks_url, auth.public_key_file, auth.secret
    auth.algorithms is not set; name the algorithms of your tokens, such as ["RS256"]
    "#);
}

#[test]
fn an_empty_configuration_is_answered_with_what_is_needed() {
    let problems = Config::load(None, std::iter::empty()).unwrap_err();
    insta::assert_snapshot!(lines(&problems), @r#"
    auth has no key to check tokens with; set one of auth.jwks_url, auth.public_key_file, auth.secret
    auth.algorithms is not set; name the algorithms of your tokens, such as ["RS256"]
    store.url is not set; name a store, such as "embedded:/var/lib/tidegate"
    "#);
}

#[test]
fn a_text_that_is_not_toml_is_reported_by_line_and_not_quoted() {
    let text = "[auth]\nsecret = \"hunter2-hunter2\nissuer = me\n[auth]\n";
    let problems = problems(text, &[]);
    assert!(!problems.contains("hunter2"));
    insta::assert_snapshot!(problems, @r#"
    tidegate.toml:2: this is not TOML: invalid basic string, expected `"`
    tidegate.toml:3: this is not TOML: string values must be quoted, expected literal string
    tidegate.toml:4: this is not TOML: duplicate key
    "#);
}

#[test]
fn a_value_outside_its_bounds_is_reported_with_its_bounds() {
    for (name, value, expected) in [
        (
            "TIDEGATE_LISTEN",
            "localhost:4000",
            "listen must be an IP address and a port, such as \"0.0.0.0:4000\"",
        ),
        (
            "TIDEGATE_MODEL",
            "",
            "model must be a path, such as \"model.graphql\"",
        ),
        (
            "TIDEGATE_STORE__PREFIX",
            "a$b",
            "store.prefix must have 1 to 64 ASCII letters, digits, '.', '_' or '-'",
        ),
        (
            "TIDEGATE_STORE__PREFIX",
            "system.",
            "store.prefix begins with \"system.\", which belongs to MongoDB",
        ),
        (
            "TIDEGATE_STORE__TOMBSTONE_RETENTION",
            "59m",
            "store.tombstone_retention must lie between 1h and 3650d",
        ),
        (
            "TIDEGATE_STORE__TOMBSTONE_RETENTION",
            "3651d",
            "store.tombstone_retention must lie between 1h and 3650d",
        ),
        (
            "TIDEGATE_AUTH__LEEWAY",
            "31s",
            "auth.leeway must be at most 30s: it is for clocks that differ, not for tokens that are late",
        ),
        (
            "TIDEGATE_AUTH__USER_CLAIM",
            " ",
            "auth.user_claim must be a non-empty text",
        ),
        (
            "TIDEGATE_LIMITS__BODY_BYTES",
            "1023",
            "limits.body_bytes must be a whole number from 1024 to 67108864",
        ),
        (
            "TIDEGATE_LIMITS__BODY_BYTES",
            "67108865",
            "limits.body_bytes must be a whole number from 1024 to 67108864",
        ),
        (
            "TIDEGATE_LIMITS__PUSH_CHANGES",
            "0",
            "limits.push_changes must be a whole number from 1 to 1000",
        ),
        (
            "TIDEGATE_LIMITS__PUSH_CHANGES",
            "1001",
            "limits.push_changes must be a whole number from 1 to 1000",
        ),
        (
            "TIDEGATE_LIMITS__PAGE_CHANGES",
            "-1",
            "limits.page_changes must be a whole number from 1 to 10000",
        ),
        (
            "TIDEGATE_LIMITS__PAGE_CHANGES",
            "10001",
            "limits.page_changes must be a whole number from 1 to 10000",
        ),
        (
            "TIDEGATE_GRAPHQL__GRAPHIQL",
            "1",
            "graphql.graphiql must be true or false",
        ),
        (
            "TIDEGATE_HTTP__ALLOWED_ORIGINS",
            "https://*.example.com",
            "http.allowed_origins contains \"*\"; name the origins of your apps",
        ),
        (
            "TIDEGATE_HTTP__ALLOWED_ORIGINS",
            "https://App.example.com:443/",
            "http.allowed_origins contains \"https://App.example.com:443/\", \
             which browsers send as \"https://app.example.com\"",
        ),
        (
            "TIDEGATE_HTTP__ALLOWED_ORIGINS",
            "capacitor://localhost:80/",
            "http.allowed_origins contains \"capacitor://localhost:80/\", \
             which browsers send as \"capacitor://localhost:80\"",
        ),
        (
            "TIDEGATE_HTTP__ALLOWED_ORIGINS",
            "file:///",
            "http.allowed_origins must be a list of origins, such as [\"https://app.example.com\"]",
        ),
        (
            "TIDEGATE_HTTP__ALLOWED_HEADERS",
            "x-tenant,*",
            "http.allowed_headers contains \"*\"; name the headers that your apps send",
        ),
        (
            "TIDEGATE_HTTP__ALLOWED_HEADERS",
            "x-tenant: 7",
            "http.allowed_headers contains \"x-tenant: 7\", which is no name of a header",
        ),
        (
            "TIDEGATE_HTTP__ALLOWED_HEADERS",
            "[7]",
            "http.allowed_headers must be a list of names of headers, such as [\"x-tenant\"]",
        ),
        (
            "TIDEGATE_LIMITS__USER_CONNECTIONS",
            "0",
            "limits.user_connections must be a whole number from 1 to 100000",
        ),
        (
            "TIDEGATE_HTTP__ALLOWED_ORIGINS",
            "null",
            "http.allowed_origins must be a list of origins, such as [\"https://app.example.com\"]",
        ),
        (
            "TIDEGATE_HTTP__ALLOWED_ORIGINS",
            "[1]",
            "http.allowed_origins must be a list of origins, such as [\"https://app.example.com\"]",
        ),
    ] {
        assert_eq!(problem(name, value), expected, "{name}={value}");
    }
}

#[test]
fn limits_that_would_refuse_everything_are_refused() {
    for (name, value, expected) in [
        (
            "TIDEGATE_LIMITS__ANSWER_BYTES",
            "8388608",
            "limits.answer_bytes is less than a page may have: limits.page_bytes and one document more, 12582912",
        ),
        (
            "TIDEGATE_LIMITS__REQUEST_TIME",
            "11m",
            "limits.request_time must lie between 1s and 600s",
        ),
        (
            "TIDEGATE_HTTP__PING_INTERVAL",
            "0s",
            "http.ping_interval must lie between 1s and 600s",
        ),
    ] {
        assert_eq!(problem(name, value), expected, "{name}={value}");
    }
    let limits = "[limits]\nbody_bytes = 2_000_000\npush_queue_bytes = 1_048_576\n";
    let problems = problems(&format!("{GOOD}{limits}"), &[]);
    assert!(
        problems.contains("limits.push_queue_bytes is less than limits.body_bytes"),
        "{problems}"
    );
}
