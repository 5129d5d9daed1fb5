//! `serve`: production, by a configuration that is refused whole where anything in it is unknown or unsafe.

use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Complaint, ConfigArgs, Done, block_on,
    model::{self, LoadedModel},
    say, tell,
};
use crate::{
    app::{Gateway, Parts},
    config::{Config, ConfigProblem, Loaded, StoreUrl},
    graphql::ApiOptions,
    http::{self, GraphiqlConfig, HttpOptions, Shutdown},
    sync::SyncLimits,
};

pub(super) fn run(args: &ConfigArgs) -> Done {
    let config = load(args)?;
    let store = embedded_path(&config)?;
    let LoadedModel { model, text, .. } = model::load(Some(&config.model))?;
    block_on(async {
        let gateway = Gateway::start(Parts {
            model,
            model_text: text,
            store,
            auth: config.auth.clone(),
            api: ApiOptions {
                introspection: config.graphql.introspection,
            },
            limits: sync_limits(&config),
            retention: config.store.tombstone_retention,
        })
        .await?;
        let listener = listen(config.listen).await?;
        let stop = stop_asked()?;
        say(&format!(
            "Tidegate serves {} at http://{}\n",
            config.model.display(),
            listener.local_addr()?
        ));
        let graphiql = config.graphql.graphiql.then(|| GraphiqlConfig {
            endpoint: "/graphql".to_owned(),
            users: Vec::new(),
            tabs: Vec::new(),
        });
        let options = HttpOptions {
            body_bytes_max: config.limits.body_bytes,
            allowed_origins: config.http.allowed_origins.clone(),
            graphiql,
            loopback_hosts_only: false,
            public_schema: config.graphql.introspection,
        };
        serve_until(stop, listener, gateway, options).await;
        Ok(())
    })
}

/// Takes the address, or says who cannot have it.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, Complaint> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("{address} cannot be listened on: {error}; choose another address").into()
    })
}

/// Serves until `stop`, then finishes what was begun.
pub(super) async fn serve_until(
    stop: impl Future<Output = ()> + Send + 'static,
    listener: TcpListener,
    gateway: Arc<Gateway>,
    options: HttpOptions,
) {
    let shutdown = Shutdown::default();
    let router = http::router(gateway, options, shutdown.clone());
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            stop.await;
            shutdown.begin();
        }
    });
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    http::serve(listener, router, shutdown).await;
    tracing::info!("stopped");
}

/// Ends when the process is asked to stop: Ctrl-C, or SIGTERM. It listens from the call on, so that whoever has read
/// the gateway's address can stop it in good order.
#[cfg(unix)]
pub(super) fn stop_asked() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
    })
}

/// Ends when the process is asked to stop by Ctrl-C.
#[cfg(windows)]
pub(super) fn stop_asked() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupted = tokio::signal::windows::ctrl_c()?;
    Ok(async move { drop(interrupted.recv().await) })
}

fn sync_limits(config: &Config) -> SyncLimits {
    SyncLimits {
        push_changes: config.limits.push_changes,
        page_changes: config.limits.page_changes,
        ..SyncLimits::default()
    }
}

/// Where the embedded store is; this version has no other.
pub(super) fn embedded_path(config: &Config) -> Result<PathBuf, Complaint> {
    match &config.store.url {
        StoreUrl::Embedded(path) => Ok(path.clone()),
        StoreUrl::Mongodb => Err(NO_MONGODB.into()),
    }
}

/// What whoever names a MongoDB is told.
pub(super) const NO_MONGODB: &str =
    "store.url names a MongoDB, which this version cannot use yet; set it to embedded:PATH";

/// The configuration's file unless another is named.
pub(super) const CONFIG: &str = "tidegate.toml";

/// Reads the configuration and warns of what its owner should think about.
pub(super) fn load(args: &ConfigArgs) -> Result<Config, Complaint> {
    let here = Path::new(CONFIG);
    let path = args
        .config
        .as_deref()
        .or_else(|| here.exists().then_some(here));
    let text = path
        .map(|path| {
            fs::read_to_string(path).map_err(|error| {
                format!(
                    "the configuration {} cannot be read: {error}",
                    path.display()
                )
            })
        })
        .transpose()?;
    let name = path.map(|path| path.display().to_string());
    let environment = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let named = name.as_deref().zip(text.as_deref());
    let Loaded { config, warnings } = Config::load(named, environment).map_err(listed)?;
    for warning in warnings {
        tell(&format!("warning: {warning}"));
    }
    Ok(config)
}

fn listed(problems: Vec<ConfigProblem>) -> Complaint {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Complaint(lines.join("\n"))
}
