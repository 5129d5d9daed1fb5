//! A gateway's API on one model and store, and the questions to its roots, for both sides of the comparison.
//! `making.rs` makes its documents.

use std::sync::Arc;

use apollo_compiler::Schema;
use futures_util::{StreamExt, stream::BoxStream};
use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;
use tidegate_core::{
    grant::Identity, id::UserId, model::Model, query::IndexDefinition, value::Timestamp,
};
use tokio::runtime::Runtime;

use super::{
    making::{AGAIN, Making},
    operations::RandomOperation,
    staged::{Stage, Staged},
};
use crate::{
    fixtures::embedded,
    graphql::{
        Api, ApiOptions, OperationKind, RawRequest, answer::Answer,
        request::tests::peer::tape::Tape,
    },
    limits::Limits,
    quota::Account,
    store::Store,
    sync::{Caller, SyncService},
    webhook::Webhooks,
};

pub(crate) const MODEL: &str = r#"
extend schema @grant(scope: "team:{teams}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") @conflict(policy: MANUAL) {
  id: ID!
  team: String!
  title: String!
  notes: String
  priority: Priority! @default(value: NORMAL)
  priorities: [Priority!]! @default(value: [])
  moods: [Priority]
  place: Place!
  size: Size
  lines: [Line!]! @default(value: [])
  maybe: [Line!]
  grid: [[Int!]!]! @default(value: [])
  loose: [[Float]!]
  rows: [[Line!]!]
  count: Int! @default(value: 3)
  flag: Boolean
  due: DateTime
  big: Long
  exact: Decimal!
  bytes: Bytes
  any: JSON
  parent: Task @reference(by: "parentId")
  parentId: ID
  project: Project @reference(by: "projectId")
  projectId: ID
}
type Project @collection(name: "projects") @scope(by: "team:{team}") @conflict(policy: LAST_WRITE_WINS) {
  id: ID!
  team: String!
  name: String
  title: String!
  lines: [Line!]! @default(value: [])
  size: Size!
  lead: Task @reference(by: "leadId")
  leadId: ID
}
type Note @collection(name: "notes") @scope(by: "team:{team}") { id: ID!  team: String!  title: String  place: Place }
enum Priority { LOW NORMAL HIGH }
type Place { name: String!  size: Size  inside: Place  tags: [String!] }
type Size { width: Int! @default(value: 1)  height: Float  unit: Priority! @default(value: LOW) }
type Line { text: String  amount: Int!  place: Place  sizes: [Size!] }
"#;

/// A field at a root with its arguments.
pub(super) struct Root {
    pub(super) kind: OperationKind,
    pub(super) field: &'static str,
    pub(super) arguments: String,
}

pub(crate) struct TestWorld {
    pub(super) api: Api,
    schema: Schema,
    sync: Arc<SyncService>,
    caller: Caller,
    runtime: Runtime,
    roots: Vec<Root>,
    pub(super) reported: Json,
    _directory: TempDir,
}

impl TestWorld {
    pub(super) fn new(mut tape: Tape) -> Self {
        let model = Arc::new(Model::parse("model.graphql", MODEL).unwrap());
        Making::new(&model, &mut tape).reported()
    }

    pub(crate) fn serve(model: &Arc<Model>, stage: Arc<Stage>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let directory = TempDir::new().unwrap();
        let inner = embedded(directory.path());
        let types = model.types.iter();
        let indexes = types.flat_map(|of| IndexDefinition::all_of(of));
        let indexes: Vec<Arc<IndexDefinition>> = indexes.collect();
        runtime.block_on(inner.keep_indexes(&indexes)).unwrap();
        let sync = runtime.block_on(async {
            SyncService::start(
                Arc::clone(model),
                Arc::new(Staged {
                    inner,
                    layer: stage,
                }),
                Arc::new(|| Timestamp::EPOCH.plus_ms(1_000)),
                Limits::default(),
                Webhooks::none(),
            )
        });
        let identity = Identity {
            user: UserId::new("alice").unwrap(),
            claims: [("teams".to_owned(), json!(["1"]))].into_iter().collect(),
            expires_at: Timestamp::EPOCH.plus_ms(i64::from(i32::MAX)),
        };
        let caller = sync.caller(identity).unwrap();
        let options = ApiOptions {
            introspection: true,
            // The specification has no costs.
            limits: Limits {
                query_cost: usize::MAX,
                answer_bytes: usize::MAX,
                ..Limits::default()
            },
        };
        let api = Api::new(model, options).unwrap();
        Self {
            schema: Schema::parse(api.sdl(), "schema.graphql").unwrap(),
            api,
            sync,
            caller,
            runtime,
            roots: roots(),
            reported: Json::Null,
            _directory: directory,
        }
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(super) fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// What graphql-js gets.
    pub(super) fn reported(&self) -> &Json {
        &self.reported
    }

    /// The answer's text; the first one's of a subscription.
    ///
    /// # Errors
    /// Why the operation is refused.
    pub(crate) fn run(&self, operation: &RandomOperation) -> Result<String, String> {
        let raw = RawRequest {
            query: operation.query.clone(),
            hash: None,
            operation_name: None,
            variables: operation.variables.clone(),
        };
        let text = |answer: Answer| String::from_utf8(answer.into_json()).unwrap();
        let validated = self.api.validate(raw).map_err(text)?;
        let (sync, caller) = (&self.sync, self.caller.clone());
        Ok(self.runtime.block_on(async {
            text(match validated.kind() {
                OperationKind::Subscription => {
                    let mut answers = self.api.subscribe(sync, caller, validated);
                    answers.next().await.expect("one event")
                }
                _ => self.api.execute(sync, caller, validated).await,
            })
        }))
    }

    /// Follows a subscription; what it keeps is counted on `account`.
    pub(crate) fn follow(&self, query: String, account: &Account) -> BoxStream<'static, Answer> {
        let raw = RawRequest {
            query,
            ..RawRequest::default()
        };
        let validated = self.api.validate(raw).unwrap();
        let caller = self.caller.clone().counted_on(account.clone());
        let _entered = self.runtime.enter();
        self.api.subscribe(&self.sync, caller, validated)
    }

    /// The next answer.
    pub(crate) fn next(&self, answers: &mut BoxStream<'static, Answer>) -> Answer {
        self.runtime.block_on(answers.next()).unwrap()
    }

    /// The data of an operation, or nothing if there are errors.
    pub(super) fn data(&self, query: String) -> Option<Json> {
        let variables = Map::new();
        let answer = self.run(&RandomOperation { query, variables }).unwrap();
        let mut answer: Json = serde_json::from_str(&answer).unwrap();
        answer
            .get("errors")
            .is_none()
            .then(|| answer["data"].take())
    }
}

fn roots() -> Vec<Root> {
    use OperationKind::{Mutation, Query, Subscription};
    let fails = r#"input: {conflictId: "x", baseVersion: 1, resolution: {take: MINE}}"#;
    let rows: &[(OperationKind, &'static str, &[&str])] = &[
        (
            Query,
            "changesSince",
            &[
                "",
                "limit: 1",
                "limit: 3, types: [Task, Note]",
                "types: [Project]",
                "limit: 0",
            ],
        ),
        (
            Query,
            "task",
            &[r#"id: "a""#, r#"id: "b""#, r#"id: "c""#, r#"id: """#],
        ),
        (Query, "project", &[r#"id: "p""#, r#"id: "q""#]),
        (Query, "note", &[r#"id: "n""#]),
        (
            Query,
            "viewer",
            &["", r#"clientId: "phone""#, r#"clientId: """#],
        ),
        (Query, "conflicts", &["", "first: 0"]),
        (
            Mutation,
            "pushChanges",
            &[
                AGAIN,
                r#"input: {client: {id: "x", firstMutationId: 1}, changes: []}"#,
            ],
        ),
        (Mutation, "resolveConflict", &[fails]),
        (
            Subscription,
            "changes",
            &[
                "",
                "limit: 2",
                "types: [Task]",
                "from: NOW",
                r#"checkpoint: "nope""#,
            ],
        ),
        (Subscription, "conflicts", &["", "first: 1"]),
    ];
    let root = |kind, field, arguments: &&str| Root {
        kind,
        field,
        arguments: (*arguments).to_owned(),
    };
    rows.iter()
        .flat_map(|(kind, field, rows)| rows.iter().map(|row| root(*kind, *field, row)))
        .collect()
}

impl Root {
    /// The field as text of an operation, without an alias.
    pub(super) fn text(&self) -> String {
        match self.arguments.as_str() {
            "" => self.field.to_owned(),
            arguments => format!("{}({arguments})", self.field),
        }
    }

    pub(super) fn keyword(&self) -> &'static str {
        match self.kind {
            OperationKind::Query => "query",
            OperationKind::Mutation => "mutation",
            OperationKind::Subscription => "subscription",
        }
    }

    pub(super) fn key(&self) -> String {
        let root = match self.kind {
            OperationKind::Query => "Query",
            OperationKind::Mutation => "Mutation",
            OperationKind::Subscription => "Subscription",
        };
        format!("{root}.{}({})", self.field, self.arguments)
    }
}
