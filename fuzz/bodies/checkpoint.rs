//! Any text as a checkpoint's token, and any bytes as the fields of a token of format 1 with a forged checksum. An accepted
//! one is resumed as pages do it. The push target reads a store for it.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use tidegate_core::{
    checkpoint::{Checkpoint, KnownTypes, Refresh, RequestedTypes, Token, TokenKey},
    entry::ScopeState,
    generation::{Generation, ModelState, Standing},
    grant::{Grants, Identity},
    id::{Epoch, Scope, ScopeNumber, Seq, UserId},
    model::Model,
    page::{PageCursor, PageInputs, PageRequest, seqs_above_head},
    value::Timestamp,
};

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: READ) @grant(scope: "user:{sub}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "public") { id: ID! title: String }
type Note @collection(name: "notes") @scope(by: "public") { id: ID! text: String }
"#;

const KEY: TokenKey = TokenKey([7; 32]);

/// Tokens of format 1 have no proof of their origin, so any accepted one must be harmless.
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
    let Ok(token) = Token::parse(token) else {
        return;
    };
    let epoch = Epoch::new("e").expect("a name");
    // No text of others has the code of a token of format 2.
    let Ok(Some(token)) = token.unseal(&epoch, &KEY, &alice()) else {
        return;
    };
    let model = Model::parse("model.graphql", MODEL).expect("the model is right");
    let models = ModelState::of(&model);
    if let Some(checkpoint) = token.checkpoint(&HashMap::new(), &models) {
        for scope in checkpoint.tracks.iter().flat_map(|t| t.positions.keys()) {
            assert_eq!(Scope::new(scope.as_str()).as_ref(), Ok(scope));
        }
        resume(&model, &models, checkpoint);
    }
}

fn alice() -> UserId {
    UserId::new("alice").expect("a name")
}

/// Makes a page at the checkpoint's own epoch, and reads each of its ranges to the end.
fn resume(model: &Model, models: &ModelState, checkpoint: Checkpoint) {
    let identity = Identity {
        user: alice(),
        claims: [("sub".to_owned(), "alice".into())].into_iter().collect(),
        expires_at: Timestamp::EPOCH,
    };
    let grants = Grants::of_claims(model, &identity).expect("two scopes");
    let known = KnownTypes::of(model, models);
    let state = |number| ScopeState {
        head: Seq(9),
        floor: Seq(3),
        number: Some(ScopeNumber(number)),
    };
    let numbered = grants.scopes().zip(1..);
    let scopes: HashMap<Scope, ScopeState> = numbered
        .map(|(scope, number)| (scope.clone(), state(number)))
        .collect();
    let confirmed = seqs_above_head(&checkpoint, &known, &grants, &scopes);
    let epoch = Epoch::new(checkpoint.epoch.as_str()).expect("what was decoded is a name");
    let view = PageInputs {
        epoch: &epoch,
        grants: &grants,
        scopes: &scopes,
        confirmed: &confirmed.into_keys().map(|s| (s, Seq(9))).collect(),
        known: &known,
        standing: Standing {
            generation: Generation(1),
            leads: true,
            term: models.term,
        },
    };
    let request = PageRequest {
        checkpoint: Some(checkpoint),
        types: RequestedTypes::All,
        refresh: Refresh::default(),
        reread: Default::default(),
    };
    let mut cursor = PageCursor::resume(request, &view);
    for stretch in cursor.ranges() {
        assert!(stretch.after < stretch.through);
        cursor.advance(&stretch, stretch.through);
    }
    assert!(!cursor.finish(None), "everything was read");
    let next = cursor.checkpoint;
    let token = Token::parse(&next.seal(&KEY, &alice())).expect("it is a token");
    let unsealed = token.unseal(&epoch, &KEY, &alice());
    let token = unsealed.expect("it is ours").expect("it is of this epoch");
    let names = scopes.into_iter();
    let names = names.filter_map(|(scope, state)| Some((state.number?, scope)));
    assert_eq!(token.checkpoint(&names.collect(), models), Some(next));
}
