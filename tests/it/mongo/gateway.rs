//! A gateway's service on a MongoDB store, and callers that push and pull as their clients would.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tidegate::{
    limits::Limits,
    store::{Store, mongo::MongoOptions},
    sync::{Caller, Page, PullRequest, SyncService},
    webhook::Webhooks,
};
use tidegate_core::{
    change::{Action, BaseVersion, Change, Submission},
    checkpoint::{Checkpoint, RequestedTypes, Token},
    entry::{FeedItem, Record},
    grant::Identity,
    id::{ClientId, DocumentId, DocumentKey, MutationId, UserId},
    model::Model,
    outcome::Status,
    push::{Outcome, Push, PushClient},
    value::{
        Document, Timestamp,
        json::{decode_fields, encode_fields},
    },
};

use super::open;

pub(crate) const MODEL: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE) @grant(scope: "team:{teams}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{audience}") @conflict(policy: MERGE, overlap: SERVER_WINS) {
  id: ID! audience: String! title: String! notes: String due: DateTime @stored(as: "due_at")
  email: String @stored(as: "e_mail") minutes: Int! @merge(with: COUNTER) @default(value: 0)
  address: Address lines: [Line!]
}
type Address { city: String }
type Line { code: String! count: Int }
type ByObjectId @collection(name: "object_ids", idType: OBJECT_ID) @scope(by: "{audience}") { id: ID! audience: String! }
type ByUuid @collection(name: "uuids", idType: UUID) @scope(by: "{audience}") { id: ID! audience: String! }
type ByInt @collection(name: "numbers", idType: INT) @scope(by: "{audience}") { id: ID! audience: String! }
"#;

pub(crate) struct Gateway {
    pub(crate) sync: Arc<SyncService>,
    pub(crate) store: Arc<dyn Store>,
    model: Arc<Model>,
}

impl Gateway {
    pub(crate) async fn start(options: &MongoOptions) -> Self {
        let model = Arc::new(Model::parse("model.graphql", MODEL).unwrap());
        let store: Arc<dyn Store> = Arc::new(open(options, MODEL).await);
        let clock = Arc::new(|| Timestamp::EPOCH.plus_ms(1_000_000));
        let limits = Limits::default();
        let webhooks = Webhooks::none();
        Self {
            sync: SyncService::start(model.clone(), store.clone(), clock, limits, webhooks),
            store,
            model,
        }
    }

    /// A user, who is in the team `red`.
    pub(crate) fn caller(&self, user: &str) -> Caller {
        let claims = json!({ "sub": user, "teams": ["red"] });
        let identity = Identity {
            user: UserId::new(user).unwrap(),
            claims: claims.as_object().unwrap().clone(),
            expires_at: Timestamp::EPOCH.plus_ms(1_000_000_000),
        };
        self.sync.caller(identity).unwrap()
    }

    /// `fields`, and whatever else a document needs, for a scope of this name.
    pub(crate) fn create(&self, key: &str, fields: Json) -> Change {
        let (document, base) = (self.fields(key, fields), None);
        change(key, Action::Create { document, base })
    }

    pub(crate) fn update(&self, key: &str, base: i32, fields: Json) -> Change {
        let (base, set, seen) = (BaseVersion(base), self.fields(key, fields), None);
        change(key, Action::Update { base, set, seen })
    }

    pub(crate) fn delete(&self, key: &str, base: i32) -> Change {
        let base = BaseVersion(base);
        change(key, Action::Delete { base })
    }

    /// One more in a counter, whatever it is now.
    pub(crate) fn count_on(&self, key: &str) -> Change {
        let base = BaseVersion::OTHER_EPOCH;
        let set = self.fields(key, json!({ "minutes": 1 }));
        let seen = Some(self.fields(key, json!({ "minutes": 0 })));
        change(key, Action::Update { base, set, seen })
    }

    fn fields(&self, key: &str, fields: Json) -> Document {
        let document_type = self.model.document_type(split(key).0).unwrap();
        let fields = fields.as_object().unwrap().clone();
        decode_fields(&self.model, &document_type.fields, fields).unwrap()
    }

    /// Pushes without mutation ids.
    pub(crate) async fn push(&self, user: &str, changes: Vec<Change>) -> Vec<Outcome> {
        let push = push_of(None, changes);
        self.sync
            .push(&self.caller(user), push)
            .await
            .unwrap()
            .outcomes
    }

    /// The push of a client that numbers its changes; `first` is the id of the first.
    pub(crate) async fn numbered(
        &self,
        user: &str,
        first: i32,
        changes: Vec<Change>,
    ) -> Vec<Outcome> {
        let push = self.numbered_push(user, first, changes).await;
        self.sync
            .push(&self.caller(user), push)
            .await
            .unwrap()
            .outcomes
    }

    pub(crate) async fn numbered_push(&self, user: &str, first: i32, changes: Vec<Change>) -> Push {
        let client = PushClient {
            id: ClientId::new(&format!("phone of {user}")).unwrap(),
            first: Some(MutationId(first)),
        };
        let epoch = self.store.snapshot().await.unwrap().state().epoch.clone();
        Push {
            epoch: Some(epoch),
            ..push_of(Some(client), changes)
        }
    }

    pub(crate) async fn pull(&self, user: &str, checkpoint: Option<&Checkpoint>) -> Page {
        self.page(user, checkpoint, 1_000).await
    }

    /// A page of at most this many changes.
    pub(crate) async fn page(
        &self,
        user: &str,
        checkpoint: Option<&Checkpoint>,
        limit: usize,
    ) -> Page {
        let request = PullRequest {
            checkpoint: checkpoint.cloned().map(Token::Kept),
            types: RequestedTypes::All,
            refresh: Default::default(),
            limit,
            reread: Default::default(),
            digests: false,
        };
        self.sync.pull(&self.caller(user), request).await.unwrap()
    }

    /// A document as this user's next pull shows it.
    pub(crate) async fn document(&self, user: &str, key: &str) -> Option<Json> {
        let page = self.pull(user, None).await;
        let changes = page.decoded().unwrap();
        changes.iter().find_map(|item| self.shown(item, key))
    }

    fn shown(&self, item: &FeedItem, key: &str) -> Option<Json> {
        let Record::Entry(entry) = &item.record else {
            return None;
        };
        let document_type = self.model.document_type(split(key).0).unwrap();
        let body = entry.body.as_ref().filter(|_| entry.key == key_of(key))?;
        let fields = encode_fields(&self.model, &document_type.fields, body);
        Some(Json::Object(fields))
    }
}

/// `Task/1`, or only `1`.
pub(crate) fn key_of(key: &str) -> DocumentKey {
    let (type_name, id) = split(key);
    DocumentKey {
        id: DocumentId::new(id).unwrap(),
        ..crate::contract::fixture::key(type_name, id)
    }
}

fn split(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("Task", key))
}

fn change(key: &str, action: Action) -> Change {
    Change {
        key: key_of(key),
        action,
        changed_at: None,
    }
}

pub(crate) fn push_of(client: Option<PushClient>, changes: Vec<Change>) -> Push {
    let submission = |change: Change| Submission {
        type_name: change.key.type_name.clone(),
        id: change.key.id.as_str().to_owned(),
        change: Ok(change),
    };
    Push {
        client,
        changes: changes.into_iter().map(submission).collect(),
        atomic: false,
        policy: None,
        epoch: None,
    }
}

pub(crate) fn statuses(outcomes: &[Outcome]) -> Vec<Status> {
    outcomes.iter().map(|outcome| outcome.status).collect()
}
