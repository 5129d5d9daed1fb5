//! What people write into a configuration, and what they are told. Everything runs without a file
//! and without the environment of the process.

use super::*;

const GOOD: &str = r#"
[store]
url = "mongodb://db1,db2/app"
[auth]
algorithms = ["RS256"]
jwks_url = "https://id.example.com/jwks.json"
issuer = "https://id.example.com/"
audience = "tidegate"
"#;

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

fn load(text: &str, env: &[(&str, &str)]) -> Result<Loaded, Vec<ConfigProblem>> {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(("tidegate.toml", text)), env)
}

fn lines(problems: &[ConfigProblem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// A configuration, one section a line.
fn shown(config: &Config) -> String {
    let Config {
        listen,
        model,
        store,
        auth,
        graphql,
        http,
        limits,
        webhooks: _,
    } = config;
    format!("{listen:?} {model:?}\n{store:?}\n{auth:?}\n{graphql:?}\n{http:?}\n{limits:?}")
}

/// All problems of a text and an environment, one a line.
fn problems(text: &str, env: &[(&str, &str)]) -> String {
    load(text, env).map_or_else(|problems| lines(&problems), |loaded| shown(&loaded.config))
}

/// The one problem that `env` brings into a good configuration.
fn problem(name: &str, value: &str) -> String {
    let problems = problems(GOOD, &[(name, value)]);
    problems
        .strip_prefix(&format!("{name}: "))
        .unwrap_or(&problems)
        .trim_end()
        .to_owned()
}

#[test]
fn the_shortest_configuration_gets_safe_defaults() {
    let loaded = load(GOOD, &[]).unwrap();
    assert_eq!(lines(&loaded.warnings), "");
    insta::assert_snapshot!(shown(&loaded.config), @r#"
    127.0.0.1:4000 "model.graphql"
    StoreConfig { url: Mongodb(MongodbUrl(db1:27017,db2:27017/app)), prefix: "tidegate.", tombstone_retention: 7776000s }
    AuthConfig { algorithms: Algorithms([RS256]), keys: JwksUrl(Url { scheme: "https", cannot_be_a_base: false, username: "", password: None, host: Some(Domain("id.example.com")), port: None, path: "/jwks.json", query: None, fragment: None }), issuer: Some("https://id.example.com/"), audience: Some("tidegate"), user_claim: "sub", leeway_s: 10 }
    GraphqlConfig { introspection: false, graphiql: false }
    HttpConfig { allowed_origins: [], times: HttpTimes { head: 75s, body: 30s, write: 30s, ping: 25s } }
    LimitsConfig { body_bytes: 1048576, query_bytes: 65536, query_tokens: 30000, query_depth: 30, query_aliases: 100, query_directives: 500, query_roots: 10, query_nodes: 10000, query_cost: 500000, variables_depth: 120, list_items: 10000, answer_bytes: 67108864, push_changes: 1000, push_queue_bytes: 67108864, page_changes: 5000, page_bytes: 8388608, live_page_bytes: 262144, requests: 1000, user_requests: 100, user_rate: 200, user_burst: 1000, connections: 10000, new_connections: 1000, user_connections: 1000, request_time: 40s }
    "#);
}

#[test]
fn every_setting_can_come_from_the_file() {
    let text = r#"
        listen = "[::1]:8080"
        model = "app.graphql"
        store = { url = "embedded:/var/lib/tidegate", username = "me", password = "hunter2", prefix = "sync_", tombstone_retention = "12h" }
        graphql = { introspection = true, graphiql = true }
        http.allowed_origins = ["https://app.example.com", "http://localhost:5173", "capacitor://localhost"]
        limits = { body_bytes = 65_536, push_changes = 10, page_changes = 0x64 }
        [auth]
        algorithms = ["HS256", "HS512"]
        secret = "hunter2-hunter2-hunter2-hunter2-hunter2"
        issuer = "me"
        audience = "you"
        user_claim = "uid"
        leeway = "0s"
    "#;
    let loaded = load(text, &[]).unwrap();
    insta::assert_snapshot!(lines(&loaded.warnings), @r"
    tidegate.toml:4: store.password stands in a file; TIDEGATE_STORE__PASSWORD keeps it out of backups and commits
    tidegate.toml:5: graphql.graphiql is on: it is meant for development
    tidegate.toml:5: graphql.introspection is on: everybody can read the whole schema
    tidegate.toml:10: auth.secret stands in a file; TIDEGATE_AUTH__SECRET keeps it out of backups and commits
    ");
    insta::assert_snapshot!(shown(&loaded.config), @r#"
    [::1]:8080 "app.graphql"
    StoreConfig { url: Embedded("/var/lib/tidegate"), prefix: "sync_", tombstone_retention: 43200s }
    AuthConfig { algorithms: Algorithms([HS256, HS512]), keys: Secret(SigningKey(…)), issuer: Some("me"), audience: Some("you"), user_claim: "uid", leeway_s: 0 }
    GraphqlConfig { introspection: true, graphiql: true }
    HttpConfig { allowed_origins: ["https://app.example.com", "http://localhost:5173", "capacitor://localhost"], times: HttpTimes { head: 75s, body: 30s, write: 30s, ping: 25s } }
    LimitsConfig { body_bytes: 65536, query_bytes: 65536, query_tokens: 30000, query_depth: 30, query_aliases: 100, query_directives: 500, query_roots: 10, query_nodes: 10000, query_cost: 500000, variables_depth: 120, list_items: 10000, answer_bytes: 67108864, push_changes: 10, push_queue_bytes: 67108864, page_changes: 100, page_bytes: 8388608, live_page_bytes: 262144, requests: 1000, user_requests: 100, user_rate: 200, user_burst: 1000, connections: 10000, new_connections: 1000, user_connections: 1000, request_time: 40s }
    "#);
}

#[test]
fn the_documentation_lists_every_setting_with_its_default_and_its_bounds() {
    let documentation = include_str!("../../docs/config.md");
    let rows: Vec<Vec<&str>> = documentation
        .lines()
        .map(|line| line.split(" | ").collect())
        .filter(|row: &Vec<&str>| row.len() > 4 && row[1].starts_with("`TIDEGATE_"))
        .collect();
    let keys: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let expected = settings::KEYS.map(|key| format!("| `{key}`"));
    assert_eq!(keys, expected, "in the order of the code");
    let row = |key: &str| {
        let mut rows = rows.iter();
        rows.find(|row| row[0] == format!("| `{key}`")).unwrap()
    };
    for key in settings::KEYS {
        assert_eq!(row(key)[1], format!("`{}`", settings::variable(key)));
    }
    for (key, default, bounds) in limits::NUMBERS {
        let bounds = format!("{} to {}", bounds.start(), bounds.end());
        assert_eq!(row(key)[2..4], [format!("`{default}`"), bounds], "{key}");
    }
    for limit in [
        limits::REQUEST_TIME,
        http::HEAD_TIME,
        http::BODY_TIME,
        http::WRITE_TIME,
        http::PING_INTERVAL,
    ] {
        let default = format!("`\"{}s\"`", limit.default.as_secs());
        let (first, last) = (limit.bounds.start(), limit.bounds.end());
        let bounds = format!("`{first}s` to `{last}s`");
        assert_eq!(row(limit.key)[2..4], [default, bounds], "{}", limit.key);
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
    let told = problems(&format!("{GOOD}{limits}"), &[]);
    assert!(
        told.contains("limits.push_queue_bytes is less than limits.body_bytes"),
        "{told}"
    );
}

#[test]
fn every_setting_can_come_from_the_environment() {
    let loaded = load(
        "",
        &[
            ("TIDEGATE_LISTEN", "0.0.0.0:8080"),
            ("TIDEGATE_MODEL", "app.graphql"),
            ("TIDEGATE_STORE__URL", "mongodb://db1/app"),
            ("TIDEGATE_STORE__USERNAME", "gateway"),
            ("TIDEGATE_STORE__PASSWORD", "hunter2"),
            ("TIDEGATE_STORE__PREFIX", "sync_"),
            ("TIDEGATE_STORE__TOMBSTONE_RETENTION", "30d"),
            ("TIDEGATE_AUTH__ALGORITHMS", "RS256, ES256"),
            ("TIDEGATE_AUTH__PUBLIC_KEY_FILE", "/run/secrets/key.pem"),
            ("TIDEGATE_AUTH__ISSUER", "me"),
            ("TIDEGATE_AUTH__AUDIENCE", "you"),
            ("TIDEGATE_AUTH__USER_CLAIM", "uid"),
            ("TIDEGATE_AUTH__LEEWAY", "30s"),
            ("TIDEGATE_GRAPHQL__INTROSPECTION", "false"),
            ("TIDEGATE_GRAPHQL__GRAPHIQL", "false"),
            (
                "TIDEGATE_HTTP__ALLOWED_ORIGINS",
                r#"["https://a.example.com", "https://b.example.com"]"#,
            ),
            ("TIDEGATE_LIMITS__BODY_BYTES", "2048"),
            ("TIDEGATE_LIMITS__PUSH_CHANGES", "1"),
            ("TIDEGATE_LIMITS__PAGE_CHANGES", "10000"),
            // None of these is ours to judge.
            ("PATH", "/bin"),
            ("TIDEGATE_SERVICE_HOST", "10.0.0.1"),
            ("TIDEGATE_PORT", "tcp://10.0.0.1:4000"),
            ("TIDEGATE_PORT_4000_TCP", "tcp://10.0.0.1:4000"),
        ],
    )
    .unwrap();
    assert_eq!(lines(&loaded.warnings), "");
    insta::assert_snapshot!(shown(&loaded.config), @r#"
    0.0.0.0:8080 "app.graphql"
    StoreConfig { url: Mongodb(MongodbUrl(db1:27017/app)), prefix: "sync_", tombstone_retention: 2592000s }
    AuthConfig { algorithms: Algorithms([RS256, ES256]), keys: PublicKeyFile("/run/secrets/key.pem"), issuer: Some("me"), audience: Some("you"), user_claim: "uid", leeway_s: 30 }
    GraphqlConfig { introspection: false, graphiql: false }
    HttpConfig { allowed_origins: ["https://a.example.com", "https://b.example.com"], times: HttpTimes { head: 75s, body: 30s, write: 30s, ping: 25s } }
    LimitsConfig { body_bytes: 2048, query_bytes: 65536, query_tokens: 30000, query_depth: 30, query_aliases: 100, query_directives: 500, query_roots: 10, query_nodes: 10000, query_cost: 500000, variables_depth: 120, list_items: 10000, answer_bytes: 67108864, push_changes: 1, push_queue_bytes: 67108864, page_changes: 10000, page_bytes: 8388608, live_page_bytes: 262144, requests: 1000, user_requests: 100, user_rate: 200, user_burst: 1000, connections: 10000, new_connections: 1000, user_connections: 1000, request_time: 40s }
    "#);
}

#[test]
fn the_environment_wins_over_the_file() {
    let loaded = load(GOOD, &[("TIDEGATE_AUTH__AUDIENCE", "staging")]).unwrap();
    assert_eq!(loaded.config.auth.audience.as_deref(), Some("staging"));
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
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
fn nothing_at_all_is_told_what_is_needed() {
    let problems = Config::load(None, std::iter::empty()).unwrap_err();
    insta::assert_snapshot!(lines(&problems), @r#"
    auth has no key to check tokens with; set one of auth.jwks_url, auth.public_key_file, auth.secret
    auth.algorithms is not set; name the algorithms of your tokens, such as ["RS256"]
    store.url is not set; name a store, such as "embedded:/var/lib/tidegate"
    "#);
}

#[test]
fn a_text_that_is_not_toml_is_told_by_line_and_not_quoted() {
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
fn a_value_outside_its_bounds_is_told_what_it_may_be() {
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
fn who_the_gateway_is_to_mongodb_is_said_once_and_out_of_files() {
    let url = |url: &str| GOOD.replace("mongodb://db1,db2/app", url);
    let anonymous = url("mongodb://db1/app");
    let named = url("mongodb://gateway@db1/app");
    let whole = url("mongodb://gateway:hunter2@db1/app");
    let user = ("TIDEGATE_STORE__USERNAME", "gateway");
    let password = ("TIDEGATE_STORE__PASSWORD", "hunter2");
    for (text, env, told) in [
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
            Ok(loaded) => assert_eq!((lines(&loaded.warnings).as_str(), told), ("", "")),
            Err(problems) => {
                let problems = lines(&problems);
                assert!(
                    !told.is_empty() && problems.contains(told),
                    "{told}: {problems}"
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
    tidegate.toml:8: graphql.introspection is on: everybody can read the whole schema
    tidegate.toml:9: graphql.graphiql is on: it is meant for development
    auth.audience is not set, so every token that names an audience will be refused
    auth.issuer is not set, so tokens of every issuer that shares these keys are believed
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
            "webhooks.concurrency must lie between 1 and 1000",
        ),
    ] {
        let told = webhooks(text, &[secret]).unwrap_err();
        assert!(told.contains(complaint), "{told}");
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
