//! Any text as a checkpoint's token, and any bytes as the fields of a token with a forged checksum. An accepted one is
//! resumed as pages do it. The push target reads a store for it.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use tidegate_core::{
    checkpoint::{Checkpoint, RequestedTypes},
    entry::ScopeState,
    grant::{Grants, Identity},
    id::{Epoch, Scope, Seq, UserId},
    model::Model,
    page::{PageCursor, PageInputs, PageRequest, seqs_above_head},
    value::Timestamp,
};

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: READ) @grant(scope: "user:{sub}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "public") { id: ID! title: String }
type Note @collection(name: "notes") @scope(by: "public") { id: ID! text: String }
"#;

/// Tokens are not signed, so any accepted one must be harmless.
pub(crate) fn run(bytes: &[u8]) {
    if let Ok(token) = str::from_utf8(bytes) {
        read(token);
    }
    read(&forged(bytes));
}

fn forged(fields: &[u8]) -> String {
    let mut bytes = vec![1];
    bytes.extend(fields);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    BASE64.encode(bytes)
}

fn read(token: &str) {
    let Ok(checkpoint) = Checkpoint::decode(token) else {
        return;
    };
    assert_eq!(checkpoint.encode(), token, "a checkpoint has one token");
    for scope in checkpoint.tracks.iter().flat_map(|t| t.positions.keys()) {
        assert_eq!(Scope::new(scope.as_str()).as_ref(), Ok(scope));
    }
    resume(checkpoint);
}

/// Makes a page at the checkpoint's own epoch, and reads each of its ranges to the end.
fn resume(checkpoint: Checkpoint) {
    let model = Model::parse("model.graphql", MODEL).expect("the model is right");
    let identity = Identity {
        user: UserId::new("alice").expect("a name"),
        claims: [("sub".to_owned(), "alice".into())].into_iter().collect(),
        expires_at: Timestamp::EPOCH,
    };
    let grants = Grants::of_claims(&model, &identity).expect("two scopes");
    let state = ScopeState {
        head: Seq(9),
        floor: Seq(3),
        number: None,
    };
    let scopes: HashMap<Scope, ScopeState> = grants.scopes().map(|s| (s.clone(), state)).collect();
    let confirmed = seqs_above_head(&checkpoint, &grants, &scopes);
    let epoch = Epoch::new(checkpoint.epoch.as_str()).expect("what was decoded is a name");
    let view = PageInputs {
        epoch: &epoch,
        grants: &grants,
        scopes: &scopes,
        confirmed: &confirmed.into_iter().map(|s| (s, Seq(9))).collect(),
    };
    let request = PageRequest {
        checkpoint: Some(checkpoint),
        types: RequestedTypes::All,
    };
    let mut cursor = PageCursor::resume(&model, request, &view);
    for stretch in cursor.ranges() {
        assert!(stretch.after < stretch.through);
        cursor.advance(&stretch, stretch.through);
    }
    assert!(!cursor.finish(None), "everything was read");
    let next = cursor.checkpoint;
    assert_eq!(Checkpoint::decode(&next.encode()).as_ref(), Ok(&next));
}
