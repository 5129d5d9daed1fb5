use tempfile::TempDir;
use tidegate_core::{
    change::{Action, BaseVersion},
    checkpoint::RequestedTypes,
    outcome::Status,
};

use super::*;
use crate::{
    auth::SigningKey,
    fixtures::{self, push, texts},
    sync::PullRequest,
};

impl Gateway {
    /// The same gateway on another store.
    pub(crate) fn on(self, store: Arc<dyn Store>) -> Self {
        let (model, limits) = (self.sync.model().clone(), Limits::default());
        let sync = SyncService::start(model, store, system_clock(), limits, Webhooks::none());
        Self { sync, ..self }
    }
}

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Note @collection(name: "notes") @scope(by: "public") { id: ID! text: String }
"#;

#[tokio::test]
async fn a_running_gateway_collects_old_tombstones_by_itself() {
    let directory = TempDir::new().unwrap();
    let key = SigningKey::from_secret("a secret that is long enough for HS256").unwrap();
    let gateway = Gateway::start(GatewayConfig {
        model: Arc::new(Model::parse("model.graphql", MODEL).unwrap()),
        model_text: MODEL.to_owned(),
        store: StoreConfig {
            tombstone_retention: Duration::ZERO,
            ..StoreConfig::new(StoreUrl::Embedded(directory.path().to_owned()))
        },
        auth: AuthConfig::with_secret(key),
        api: ApiOptions::default(),
        limits: Limits::default(),
        webhooks: WebhookConfig::default(),
        accepted: Accepted::default(),
        observer: Observer::new(crate::metrics::Metrics::new(), None),
    })
    .await
    .unwrap();
    let sync = &gateway.sync;
    let alice = Identity {
        user: UserId::new("alice").unwrap(),
        claims: serde_json::Map::new(),
        expires_at: now().plus_ms(60_000),
    };
    let alice = sync.caller(alice).unwrap();
    let document = texts(&[("text", "t")]);
    let applied = async |action| {
        let outcome = sync
            .push(&alice, push([(fixtures::key("Note", "a"), action)]))
            .await
            .unwrap();
        assert_eq!(outcome.outcomes[0].status, Status::Applied);
    };
    let pull = async |checkpoint: Option<&str>| {
        let request = PullRequest::new(checkpoint, RequestedTypes::All, 10, sync.limits()).unwrap();
        sync.pull(&alice, request).await.unwrap()
    };
    let base = None;
    applied(Action::Create { document, base }).await;
    let before = pull(None).await.token();
    let base = BaseVersion(1);
    applied(Action::Delete { base }).await;
    let pull = async || pull(Some(&before)).await.changes.len();
    assert_eq!(pull().await, 1, "the tombstone");
    tokio::time::sleep(Duration::from_millis(5)).await;
    tokio::time::pause();
    tokio::time::advance(COLLECT_EVERY).await;
    tokio::time::resume();
    let collected = async {
        while pull().await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), collected)
        .await
        .expect("it is collected");
}
