//! The routes as clients see them, on a real gateway with an embedded store. Sockets are tested in `sockets`.

mod apps;
mod events;
mod requests;
mod sockets;

use std::{sync::atomic::AtomicBool, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use serde_json::{Map, Value as Json};
use tempfile::TempDir;
use tidegate_core::{model::Model, value::Document};
use tower::ServiceExt;

use super::*;
use crate::{
    app::GatewayConfig,
    auth::{AuthConfig, SigningKey, sign},
    config::{StoreConfig, StoreUrl},
    fixtures::{embedded, key},
    graphql::{
        ApiOptions,
        tests::peer::staged::{Stage, Staged},
    },
    limits::Limits,
    metrics::Metrics,
    quota::QuotaLimits,
    record::Observer,
    store::{Store, embedded::EmbeddedStore},
};

const BODY_BYTES_MAX: usize = 4096;

/// A gateway on a store of its own.
struct TestServer {
    _directory: TempDir,
    auth: AuthConfig,
    gateway: Arc<Gateway>,
    options: HttpOptions,
    quota: Arc<Quota>,
    shutdown: Shutdown,
}

/// A response, read to its end.
struct TestReply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl TestServer {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let key = SigningKey::from_secret("a secret that is long enough for HS256");
        let auth = AuthConfig {
            leeway_s: 0,
            ..AuthConfig::with_secret(key.unwrap())
        };
        let text = include_str!("../../model.graphql");
        let model = Model::parse("model.graphql", text).unwrap();
        let gateway = Gateway::start(GatewayConfig {
            model: Arc::new(model),
            model_text: text.to_owned(),
            store: StoreConfig::new(StoreUrl::Embedded(directory.path().join("store"))),
            auth: auth.clone(),
            api: ApiOptions {
                introspection: true,
                ..ApiOptions::default()
            },
            limits: Limits::default(),
            webhooks: Default::default(),
            accepted: Default::default(),
            observer: Observer::new(Metrics::new(), None),
        })
        .await;
        Self {
            _directory: directory,
            auth,
            gateway: gateway.unwrap(),
            options: HttpOptions {
                limits: Limits {
                    body_bytes: BODY_BYTES_MAX,
                    user_connections: 10,
                    user_rate: 0,
                    ..Limits::default()
                },
                times: HttpTimes::default(),
                origins: AllowedOrigins::default(),
                allowed_headers: Vec::new(),
                graphiql: None,
                dev_tokens: None,
                loopback_hosts_only: false,
                public_schema: false,
            },
            quota: Quota::new(QuotaLimits {
                bytes_max: 1 << 30,
                user_bytes_max: 1 << 28,
            }),
            shutdown: Shutdown::default(),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut HttpOptions)) -> Self {
        change(&mut self.options);
        self
    }

    fn server(&self) -> ServerOptions {
        ServerOptions {
            limits: self.options.limits.clone(),
            quota: self.quota.clone(),
            times: self.options.times,
            metrics: Arc::clone(&self.gateway.observer.metrics),
        }
    }

    /// Makes its store show this document instead of the one it holds.
    fn showing(self, type_name: &str, id: &str, body: Document) -> Self {
        let stage = Stage {
            bodies: [(key(type_name, id), body)].into(),
            is_set: AtomicBool::new(true),
            ..Stage::default()
        };
        let store = Staged {
            inner: self.another_store(),
            layer: Arc::new(stage),
        };
        self.on(Arc::new(store))
    }

    fn another_store(&self) -> EmbeddedStore {
        embedded(&self._directory.path().join("another"))
    }

    fn on(mut self, store: Arc<dyn Store>) -> Self {
        let gateway = Arc::into_inner(self.gateway).expect("nothing else has it");
        self.gateway = Arc::new(gateway.on(store));
        self
    }

    fn router(&self) -> Router {
        let gateway = self.gateway.clone();
        let (options, quota) = (self.options.clone(), self.quota.clone());
        router(gateway, options, quota, self.shutdown.clone())
    }

    /// A token of alice.
    fn token(&self, lifetime: Duration) -> String {
        let now_ms = self.gateway.sync.now().ms();
        sign(&self.auth, "alice", Map::new(), now_ms, lifetime).unwrap()
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token(Duration::from_secs(60)))
    }

    /// The response to a request with these headers, and no others.
    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> TestReply {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        TestReply {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    /// A POST of alice's.
    async fn post(&self, headers: &[(&str, &str)], body: &str) -> TestReply {
        let bearer = self.bearer();
        let own = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let headers = [headers, &own].concat();
        self.ask("POST /graphql", &headers, body.to_owned()).await
    }

    /// A GET of alice's.
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> TestReply {
        let bearer = self.bearer();
        let headers = [headers, &[("authorization", bearer.as_str())]].concat();
        let line = format!("GET {path}")
            .replace('{', "%7B")
            .replace('}', "%7D");
        self.ask(&line, &headers, Body::empty()).await
    }
}

impl TestReply {
    fn json(&self) -> Json {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Status, code and message in one line; the code is empty when there are no errors.
    fn outcome(&self) -> String {
        let json = self.json();
        let error = &json["errors"][0];
        let code = error["extensions"]["code"].as_str().unwrap_or_default();
        format!("{} {code}", self.status.as_u16())
            .trim_end()
            .to_owned()
    }
}
