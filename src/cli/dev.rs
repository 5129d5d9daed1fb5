//! `dev`: everything at once on this machine, with nothing to configure.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::{
    CliError, CliResult, DEV_LISTEN, block_on, maintain,
    model::{self, LoadedModel},
    print_error, serve,
};
use crate::{
    app::{self, AppError, Gateway, GatewayConfig},
    auth::{self, AuthConfig, SigningKey},
    config::{HttpTimes, StoreConfig, StoreUrl},
    files,
    graphql::ApiOptions,
    http::{AllowedOrigins, DevToken, DevTokenSigner, DevUser, HttpOptions, ServerOptions},
    limits::Limits,
    metrics::Metrics,
    record::Observer,
    sync::Accepted,
    webhook::WebhookConfig,
};

mod banner;
mod follow;

/// Where `dev` keeps its key and its store.
pub(super) const DATA: &str = ".tidegate";

/// How long the tokens that `dev` prints are valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long the tokens are valid that pages ask for. They ask again.
const PAGE_TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The key with which `dev` signs its questions. It is public, so that a receiver can be tried without any
/// configuration.
const WEBHOOK_SECRET: &str = "whsec_dGlkZWdhdGUgZm9yIGRldmVsb3BtZW50IG9ubHk=";

/// The users `dev` makes tokens for.
const USERS: [&str; 2] = ["alice", "bob"];

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Where to listen
    #[arg(long, default_value_t = DEV_LISTEN)]
    listen: SocketAddr,
    /// The model file; without it, model.graphql here, or the built-in example
    #[arg(long)]
    model: Option<PathBuf>,
    /// Where the development key and the store are kept
    #[arg(long, default_value = DATA)]
    data: PathBuf,
    /// Where a webhook of the model is asked, such as review=http://127.0.0.1:5000/; without it `overlap` decides
    #[arg(long, value_name = "NAME=URL", value_parser = webhook)]
    webhook: Vec<(String, Url)>,
    /// Keep documents elsewhere, such as mongodb://localhost/app?replicaSet=rs0
    #[arg(long)]
    store: Option<String>,
    #[command(flatten)]
    accepted: serve::AcceptedArgs,
}

pub(super) fn run(args: DevArgs) -> CliResult {
    let loaded = model::load(args.model.as_deref())?;
    let auth = AuthConfig::with_secret(signing_key(&args.data)?);
    let users = dev_users(&auth)?;
    let store = match &args.store {
        Some(url) => maintain::store_url(url)?,
        None => StoreUrl::Embedded(args.data.clone()),
    };
    block_on(async {
        let listener = serve::listen(args.listen).await?;
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "development mode listens beyond this machine");
            print_error(banner::BEYOND_LOOPBACK);
        }
        // A user who tries a gateway out is no runaway client.
        let limits = Limits {
            user_rate: 0,
            user_requests: Limits::default().requests,
            ..Limits::default()
        };
        let development = Development {
            address,
            store: StoreConfig::new(store),
            auth,
            users,
            limits: limits.clone(),
            times: HttpTimes::default(),
            webhooks: webhooks(&args.webhook),
            accepted: args.accepted.into(),
            observer: Observer::new(Metrics::new(), None),
        };
        let server = ServerOptions::new(limits, development.times);
        let server = server.measured(Arc::clone(&development.observer.metrics));
        serve::serve(listener, server, async |stage| {
            let gateway = development.start(&loaded).await?;
            stage.put(gateway, development.http_options(&loaded));
            stage.announce(&banner::text(&loaded, address, &development.users));
            follow::model(&development, stage, loaded).await
        })
        .await
    })
}

/// Everything of the gateways of a `dev` that does not depend on the model.
struct Development {
    address: SocketAddr,
    store: StoreConfig,
    auth: AuthConfig,
    users: Vec<DevUser>,
    limits: Limits,
    times: HttpTimes,
    webhooks: WebhookConfig,
    accepted: Accepted,
    observer: Arc<Observer>,
}

impl Development {
    async fn start(&self, loaded: &LoadedModel) -> Result<Arc<Gateway>, AppError> {
        Gateway::start(GatewayConfig {
            model: loaded.model.clone(),
            model_text: loaded.text.clone(),
            store: self.store.clone(),
            auth: self.auth.clone(),
            api: ApiOptions {
                introspection: true,
                limits: self.limits.clone(),
            },
            limits: self.limits.clone(),
            webhooks: self.webhooks.clone(),
            accepted: self.accepted,
            observer: Arc::clone(&self.observer),
        })
        .await
    }

    fn http_options(&self, loaded: &LoadedModel) -> HttpOptions {
        let is_near = self.address.ip().is_loopback();
        HttpOptions {
            limits: self.limits.clone(),
            times: self.times,
            // Another tool serves an app in development, on another port.
            origins: AllowedOrigins {
                named: Vec::new(),
                loopback: is_near,
            },
            allowed_headers: Vec::new(),
            graphiql: Some(banner::page(loaded, &self.users)),
            dev_tokens: is_near.then(|| token_signer(&self.auth)),
            loopback_hosts_only: is_near,
            public_schema: true,
        }
    }
}

fn webhook(text: &str) -> Result<(String, Url), String> {
    let (name, url) = text.split_once('=').ok_or("write NAME=URL")?;
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), url))
}

fn webhooks(named: &[(String, Url)]) -> WebhookConfig {
    let secret = WEBHOOK_SECRET.parse();
    WebhookConfig {
        urls: named.iter().cloned().collect(),
        secret: Some(secret.expect("the secret for development has the form of one")),
        ..WebhookConfig::default()
    }
}

fn dev_users(auth: &AuthConfig) -> Result<Vec<DevUser>, CliError> {
    USERS
        .into_iter()
        .map(|name| {
            let token = auth::sign(auth, name, dev_claims(), app::now().ms(), TOKEN_LIFETIME)?;
            Ok(DevUser {
                name: name.to_owned(),
                token,
            })
        })
        .collect()
}

/// Signs tokens for pages in development.
fn token_signer(auth: &AuthConfig) -> DevTokenSigner {
    let auth = auth.clone();
    Arc::new(move |user, teams| {
        let (now, claims) = (
            app::now(),
            Map::from_iter([("teams".to_owned(), json!(teams))]),
        );
        let token = auth::sign(&auth, user, claims, now.ms(), PAGE_TOKEN_LIFETIME);
        let lifetime = i64::try_from(PAGE_TOKEN_LIFETIME.as_millis()).unwrap_or(i64::MAX);
        Ok(DevToken {
            token: token.map_err(|reason| reason.to_string())?,
            expires: now.plus_ms(lifetime).to_string(),
        })
    })
}

/// Both users are in one team, so that the example model's `team:demo` is shared between them.
fn dev_claims() -> Map<String, Value> {
    Map::from_iter([("teams".to_owned(), json!(["demo"]))])
}

/// The development key in `data`, where a gateway has made it.
pub(super) fn existing_signing_key(data: &Path) -> Result<SigningKey, CliError> {
    let path = data.join("dev.key");
    match path.exists() {
        true => signing_key(data),
        false => Err(format!(
            "there is no key {}, by which tokens could be checked",
            path.display()
        )
        .into()),
    }
}

/// The development key in `data`, made at the first use and readable by its owner alone.
pub(super) fn signing_key(data: &Path) -> Result<SigningKey, CliError> {
    let path = data.join("dev.key");
    if !path.exists() {
        let made = fs::create_dir_all(data)
            .and_then(|()| files::create_whole(&path, &app::random_hex::<32>()));
        made.map_err(|error| format!("the key {} cannot be written: {error}", path.display()))?;
        print_error(&format!("made a new development key in {}", path.display()));
    }
    let secret = fs::read_to_string(&path)
        .map_err(|error| format!("the key {} cannot be read: {error}", path.display()))?;
    Ok(SigningKey::from_secret(secret.trim())?)
}
