//! `serve`: production. It refuses a configuration in which anything is unknown or unsafe.

use std::{
    env, fs,
    future::pending,
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
use tokio::signal::unix::{SignalKind, signal};
use tokio::{net::TcpListener, sync::watch};

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
    quota::Quota,
    sync::Accepted,
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

pub(super) fn run(args: ServeArgs) -> CliResult {
    let config = load(&args.config)?;
    let LoadedModel {
        mut model, text, ..
    } = model::load(Some(&config.model))?;
    check_webhooks(&model, &config)?;
    let unshared = Arc::get_mut(&mut model).expect("nobody else has the model yet");
    unshared.list_items_max = config.limits.list_items;
    block_on(async {
        let listener = listen(config.listen).await?;
        let address = listener.local_addr()?;
        let server = ServerOptions::new(config.limits.clone(), config.http.times);
        serve(listener, server, async |stage| {
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
            })
            .await?;
            stage.put(gateway, http_options(&config));
            stage.announce(&format!(
                "Tidegate serves {} at http://{address}\n",
                config.model.display()
            ));
            pending().await
        })
        .await
    })
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
                .send_modify(|current| *current = http::waiting());
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
    let (router, served) = watch::channel(http::waiting());
    let mut stage = Stage {
        router,
        quota: options.quota.clone(),
        shutdown: shutdown.clone(),
        current: None,
    };
    let server = tokio::spawn(http::serve(listener, served, shutdown.clone(), options));
    let done = tokio::select! { done = work(&mut stage) => done, () = &mut stop => Ok(()) };
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
    let LoadedConfig { config, warnings } = Config::load(named, environment).map_err(listed)?;
    for warning in warnings {
        print_error(&format!("warning: {warning}"));
    }
    Ok(config)
}

fn listed(problems: Vec<ConfigProblem>) -> CliError {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    CliError(lines.join("\n"))
}
