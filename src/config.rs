//! The settings of a gateway: a TOML text and the environment become a checked [`Config`]. Callers
//! read files, the process environment and key material, so loading stays pure.

mod check;
mod duration;
mod http;
mod limits;
mod mongodb;
mod problem;
mod reader;
mod settings;
#[cfg(test)]
mod tests;
mod webhooks;

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use reqwest::header::HeaderName;

use self::settings::Settings;
pub(crate) use self::{
    duration::parse_duration,
    mongodb::{InvalidMongodbUrl, MongodbUrl},
    problem::ConfigProblem,
};
use crate::{
    auth::AuthConfig, limits::Limits, record::UserKey, telemetry::LogFilter, webhook::WebhookConfig,
};

/// The checked settings of `serve`.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) model: PathBuf,
    pub(crate) store: StoreConfig,
    pub(crate) auth: AuthConfig,
    pub(crate) graphql: GraphqlConfig,
    pub(crate) http: HttpConfig,
    pub(crate) limits: Limits,
    pub(crate) webhooks: WebhookConfig,
    /// Where metrics can be read; `None` serves none.
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) log: LogConfig,
}

/// What is logged, and how users are named there.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogConfig {
    /// `None` is `info`. `TIDEGATE_LOG` comes before it.
    pub(crate) filter: Option<LogFilter>,
    /// With a key, users are named by their hash.
    pub(crate) user_key: Option<UserKey>,
}

impl Config {
    /// Reads `text` (a name for messages, and the TOML itself), puts the `TIDEGATE_` variables of
    /// `env` over it, and checks the result by the rules of `serve`.
    ///
    /// # Errors
    /// All problems at once, in the order of the file, then those of the environment.
    pub(crate) fn load(
        text: Option<(&str, &str)>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<LoadedConfig, Vec<ConfigProblem>> {
        let (settings, problems) = Settings::gather(text, env)?;
        check::check(settings, problems)
    }
}

/// A usable configuration, with its warnings.
#[derive(Debug)]
pub(crate) struct LoadedConfig {
    pub(crate) config: Config,
    pub(crate) warnings: Vec<ConfigProblem>,
}

/// Where documents are kept, and for how long tombstones are.
#[derive(Clone, Debug)]
pub(crate) struct StoreConfig {
    pub(crate) url: StoreUrl,
    /// The prefix of the names of Tidegate's own collections in MongoDB.
    pub(crate) prefix: String,
    pub(crate) tombstone_retention: Duration,
    /// Whether gateways take over what other services write to the collections.
    pub(crate) follow: bool,
    pub(crate) digests: bool,
}

impl StoreConfig {
    /// A store with only a URL.
    pub(crate) fn new(url: StoreUrl) -> Self {
        StoreConfig {
            url,
            prefix: "tidegate.".to_owned(),
            tombstone_retention: Duration::from_secs(90 * 24 * 60 * 60),
            follow: true,
            digests: true,
        }
    }
}

/// Where documents are kept.
#[derive(Clone, Debug)]
pub(crate) enum StoreUrl {
    Mongodb(Box<MongodbUrl>),
    Embedded(PathBuf),
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let after = |scheme| url.strip_prefix(scheme).filter(|rest| !rest.is_empty());
        if after("mongodb://")
            .or_else(|| after("mongodb+srv://"))
            .is_some()
        {
            return Ok(StoreUrl::Mongodb(Box::new(MongodbUrl::parse(url)?)));
        }
        after("embedded:")
            .map(|path| StoreUrl::Embedded(PathBuf::from(path)))
            .ok_or(InvalidStoreUrl::Scheme)
    }
}

/// The place as messages name it: a directory, or a database.
impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Mongodb(url) => write!(formatter, "the database {}", url.database),
            StoreUrl::Embedded(path) => path.display().fmt(formatter),
        }
    }
}

/// The end of a sentence about the URL, which it does not repeat: the URL may carry a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidStoreUrl {
    #[error(
        "is refused: a store's URL is mongodb://HOSTS/DATABASE, mongodb+srv://HOST/DATABASE or embedded:PATH"
    )]
    Scheme,
    #[error(transparent)]
    Mongodb(#[from] InvalidMongodbUrl),
}

/// Helpers for development that reveal the API to strangers. All of them are off by default.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GraphqlConfig {
    pub(crate) introspection: bool,
    pub(crate) graphiql: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct HttpConfig {
    /// Origins as browsers send them, such as `https://app.example.com`; never `*`.
    pub(crate) allowed_origins: Vec<String>,
    /// What pages of these origins may send, besides the headers that front-end tools add.
    pub(crate) allowed_headers: Vec<HeaderName>,
    pub(crate) times: HttpTimes,
}

/// How long the gateway waits for its peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpTimes {
    /// For the head of a request, and so for the next request on a connection.
    pub(crate) head: Duration,
    /// For the body of a request.
    pub(crate) body: Duration,
    /// For the client to read what the gateway sends, before its speed counts.
    pub(crate) write: Duration,
    /// Between two pings.
    pub(crate) ping: Duration,
    /// For a connection to show a good token, after its opening and after its last request with one.
    pub(crate) token: Duration,
    /// Between the moment at which a gateway that stops is not ready and the one at which it accepts nothing more.
    pub(crate) drain_delay: Duration,
    /// For requests under way, from that second moment on.
    pub(crate) drain: Duration,
}

impl Default for HttpTimes {
    fn default() -> Self {
        Self {
            head: http::HEAD_TIME.default,
            body: http::BODY_TIME.default,
            write: http::WRITE_TIME.default,
            ping: http::PING_INTERVAL.default,
            token: http::TOKEN_TIME.default,
            drain_delay: http::DRAIN_DELAY.default,
            drain: http::DRAIN_TIME.default,
        }
    }
}
