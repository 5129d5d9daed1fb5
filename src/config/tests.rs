//! Configurations as people write them, and what the gateway reports. Nothing here reads a file or the environment of
//! the process.

mod problems;
mod security;

use super::*;
use crate::limits::{NUMBERS, Number};

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

fn load(text: &str, env: &[(&str, &str)]) -> Result<LoadedConfig, Vec<ConfigProblem>> {
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
        metrics: _,
        log: _,
    } = config;
    format!("{listen:?} {model:?}\n{store:?}\n{auth:?}\n{graphql:?}\n{http:?}\n{limits:?}")
}

/// All problems of a text and an environment, one a line.
fn problems(text: &str, env: &[(&str, &str)]) -> String {
    load(text, env).map_or_else(|problems| lines(&problems), |loaded| shown(&loaded.config))
}

/// The one problem that `env` adds to a good configuration.
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
    StoreConfig { url: Mongodb(MongodbUrl(db1:27017,db2:27017/app)), prefix: "tidegate.", tombstone_retention: 7776000s, follow: true, digests: true }
    AuthConfig { algorithms: Algorithms([RS256]), keys: JwksUrl(Url { scheme: "https", cannot_be_a_base: false, username: "", password: None, host: Some(Domain("id.example.com")), port: None, path: "/jwks.json", query: None, fragment: None }), previous_secret: None, issuer: Some("https://id.example.com/"), audience: Some("tidegate"), user_claim: "sub", leeway_s: 10 }
    GraphqlConfig { introspection: false, graphiql: false }
    HttpConfig { allowed_origins: [], allowed_headers: [], times: HttpTimes { head: 75s, body: 30s, write: 30s, ping: 25s, token: 75s, drain_delay: 0ns, drain: 10s } }
    Limits { body_bytes: 1048576, query_bytes: 65536, query_tokens: 30000, query_depth: 30, query_aliases: 500, query_directives: 500, query_roots: 10, query_nodes: 10000, query_cost: 500000, variables_depth: 120, list_items: 10000, answer_bytes: 67108864, push_changes: 1000, push_queue_bytes: 67108864, user_clients: 1000, page_changes: 5000, page_bytes: 8388608, live_page_bytes: 262144, requests: 1000, user_requests: 100, buffer_bytes: 1073741824, user_buffer_bytes: 268435456, user_rate: 200, user_burst: 1000, connections: 10000, new_connections: 1000, address_connections: 0, user_connections: 1000, user_scopes: 10000, request_time: 40s, services: {}, variables_copied_bytes: 4194304, cached_documents: 512, cached_bytes: 2097152 }
    "#);
}

#[test]
fn every_setting_can_come_from_the_file() {
    let text = r#"
        listen = "[::1]:8080"
        model = "app.graphql"
        store = { url = "embedded:/var/lib/tidegate", username = "me", password = "hunter2", prefix = "sync_", tombstone_retention = "12h", follow = false, digests = false }
        graphql = { introspection = true, graphiql = true }
        http.allowed_origins = ["https://app.example.com", "http://localhost:5173", "capacitor://localhost"]
        http.allowed_headers = ["X-Tenant"]
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
    tidegate.toml:5: graphql.introspection is on: everybody can read the whole schema at /schema.graphql, without a token
    tidegate.toml:11: auth.secret stands in a file; TIDEGATE_AUTH__SECRET keeps it out of backups and commits
    ");
    insta::assert_snapshot!(shown(&loaded.config), @r#"
    [::1]:8080 "app.graphql"
    StoreConfig { url: Embedded("/var/lib/tidegate"), prefix: "sync_", tombstone_retention: 43200s, follow: false, digests: false }
    AuthConfig { algorithms: Algorithms([HS256, HS512]), keys: Secret(SigningKey(…)), previous_secret: None, issuer: Some("me"), audience: Some("you"), user_claim: "uid", leeway_s: 0 }
    GraphqlConfig { introspection: true, graphiql: true }
    HttpConfig { allowed_origins: ["https://app.example.com", "http://localhost:5173", "capacitor://localhost"], allowed_headers: ["x-tenant"], times: HttpTimes { head: 75s, body: 30s, write: 30s, ping: 25s, token: 75s, drain_delay: 0ns, drain: 10s } }
    Limits { body_bytes: 65536, query_bytes: 65536, query_tokens: 30000, query_depth: 30, query_aliases: 500, query_directives: 500, query_roots: 10, query_nodes: 10000, query_cost: 500000, variables_depth: 120, list_items: 10000, answer_bytes: 67108864, push_changes: 10, push_queue_bytes: 67108864, user_clients: 1000, page_changes: 100, page_bytes: 8388608, live_page_bytes: 262144, requests: 1000, user_requests: 100, buffer_bytes: 1073741824, user_buffer_bytes: 268435456, user_rate: 200, user_burst: 1000, connections: 10000, new_connections: 1000, address_connections: 0, user_connections: 1000, user_scopes: 10000, request_time: 40s, services: {}, variables_copied_bytes: 4194304, cached_documents: 512, cached_bytes: 2097152 }
    "#);
}

/// The first cell of a setting's row in the documentation.
fn cell(key: &str) -> String {
    format!("| `{key}`")
}

#[test]
fn the_documentation_lists_every_setting_with_its_default_and_its_bounds() {
    let documentation = include_str!("../../docs/config.md");
    let rows: Vec<Vec<&str>> = documentation
        .lines()
        .map(|line| line.split(" | ").collect())
        .filter(|row: &Vec<&str>| row.len() > 4 && row[1].starts_with("`TIDEGATE_"))
        .collect();
    let keys = rows.iter().map(|row| row[0]);
    let is_number = |row: &&str| NUMBERS.iter().any(|number| *row == cell(number.key));
    let (numbers, others): (Vec<&str>, Vec<&str>) = keys.partition(is_number);
    assert_eq!(others, settings::KEYS.map(cell), "in the order of the code");
    let expected: Vec<String> = NUMBERS.iter().map(|number| cell(number.key)).collect();
    assert_eq!(numbers, expected, "in the order of the code");
    let row = |key: &str| {
        let mut rows = rows.iter();
        rows.find(|row| row[0] == cell(key)).unwrap()
    };
    for key in settings::keys() {
        assert_eq!(row(key)[1], format!("`{}`", settings::variable(key)));
    }
    let mut defaults = Limits::default();
    for Number { key, range, of } in NUMBERS {
        let (default, bounds) = (
            of(&mut defaults),
            format!("{} to {}", range.start(), range.end()),
        );
        assert_eq!(row(key)[2..4], [format!("`{default}`"), bounds], "{key}");
    }
    for limit in [
        limits::request_time(),
        http::HEAD_TIME,
        http::BODY_TIME,
        http::WRITE_TIME,
        http::PING_INTERVAL,
        http::TOKEN_TIME,
        http::DRAIN_DELAY,
        http::DRAIN_TIME,
    ] {
        let default = format!("`\"{}s\"`", limit.default.as_secs());
        let (first, last) = (limit.bounds.start(), limit.bounds.end());
        let bounds = format!("`{first}s` to `{last}s`");
        assert_eq!(row(limit.key)[2..4], [default, bounds], "{}", limit.key);
    }
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
            // None of these is a setting of Tidegate.
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
    StoreConfig { url: Mongodb(MongodbUrl(db1:27017/app)), prefix: "sync_", tombstone_retention: 2592000s, follow: true, digests: true }
    AuthConfig { algorithms: Algorithms([RS256, ES256]), keys: PublicKeyFile("/run/secrets/key.pem"), previous_secret: None, issuer: Some("me"), audience: Some("you"), user_claim: "uid", leeway_s: 30 }
    GraphqlConfig { introspection: false, graphiql: false }
    HttpConfig { allowed_origins: ["https://a.example.com", "https://b.example.com"], allowed_headers: [], times: HttpTimes { head: 75s, body: 30s, write: 30s, ping: 25s, token: 75s, drain_delay: 0ns, drain: 10s } }
    Limits { body_bytes: 2048, query_bytes: 65536, query_tokens: 30000, query_depth: 30, query_aliases: 500, query_directives: 500, query_roots: 10, query_nodes: 10000, query_cost: 500000, variables_depth: 120, list_items: 10000, answer_bytes: 67108864, push_changes: 1, push_queue_bytes: 67108864, user_clients: 1000, page_changes: 10000, page_bytes: 8388608, live_page_bytes: 262144, requests: 1000, user_requests: 100, buffer_bytes: 1073741824, user_buffer_bytes: 268435456, user_rate: 200, user_burst: 1000, connections: 10000, new_connections: 1000, address_connections: 0, user_connections: 1000, user_scopes: 10000, request_time: 40s, services: {}, variables_copied_bytes: 4194304, cached_documents: 512, cached_bytes: 2097152 }
    "#);
}

#[test]
fn the_environment_wins_over_the_file() {
    let loaded = load(GOOD, &[("TIDEGATE_AUTH__AUDIENCE", "staging")]).unwrap();
    assert_eq!(loaded.config.auth.audience.as_deref(), Some("staging"));
}
