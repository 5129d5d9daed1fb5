//! Turns raw settings into a [`Config`] by the rules of `serve`: types, bounds, and combinations
//! that are unsafe. All rules are checked before the first problem is reported.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use reqwest::Url;

use super::{
    Config, GraphqlConfig, InvalidStoreUrl, LoadedConfig, LogConfig, StoreConfig, StoreUrl,
    http::http,
    limits::limits,
    mongodb::Credentials,
    parse_duration,
    problem::{ConfigProblem, SettingSource},
    reader::{SettingError, SettingReader},
    settings::{Settings, variable},
    webhooks::webhooks,
};
use crate::{
    auth::{
        Algorithms, AuthConfig, AuthSetupError, KeySource, LEEWAY_S_DEFAULT, LEEWAY_S_MAX,
        SigningKey, USER_CLAIM_DEFAULT,
    },
    record::UserKey,
    telemetry::LogFilter,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Devices that are offline for longer start over. With less than an hour nearly every device would.
const TOMBSTONE_RETENTION: RangeInclusive<Duration> =
    Duration::from_secs(60 * 60)..=DAY.saturating_mul(3650);
/// The output of HMAC-SHA256: with a shorter key the users behind the hashes can be guessed.
const USER_KEY_BYTES_MIN: usize = 32;
/// With the longest name of Tidegate's own collections, the whole name is far shorter than MongoDB's 255 bytes.
const PREFIX_BYTES_MAX: usize = 64;

pub(super) fn check(
    settings: Settings,
    problems: Vec<ConfigProblem>,
) -> Result<LoadedConfig, Vec<ConfigProblem>> {
    let mut reader = SettingReader {
        settings,
        problems,
        warnings: Vec::new(),
    };
    let config = config(&mut reader);
    reader.problems.sort();
    reader.warnings.sort();
    match config {
        Some(config) if reader.problems.is_empty() => Ok(LoadedConfig {
            config,
            warnings: reader.warnings,
        }),
        _ => Err(reader.problems),
    }
}

/// `None` only after a problem has been noted.
fn config(reader: &mut SettingReader) -> Option<Config> {
    let listen = reader.get(
        "listen",
        "an IP address and a port, such as \"0.0.0.0:4000\"",
        |text: String| text.parse().map_err(|_| SettingError::Form),
    );
    let model = reader.get("model", "a path, such as \"model.graphql\"", path);
    let (store, auth) = (store(reader), auth(reader));
    let (graphql, http, limits) = (graphql(reader), http(reader), limits(reader));
    let metrics = metrics_listen(reader, listen);
    Some(Config {
        listen: listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 4000))),
        model: model.unwrap_or_else(|| PathBuf::from("model.graphql")),
        store: store?,
        auth: auth?,
        graphql,
        http,
        limits,
        webhooks: webhooks(reader),
        metrics,
        log: log(reader),
    })
}

/// Where metrics are read, away from clients.
fn metrics_listen(reader: &mut SettingReader, api: Option<SocketAddr>) -> Option<SocketAddr> {
    let form = "an IP address and a port, such as \"127.0.0.1:9464\"";
    let listen: Option<SocketAddr> = reader.get("metrics.listen", form, |text: String| {
        text.parse().map_err(|_| SettingError::Form)
    });
    let is_same = |one: SocketAddr| one.port() != 0 && Some(one) == api;
    if listen.is_some_and(is_same) {
        let message = "is the address of `listen`; clients must not reach the metrics";
        reader.refuse("metrics.listen", message);
    }
    listen
}

fn log(reader: &mut SettingReader) -> LogConfig {
    let form = "directives, such as \"info\" or \"info,tidegate=debug\"";
    let filter = reader.get("log.level", form, |text: String| {
        LogFilter::parse(&text).map_err(SettingError::because)
    });
    let form = format!("a text of at least {USER_KEY_BYTES_MIN} bytes");
    let user_key = reader.get("log.user_key", &form, |secret: String| {
        match secret.len() >= USER_KEY_BYTES_MIN {
            true => Ok(UserKey::new(&secret)),
            false => Err(SettingError::Form),
        }
    });
    warn_of_file(reader, "log.user_key", "");
    LogConfig { filter, user_key }
}

fn store(reader: &mut SettingReader) -> Option<StoreConfig> {
    reader.require(
        "store.url",
        "a store, such as \"embedded:/var/lib/tidegate\"",
    );
    let url = store_url(reader);
    // An embedded store has no collections to name and no users; these settings are still checked.
    let prefix = reader.get(
        "store.prefix",
        "a collection prefix, such as \"tidegate.\"",
        collection_prefix,
    );
    let retention = reader.get(
        "store.tombstone_retention",
        "a duration, such as \"90d\"",
        |text: String| {
            let retention = parse_duration(&text).map_err(SettingError::because)?;
            within(
                retention,
                TOMBSTONE_RETENTION,
                "must lie between 1h and 3650d",
            )
        },
    );
    let follow = reader.get("store.follow", "true or false", Ok::<bool, SettingError>);
    let digests = reader.get("store.digests", "true or false", Ok::<bool, SettingError>);
    let default = StoreConfig::new(url?);
    Some(StoreConfig {
        prefix: prefix.unwrap_or(default.prefix),
        tombstone_retention: retention.unwrap_or(default.tombstone_retention),
        follow: follow.unwrap_or(default.follow),
        digests: digests.unwrap_or(default.digests),
        url: default.url,
    })
}

/// The URL, with the user's name and password from the other settings when it has none.
fn store_url(reader: &mut SettingReader) -> Option<StoreUrl> {
    let user = reader.get("store.username", "a non-empty text", non_empty);
    let password = reader.get("store.password", "a non-empty text", non_empty);
    warn_of_file(reader, "store.password", "");
    let mut url = reader.get("store.url", "a text", Ok::<String, SettingError>)?;
    if let Some(login) = Credentials::of(&url) {
        if login.password.is_some() {
            warn_of_file(reader, "store.url", "has a password, which ");
        }
        check_login(reader, &login, user.is_some(), password.is_some());
        url = login.filled(user.as_deref(), password.as_deref());
    }
    let url = match url.parse() {
        Ok(url) => url,
        Err(error) => {
            let error: InvalidStoreUrl = error;
            reader.refuse("store.url", &error.to_string());
            return None;
        }
    };
    if matches!(&url, StoreUrl::Mongodb(url) if url.lacks_a_password()) {
        let advice =
            "has a user without a password; set store.password, best through the environment";
        reader.refuse("store.url", advice);
    }
    Some(url)
}

fn check_login(reader: &mut SettingReader, login: &Credentials<'_>, user: bool, password: bool) {
    if user && login.user.is_some() {
        let message = "stands beside the user name in store.url; keep one of them";
        reader.refuse("store.username", message);
    }
    if password && login.password.is_some() {
        let message = "stands beside the password in store.url; keep one of them";
        reader.refuse("store.password", message);
    }
    if password && !user && login.user.is_none() {
        let message = "has no user name; set store.username as well";
        reader.refuse("store.password", message);
    }
}

/// Warns of a secret where others may read it.
pub(super) fn warn_of_file(reader: &mut SettingReader, key: &str, subject: &str) {
    if matches!(reader.origin(key), SettingSource::File { .. }) {
        let advice = format!(
            "{subject}stands in a file; {} keeps it out of backups and commits",
            variable(key)
        );
        reader.warn(key, &advice);
    }
}

fn auth(reader: &mut SettingReader) -> Option<AuthConfig> {
    let algorithms = algorithms(reader);
    let keys = key_source(reader);
    let name = "a non-empty text";
    let previous_secret = previous_secret(reader, keys.as_ref());
    let issuer = reader.get("auth.issuer", name, non_empty);
    let audience = reader.get("auth.audience", name, non_empty);
    let user_claim = reader.get("auth.user_claim", name, non_empty);
    let leeway_s = reader.get("auth.leeway", "a duration, such as \"10s\"", leeway_s);
    let config = AuthConfig {
        algorithms: algorithms?,
        keys: keys?,
        previous_secret,
        issuer,
        audience,
        user_claim: user_claim.unwrap_or_else(|| USER_CLAIM_DEFAULT.to_owned()),
        leeway_s: leeway_s.unwrap_or(LEEWAY_S_DEFAULT),
    };
    check_together(reader, &config);
    Some(config)
}

fn algorithms(reader: &mut SettingReader) -> Option<Algorithms> {
    reader.require(
        "auth.algorithms",
        "the algorithms of your tokens, such as [\"RS256\"]",
    );
    reader.get(
        "auth.algorithms",
        "a list of texts, such as [\"RS256\"]",
        |names: Vec<String>| Algorithms::parse(&names).map_err(SettingError::because),
    )
}

fn key_source(reader: &mut SettingReader) -> Option<KeySource> {
    const SOURCES: [&str; 3] = ["auth.jwks_url", "auth.public_key_file", "auth.secret"];
    let url = reader.get(
        "auth.jwks_url",
        "a URL, such as \"https://id.example.com/jwks.json\"",
        jwks_url,
    );
    let file = reader.get("auth.public_key_file", "a path to a PEM file", path);
    let secret = reader.get(
        "auth.secret",
        "a text of at least 32 bytes",
        |secret: String| SigningKey::from_secret(secret).map_err(SettingError::because),
    );
    for key in ["auth.secret", "auth.previous_secret"] {
        warn_of_file(reader, key, "");
    }
    let set: Vec<_> = SOURCES
        .into_iter()
        .filter(|key| reader.origin(key) != SettingSource::Absent)
        .collect();
    match set[..] {
        [] => reader.refuse(
            "auth",
            &format!(
                "has no key to check tokens with; set one of {}",
                SOURCES.join(", ")
            ),
        ),
        [_] => {}
        [first, second, ..] => {
            let message = format!(
                "stands beside {first} ({}); keep one of them",
                reader.origin(first)
            );
            reader.refuse(second, &message);
        }
    }
    url.map(KeySource::JwksUrl)
        .or(file.map(KeySource::PublicKeyFile))
        .or(secret.map(KeySource::Secret))
}

/// The secret before the present one, for as long as tokens that it signed are in use.
fn previous_secret(reader: &mut SettingReader, keys: Option<&KeySource>) -> Option<SigningKey> {
    let form = "a text of at least 32 bytes";
    let secret = reader.get("auth.previous_secret", form, |secret: String| {
        SigningKey::from_secret(secret).map_err(SettingError::because)
    });
    let is_beside_others = keys.is_some_and(|keys| !matches!(keys, KeySource::Secret(_)));
    if secret.is_some() && is_beside_others {
        let message = "has no auth.secret to be the one before; leave it out";
        reader.refuse("auth.previous_secret", message);
    }
    secret
}

/// Settings that are valid alone and not together.
fn check_together(reader: &mut SettingReader, config: &AuthConfig) {
    let by_secret = matches!(config.keys, KeySource::Secret(_));
    if config.algorithms.are_symmetric() != by_secret {
        reader.refuse(
            "auth.algorithms",
            &format!("do not fit: {}", AuthSetupError::SecretMismatch),
        );
    }
    if config.audience.is_none() && !by_secret {
        reader.warn(
            "auth.audience",
            "is not set, so every token that names an audience will be refused",
        );
    }
    if config.issuer.is_none() && matches!(config.keys, KeySource::JwksUrl(_)) {
        reader.warn(
            "auth.issuer",
            "is not set, so tokens of every issuer that shares these keys are accepted",
        );
    }
}

fn graphql(reader: &mut SettingReader) -> GraphqlConfig {
    let mut switch = |key: &'static str, warning: &str| {
        let on = reader
            .get(key, "true or false", Ok::<bool, SettingError>)
            .unwrap_or_default();
        if on {
            reader.warn(key, warning);
        }
        on
    };
    GraphqlConfig {
        introspection: switch(
            "graphql.introspection",
            "is on: everybody can read the whole schema at /schema.graphql, without a token",
        ),
        graphiql: switch("graphql.graphiql", "is on: it is meant for development"),
    }
}

fn path(text: String) -> Result<PathBuf, SettingError> {
    non_empty(text).map(PathBuf::from)
}

fn non_empty(text: String) -> Result<String, SettingError> {
    if text.trim().is_empty() {
        Err(SettingError::Form)
    } else {
        Ok(text)
    }
}

fn collection_prefix(prefix: String) -> Result<String, SettingError> {
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX || !prefix.chars().all(allowed) {
        return Err(SettingError::Because(
            "must have 1 to 64 ASCII letters, digits, '.', '_' or '-'".to_owned(),
        ));
    }
    if prefix.starts_with("system.") {
        return Err(SettingError::Because(
            "begins with \"system.\", which belongs to MongoDB".to_owned(),
        ));
    }
    Ok(prefix)
}

fn leeway_s(text: String) -> Result<u32, SettingError> {
    let leeway = parse_duration(&text).map_err(SettingError::because)?;
    let bounds = Duration::ZERO..=Duration::from_secs(LEEWAY_S_MAX.into());
    let leeway = within(
        leeway,
        bounds,
        "must be at most 30s: it is for clocks that differ, not for tokens that are late",
    )?;
    u32::try_from(leeway.as_secs()).map_err(|_| SettingError::Form)
}

fn within(
    value: Duration,
    bounds: RangeInclusive<Duration>,
    rule: &str,
) -> Result<Duration, SettingError> {
    if bounds.contains(&value) {
        Ok(value)
    } else {
        Err(SettingError::Because(rule.to_owned()))
    }
}

/// Requires TLS for everything that leaves the machine: a peer that can change the answer on its way can forge tokens.
fn jwks_url(text: String) -> Result<Url, SettingError> {
    let url = https_url(text)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SettingError::Because(
            "carries a user name or a password; key sets are public".to_owned(),
        ));
    }
    Ok(url)
}

/// An address of HTTPS, or of this machine.
pub(super) fn https_url(text: String) -> Result<Url, SettingError> {
    let url = Url::parse(&text).map_err(|_| SettingError::Form)?;
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(SettingError::Because(
            "must begin with https:// (http:// only for this machine)".to_owned(),
        ));
    }
    Ok(url)
}
