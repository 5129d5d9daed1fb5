//! The sync rules of Tidegate: what becomes of a client's change, and what every client sees next.
//!
//! Everything here is a function of its arguments. A store reads and writes, the caller has the clock and fresh ids, and the
//! gateway knows GraphQL. So every conflict replays as a plain test.
//!
//! # Alice's phone and laptop, in one piece
//!
//! ```
//! # use std::{collections::{BTreeMap, BTreeSet, HashMap, HashSet}, error::Error, sync::Arc};
//! # use tidegate_core::{change::*, checkpoint::*, entry::*, generation::*, grant::*, id::*, model::Model, outcome::*, page::*, push::*, push};
//! # use tidegate_core::{transaction::Loaded, value::{Timestamp, Value, json::decode_fields}};
//! // A team describes its documents once.
//! let model = Model::parse("model.graphql", r#"
//!     extend schema @grant(scope: "user:{sub}", access: WRITE)
//!     type Task @collection(name: "tasks") @scope(by: "{owner}") @conflict(policy: MERGE) {
//!       id: ID!
//!       owner: String! @default(value: "user:{sub}")
//!       title: String!
//!       minutes: Int! @merge(with: COUNTER) @default(value: 0)
//!     }"#)?;
//! // Alice signs in; the claims of her token open scopes to her.
//! let claims = serde_json::from_str(r#"{ "sub": "alice" }"#)?;
//! let alice = Arc::new(Identity { user: UserId::new("alice")?, claims, expires_at: Timestamp::EPOCH });
//! let grants = Arc::new(Grants::of_claims(&model, &alice)?);
//! // A store loads what a push needs, passes it to `push::decide`, and writes what comes back: here, into maps.
//! let mut store = Loaded {
//!     epoch: Epoch::new("e1")?, version_floor: Version::NONE, entries: HashMap::new(), clients: HashMap::new(),
//!     memberships: HashMap::new(), foreign: BTreeMap::new(), origins: BTreeMap::new(), expired: Vec::new(), inbox: HashMap::new(),
//!     held: BTreeSet::new(), misfits: BTreeSet::new(), holders: BTreeMap::new(), models: Arc::default(), standing: Standing::default(),
//!     waiting: HashMap::new(), expired_resolutions: Vec::new(), users: HashMap::new(), given: BTreeMap::new(),
//!     clients_of: HashMap::new(), idle: Vec::new(), left_out: HashSet::new(),
//!     conflicts_left_out: HashSet::new(), clients_left_out: HashSet::new(),
//! };
//! let mut heads = BTreeMap::new();
//! let key = DocumentKey { type_name: TypeName::new("Task")?, id: DocumentId::new("t1")? };
//! let fields = |json| decode_fields(&model, &model.types[0].fields, serde_json::from_str(json).unwrap()).unwrap();
//! let mut send = |store: &mut Loaded, client: &str, mutation, action| -> Result<Outcome, Box<dyn Error>> {
//!     let change = Change { key: key.clone(), action, changed_at: None };
//!     let push = Push {
//!         client: Some(PushClient { id: ClientId::new(client)?, first: Some(MutationId(mutation)) }),
//!         changes: vec![Submission { type_name: key.type_name.clone(), id: "t1".into(), change: Ok(change) }],
//!         atomic: false, policy: None, epoch: Some(store.epoch.clone()),
//!     };
//!     let (identity, claim_grants, hash) = (alice.clone(), grants.clone(), PushHash::of(&push));
//!     let request = PushRequest {
//!         identity, claim_grants, hash, push, webhook_decisions: Vec::new(), clients_max: 10, api: None,
//!     };
//!     let mut writes = push::decide(&model, Timestamp::EPOCH, &[CommitRequest::Push(Arc::new(request))], &[], store);
//!     writes.assign_seqs(&mut heads);
//!     store.entries.extend(writes.entries.into_iter().map(|entry| (entry.key.clone(), entry)));
//!     store.clients.extend(writes.clients);
//!     Ok(writes.answers.remove(0)?.outcomes.remove(0))
//! };
//! // The phone creates a task. The laptop, which has nothing yet, gets the scope's feed from its beginning.
//! let document = fields(r#"{ "title": "Tea", "minutes": 5 }"#);
//! assert_eq!(send(&mut store, "phone", 1, Action::Create { document, base: None })?.status, Status::Applied);
//! let scopes = HashMap::from([(Scope::new("user:alice")?, ScopeState { head: Seq(1), floor: Seq::START, number: None })]);
//! let models = ModelState::of(&model);
//! let known = KnownTypes::of(&model, &models);
//! let standing = Standing { generation: models.lead, leads: true, term: models.term };
//! let view = PageInputs { epoch: &store.epoch, grants: &grants, scopes: &scopes, confirmed: &HashMap::new(), known: &known, standing };
//! let page = PageCursor::resume(PageRequest { checkpoint: None, types: RequestedTypes::All, refresh: Refresh::default(), reread: BTreeSet::new() }, &view);
//! assert_eq!((page.ranges()[0].after, page.ranges()[0].through), (Seq(0), Seq(1)));
//! // Both go offline at version 1, and both spend time on the task. Nobody's minutes are lost.
//! let base = BaseVersion(1);
//! let seen = Some(fields(r#"{ "minutes": 5 }"#));
//! let edit = |set| Action::Update { base, set: fields(set), seen: seen.clone() };
//! assert_eq!(send(&mut store, "phone", 2, edit(r#"{ "minutes": 15 }"#))?.status, Status::Applied);
//! let merged = send(&mut store, "laptop", 1, edit(r#"{ "minutes": 25, "title": "Green tea" }"#))?;
//! assert_eq!(merged.status, Status::Merged);
//! assert_eq!(merged.document.unwrap().body.as_ref().unwrap()["minutes"], Value::Int(35));
//! # Ok::<(), Box<dyn Error>>(())
//! ```
//!
//! # The modules
//!
//! * [`id`]: the identities everything is addressed by.
//! * [`value`]: what documents hold.
//! * [`model`]: the user's SDL, parsed.
//! * [`grant`]: who may see and change what.
//! * [`entry`]: the sync state of a document, and what it leaves behind in a scope.
//! * [`generation`]: which models a store is served by.
//! * [`change`]: one item of a push.
//! * [`decide`](mod@decide): what one change does to one entry.
//! * [`digest`]: what is live in a scope, as one number.
//! * [`outcome`]: what became of a change.
//! * [`inbox`]: changes that wait for a person to resolve them.
//! * [`push`]: a client's batch, and the decision about all batches of one transaction.
//! * [`query`]: lists of documents by conditions.
//! * [`unique`]: values that no two documents may have.
//! * [`transaction`]: what one commit reads and writes, as data.
//! * [`import`](mod@import): what others wrote past the gateway.
//! * [`collect`]: removing old tombstones, and beginning a new epoch.
//! * [`checkpoint`]: where a client stands.
//! * [`page`]: what it gets next.
//! * [`view`]: the parts of a record as its readers see them.
//! * [`mutant`]: rules taken out, for tests that have to show it.

#![deny(missing_docs)]

pub mod change;
pub mod checkpoint;
pub mod collect;
pub mod decide;
pub mod digest;
pub mod entry;
pub mod generation;
pub mod grant;
pub mod id;
pub mod import;
pub mod inbox;
pub mod membership;
pub mod model;
pub mod mutant;
pub mod outcome;
pub mod page;
pub mod push;
pub mod query;
pub mod transaction;
pub mod unique;
pub mod value;
pub mod view;
