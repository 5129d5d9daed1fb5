//! `serve`: production. It refuses a configuration in which anything is unknown or unsafe.

#[cfg(windows)]
use std::future::pending;
use std::{
    env, fs,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    pin::pin,
    sync::Arc,
};

use axum::Router;
use clap::Args;
use tidegate_core::model::Model;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::sleep};

use super::{
    CliError, CliResult, ConfigArgs, block_on,
    model::{self, LoadedModel},
    print_error,
};
use crate::{
    app::{Gateway, GatewayConfig},
    config::{Config, ConfigProblem, LoadedConfig},
    graphql::ApiOptions,
    http::{self, AllowedOrigins, GraphiqlConfig, HttpOptions, ServerOptions, Shutdown},
    limits::Limits,
    metrics::Metrics,
    quota::Quota,
    record::Observer,
    sync::Accepted,
    telemetry::Log,
};

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    accepted: AcceptedArgs,
}

/// What the operator accepts of a change of the model.
#[derive(Debug, Args)]
pub(super) struct AcceptedArgs {
    /// Start on a model that stored documents do not fit: they are withheld, and devices lose them until they fit again
    #[arg(long)]
    withhold: bool,
}

impl From<AcceptedArgs> for Accepted {
    fn from(args: AcceptedArgs) -> Self {
        Self {
            withhold: args.withhold,
        }
    }
}

pub(super) fn run(args: ServeArgs, log: &Log) -> CliResult {
    let LoadedConfig { config, warnings } = read(&args.config)?;
    log.set(config.log.filter.as_ref());
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let LoadedModel {
        mut model, text, ..
    } = model::load(Some(&config.model))?;
    check_webhooks(&model, &config)?;
    let unshared = Arc::get_mut(&mut model).expect("nobody else has the model yet");
    unshared.list_items_max = config.limits.list_items;
    block_on(async {
        // From here on a SIGHUP ends the process no more.
        #[cfg(unix)]
        let hangups = signal(SignalKind::hangup())?;
        #[cfg(windows)]
        let hangups = ();
        let listener = listen(config.listen).await?;
        let address = listener.local_addr()?;
        let metrics = Metrics::new();
        let observer = Observer::new(Arc::clone(&metrics), config.log.user_key.clone());
        let scrapes = match config.metrics {
            Some(address) => Some(ScrapeServer::start(address, &config, &metrics).await?),
            None => None,
        };
        let server = ServerOptions::new(config.limits.clone(), config.http.times);
        let server = server.measured(metrics);
        let served = serve(listener, server, async |stage| {
            let gateway = Gateway::start(GatewayConfig {
                model,
                model_text: text,
                store: config.store.clone(),
                auth: config.auth.clone(),
                api: ApiOptions {
                    introspection: config.graphql.introspection,
                    limits: config.limits.clone(),
                },
                limits: config.limits.clone(),
                webhooks: config.webhooks.clone(),
                accepted: args.accepted.into(),
                observer,
            })
            .await?;
            let reloaded = Arc::clone(&gateway);
            stage.put(gateway, http_options(&config));
            stage.announce(&format!(
                "Tidegate serves {} at http://{address}\n",
                config.model.display()
            ));
            reload_when_asked(hangups, &reloaded, &args.config, log).await
        });
        let served = served.await;
        if let Some(scrapes) = scrapes {
            scrapes.stop().await;
        }
        served
    })
}

/// Serves `/metrics`, until the gateway has answered its last request.
struct ScrapeServer {
    shutdown: Shutdown,
    server: JoinHandle<()>,
    _router: watch::Sender<Router>,
}

/// The connections that may be open: Prometheus' own, and some by hand. A further one ends the oldest.
const SCRAPERS_MAX: usize = 16;

/// The bytes that they may hold.
const SCRAPE_BYTES_MAX: usize = 16 << 20;

impl ScrapeServer {
    async fn start(
        address: SocketAddr,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, CliError> {
        let listener = listen(address).await?;
        let at = listener.local_addr()?;
        tracing::info!("metrics are at http://{at}/metrics");
        let limits = Limits {
            new_connections: SCRAPERS_MAX,
            buffer_bytes: SCRAPE_BYTES_MAX,
            user_buffer_bytes: SCRAPE_BYTES_MAX,
            ..Limits::default()
        };
        let times = config.http.times;
        let router = http::metrics_router(Arc::clone(metrics), times);
        let (router, served) = watch::channel(router);
        let shutdown = Shutdown::default();
        let options = ServerOptions::new(limits, times);
        let server = tokio::spawn(http::serve(listener, served, shutdown.clone(), options));
        Ok(Self {
            shutdown,
            server,
            _router: router,
        })
    }

    async fn stop(self) {
        self.shutdown.begin();
        // A reader that panicked has already reported its panic.
        drop(self.server.await);
    }
}

/// Loads keys, secrets and the filter of the log again at each SIGHUP. A configuration with a mistake changes nothing.
#[cfg(unix)]
async fn reload_when_asked(
    mut hangups: Signal,
    gateway: &Gateway,
    args: &ConfigArgs,
    log: &Log,
) -> CliResult {
    loop {
        hangups.recv().await;
        match reload(gateway, args, log) {
            Ok(()) => tracing::info!("keys, secrets and the level of the log are loaded again"),
            Err(CliError(complaint)) => {
                tracing::error!("nothing is loaded again: {complaint}");
            }
        }
    }
}

#[cfg(windows)]
async fn reload_when_asked((): (), _: &Gateway, _: &ConfigArgs, _: &Log) -> CliResult {
    pending().await
}

#[cfg(unix)]
fn reload(gateway: &Gateway, args: &ConfigArgs, log: &Log) -> CliResult {
    let LoadedConfig { config, .. } = read(args)?;
    gateway.reload(&config)?;
    log.set(config.log.filter.as_ref());
    Ok(())
}

/// Checks that each webhook of the model has a URL, so that no part of a model is silently without effect.
pub(super) fn check_webhooks(model: &Model, config: &Config) -> CliResult {
    match model
        .webhooks()
        .find(|name| !config.webhooks.urls.contains_key(*name))
    {
        None => Ok(()),
        Some(name) => Err(CliError(format!(
            "the model asks the webhook {name}, which has no address; write it in webhooks.urls, such as {{ {name} = \"https://app.example.com/conflicts\" }}"
        ))),
    }
}

fn http_options(config: &Config) -> HttpOptions {
    let graphiql = config.graphql.graphiql.then(|| GraphiqlConfig {
        endpoint: "/graphql".to_owned(),
        users: Vec::new(),
        tabs: Vec::new(),
    });
    HttpOptions {
        limits: config.limits.clone(),
        times: config.http.times,
        origins: AllowedOrigins {
            named: config.http.allowed_origins.clone(),
            loopback: false,
        },
        allowed_headers: config.http.allowed_headers.clone(),
        graphiql,
        dev_tokens: None,
        loopback_hosts_only: false,
        public_schema: config.graphql.introspection,
    }
}

/// What the system buffers for a client that does not read. Its own default grows to some MiB.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// What the system buffers from a client whose data is not read. A body has 1 MiB at most, so a larger buffer gains
/// nothing.
const RECEIVE_BUFFER_BYTES: usize = 128 * 1024;

/// Listens on the address, or says why that fails.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, CliError> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        format!("{address} cannot be listened on: {error}; choose another address")
    })?;
    // Connections inherit both from their listener.
    let socket = socket2::SockRef::from(&listener);
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    Ok(listener)
}

/// Where gateways serve, one after the other. While there is none, requests are answered that it is not ready.
pub(super) struct Stage {
    router: watch::Sender<Router>,
    metrics: Arc<Metrics>,
    quota: Arc<Quota>,
    /// The shutdown of the whole process.
    shutdown: Shutdown,
    /// The gateway that serves, and its own shutdown.
    current: Option<(Arc<Gateway>, Shutdown)>,
}

impl Stage {
    /// Lets the gateway serve from now on. The one before has been taken away.
    pub(super) fn put(&mut self, gateway: Arc<Gateway>, options: HttpOptions) {
        let shutdown = self.shutdown.of_one();
        let quota = Arc::clone(&self.quota);
        let router = http::router(Arc::clone(&gateway), options, quota, shutdown.clone());
        self.router.send_modify(|current| *current = router);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
        self.current = Some((gateway, shutdown));
    }

    /// The gateway that serves.
    pub(super) fn current(&self) -> Option<&Gateway> {
        self.current.as_ref().map(|(gateway, _)| &**gateway)
    }

    /// Takes the gateway away. Its sockets are closed, and the requests under way are still answered.
    pub(super) async fn clear(&mut self) {
        if let Some((gateway, shutdown)) = self.current.take() {
            self.router
                .send_modify(|current| *current = http::waiting(&self.metrics));
            shutdown.begin();
            gateway.stop().await;
        }
    }

    /// Prints to standard output. Serving goes on if that cannot be written, as on a full disk.
    pub(super) fn announce(&self, text: &str) {
        drop(io::stdout().write_all(text.as_bytes()));
    }
}

/// Serves what `work` puts on the stage until the process is asked to stop, then finishes the requests that have begun.
pub(super) async fn serve(
    listener: TcpListener,
    options: ServerOptions,
    work: impl AsyncFnOnce(&mut Stage) -> CliResult,
) -> CliResult {
    let mut stop = pin!(stop_requested()?);
    raise_file_limit();
    let shutdown = Shutdown::default();
    let (metrics, delay) = (Arc::clone(&options.metrics), options.times.drain_delay);
    let (router, served) = watch::channel(http::waiting(&metrics));
    let mut stage = Stage {
        router,
        metrics,
        quota: options.quota.clone(),
        shutdown: shutdown.clone(),
        current: None,
    };
    let server = tokio::spawn(http::serve(listener, served, shutdown.clone(), options));
    let done = tokio::select! { done = work(&mut stage) => done, () = &mut stop => Ok(()) };
    shutdown.announce();
    if done.is_ok() && !delay.is_zero() {
        tracing::info!(
            seconds = delay.as_secs(),
            "not ready any more; stops after a while"
        );
        tokio::select! { () = sleep(delay) => {}, () = stop_requested()? => {} }
    }
    shutdown.begin();
    if let Some(gateway) = stage.current() {
        gateway.stop().await;
    }
    server.await?;
    done.inspect(|()| tracing::info!("stopped"))
}

/// Raises the limit of open files: each connection is one, and most systems allow a process 1,024 by default.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "as many files and connections may be open"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it was"),
    }
}

/// Ends when the process is asked to stop: Ctrl-C, or SIGTERM. It listens from the call on, so a caller that has read the
/// gateway's address can stop it in order.
#[cfg(unix)]
pub(super) fn stop_requested() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
    })
}

/// Ends when the process is asked to stop by Ctrl-C.
#[cfg(windows)]
pub(super) fn stop_requested() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupted = tokio::signal::windows::ctrl_c()?;
    Ok(async move { drop(interrupted.recv().await) })
}

/// The configuration's file unless another is named.
pub(super) const CONFIG: &str = "tidegate.toml";

/// Reads the configuration and prints its warnings.
pub(super) fn load(args: &ConfigArgs) -> Result<Config, CliError> {
    let LoadedConfig { config, warnings } = read(args)?;
    for warning in warnings {
        print_error(&format!("warning: {warning}"));
    }
    Ok(config)
}

fn read(args: &ConfigArgs) -> Result<LoadedConfig, CliError> {
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
    Config::load(named, environment).map_err(listed)
}

fn listed(problems: Vec<ConfigProblem>) -> CliError {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    CliError(lines.join("\n"))
}
