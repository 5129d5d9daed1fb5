//! Any body of a request, on its whole way: request validation, the readers of inputs, the core's decisions, an
//! embedded store and the answer. Tokens and HTTP come before it and are not part of it.

use std::{
    fs,
    path::Path,
    sync::{Arc, OnceLock},
};

use serde_json::{Map, Value as Json};
use tempfile::TempDir;
use tidegate::{
    graphql::{Api, ApiOptions, OperationKind, RawRequest},
    limits::Limits,
    store::embedded::{EmbeddedOptions, EmbeddedStore},
    sync::SyncService,
    webhook::Webhooks,
};
use tidegate_core::{
    checkpoint::TokenKey,
    grant::Identity,
    id::{Epoch, UserId},
    model::Model,
    value::Timestamp,
};

/// Every scalar, every way to merge, and a type whose documents are memberships.
const MODEL: &str = include_str!("push.graphql");

/// The query after every accepted push: everything stored must be readable.
const PULL: &str = "{ changesSince(limit: 5000) { checkpoint hasMore changes { kind version scope document {
    id syncVersion
    ... on Thing { must float long decimal bytes at json mood tags place { city more { zip } } places { city } count words }
    ... on Seat { board user role }
} } } }";

struct Bench {
    model: Arc<Model>,
    api: Api,
    /// The file of an empty store: a copy is opened faster than a new one is made.
    file: Vec<u8>,
}

/// Sends the body twice, then pulls. No answer may report that the gateway failed.
pub(crate) fn run(bytes: &[u8]) {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    let Some(raw) = request(bytes) else {
        return;
    };
    let bench = BENCH.get_or_init(bench);
    let Ok(admitted) = bench.api.validate(raw) else {
        return;
    };
    if admitted.kind() == OperationKind::Subscription {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(twice(bench, bytes));
}

async fn twice(bench: &Bench, bytes: &[u8]) {
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join("tidegate.redb"), &bench.file).expect("room for a store");
    let sync = SyncService::start(
        bench.model.clone(),
        Arc::new(open(directory.path())),
        Arc::new(|| Timestamp::EPOCH),
        Limits::default(),
        Webhooks::none(),
    );
    let pull = RawRequest {
        query: PULL.to_owned(),
        ..RawRequest::default()
    };
    for raw in [request(bytes), request(bytes), Some(pull)] {
        let raw = raw.expect("it was a request before");
        let admitted = bench.api.validate(raw).expect("what was admitted stays so");
        let caller = sync.caller(alice()).expect("two scopes");
        let answer = bench.api.execute(&sync, caller, admitted).await.into_json();
        expect_no_failure(&answer);
    }
}

/// Every error has a code, and none reports that the gateway failed.
fn expect_no_failure(answer: &[u8]) {
    let reported: Json = serde_json::from_slice(answer).expect("an answer is JSON");
    let errors = reported["errors"].as_array().into_iter().flatten();
    for code in errors.map(|error| error["extensions"]["code"].as_str()) {
        assert!(
            !matches!(
                code,
                None | Some("INTERNAL_SERVER_ERROR" | "SERVICE_UNAVAILABLE")
            ),
            "{reported}"
        );
    }
}

/// The parameters of a GraphQL request in a JSON body.
fn request(bytes: &[u8]) -> Option<RawRequest> {
    let mut body: Map<String, Json> = serde_json::from_slice(bytes).ok()?;
    let query = body.remove("query")?.as_str()?.to_owned();
    let variables = match body.remove("variables") {
        Some(Json::Object(variables)) => variables,
        _ => Map::new(),
    };
    Some(RawRequest {
        query,
        hash: None,
        operation_name: None,
        variables,
    })
}

fn bench() -> Bench {
    let model = Arc::new(Model::parse("push.graphql", MODEL).expect("the model is right"));
    let api = Api::new(&model, ApiOptions::default()).expect("a model has an API");
    let directory = TempDir::new().expect("a directory");
    drop(open(directory.path()));
    let file = fs::read(directory.path().join("tidegate.redb")).expect("the store's file");
    Bench { model, api, file }
}

fn open(directory: &Path) -> EmbeddedStore {
    let options = EmbeddedOptions::new(Epoch::new("first").expect("a name"), TokenKey([7; 32]));
    EmbeddedStore::open(directory, &options).expect("a healthy store opens")
}

fn alice() -> Identity {
    Identity {
        user: UserId::new("alice").expect("a name"),
        claims: [("sub".to_owned(), "alice".into())].into_iter().collect(),
        expires_at: Timestamp::EPOCH.plus_ms(1),
    }
}
