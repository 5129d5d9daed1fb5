//! What pages could not show, and the types of a model that never led: tokens name them (rules.md 2.5, 2.5a).

use super::*;
use crate::sync::{Accepted, LeadWatch};

/// A later model of the same store.
const NEXT: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") @conflict(policy: MANUAL)
{ id: ID! team: String! text: String }
type Tag @collection(name: "tags") @scope(by: "team:{team}") { id: ID! team: String! }
"#;

/// A model that gives tasks other scopes.
const MOVING: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE) @grant(scope: "group:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "group:{team}") @conflict(policy: MANUAL)
{ id: ID! team: String! text: String }
"#;

/// A model that requires a text.
const STRICT: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") @conflict(policy: MANUAL)
{ id: ID! team: String! text: String! }
"#;

async fn pull(sync: &SyncService, caller: &Caller, token: Option<&str>) -> Page {
    let request = PullRequest::new(token, RequestedTypes::All, 100, sync.limits()).unwrap();
    sync.pull(caller, request).await.unwrap()
}

fn seqs(page: &Page) -> Vec<i64> {
    page.changes.iter().map(|change| change.seq.0).collect()
}

fn still() -> Clock {
    Arc::new(|| Timestamp::EPOCH)
}

fn create_tag(id: &str) -> Push {
    let mut tag = create(id);
    for submission in &mut tag.changes {
        submission.type_name = TypeName::new("Tag").unwrap();
        if let Ok(change) = &mut submission.change {
            change.key.type_name = submission.type_name.clone();
        }
    }
    tag
}

/// Lets the model lead, as a gateway does that starts with it.
pub(super) async fn lead(text: &str, store: &Arc<Scripted>) -> LeadWatch {
    let models = store.models();
    let generation = models.register(text, "").await.unwrap();
    models.serve_as(generation).await.unwrap();
    let watch = LeadWatch::new(Arc::new(model(text)), store.clone(), still(), generation);
    watch.look().await.unwrap();
    watch
}

/// The model leads from now on, and nothing is stamped by it yet.
pub(super) async fn take_lead(text: &str, before: &str, store: &Arc<Scripted>) {
    let models = store.models();
    let generation = models.register(text, "").await.unwrap();
    let state = models.record().await.unwrap().state;
    let change = state.led_by(generation, &model(text), Some(&model(before)));
    assert!(models.take_lead(&change).await.unwrap());
    models.serve_as(generation).await.unwrap();
}

#[tokio::test]
async fn what_a_page_could_not_show_comes_again_when_another_model_leads() {
    let directory = TempDir::new().unwrap();
    let (store, sync) = Scripted::on(&directory).serve();
    let caller = alice(&sync);
    lead(MODEL, &store).await;
    for id in ["a", "b"] {
        sync.push(&caller, create(id)).await.unwrap();
    }
    let page = pull(&sync, &caller, None).await;
    let before = page.token();
    page.withhold(&page.changes[1]);
    assert!(page.take_stale());
    let token = page.token();
    assert!(!page.take_stale() && token != before);
    let same_lead = pull(&sync, &caller, Some(&token)).await;
    assert!(same_lead.changes.is_empty() && !same_lead.reset);
    lead(NEXT, &store).await;
    let other_lead = pull(&sync, &caller, Some(&same_lead.token())).await;
    assert_eq!((seqs(&other_lead), other_lead.reset), (vec![2], false));
    let end = pull(&sync, &caller, Some(&other_lead.token())).await;
    assert!(end.changes.is_empty());
}

#[tokio::test]
async fn a_subscription_goes_back_when_its_gateway_leads() {
    let directory = TempDir::new().unwrap();
    let (store, sync) = Scripted::on(&directory).serve();
    let caller = alice(&sync);
    lead(MODEL, &store).await;
    sync.push(&caller, create("a")).await.unwrap();
    let mut pages = follow(&sync, &caller, 100);
    let first = pages.next().await.unwrap().unwrap();
    first.withhold(&first.changes[0]);
    // A page from the rings keeps the note.
    sync.push(&caller, create("b")).await.unwrap();
    let live = timeout(PATIENCE, pages.next()).await.unwrap();
    assert_eq!(seqs(&live.unwrap().unwrap()), [2]);
    let models = store.models();
    let generation = models.register(NEXT, "").await.unwrap();
    models.serve_as(generation).await.unwrap();
    let watch = LeadWatch::new(Arc::new(model(NEXT)), store.clone(), still(), generation);
    watch.wake_subscribers_of(&sync);
    watch.look().await.unwrap();
    let again = timeout(PATIENCE, pages.next()).await.unwrap();
    assert_eq!(seqs(&again.unwrap().unwrap()), [1, 2]);
}

/// The lead goes back before a scan has come to what moves.
#[tokio::test]
async fn what_was_hidden_while_it_moved_comes_again_when_the_lead_goes_back() {
    let directory = TempDir::new().unwrap();
    let (store, sync) = Scripted::on(&directory).serve();
    let clock: Clock = Arc::new(|| Timestamp::EPOCH);
    let moving = start(MOVING, store.clone(), clock, Limits::default());
    let caller = alice(&sync);
    lead(MODEL, &store).await;
    sync.push(&caller, create("a")).await.unwrap();
    take_lead(MOVING, MODEL, &store).await;
    let hidden = pull(&moving, &alice(&moving), None).await;
    let revoke = hidden.changes[0].decode().unwrap().record;
    assert!(revoke.is_collectable());
    let token = hidden.token();
    assert!(!hidden.take_stale());
    lead(MODEL, &store).await;
    let back = pull(&sync, &caller, Some(&token)).await;
    assert_eq!((seqs(&back), back.reset), (vec![1], false));
    assert!(!back.changes[0].decode().unwrap().record.is_collectable());
}

/// An operator starts an earlier model with `--withhold` beside the last gateway of a later one.
#[tokio::test]
async fn a_model_that_documents_do_not_fit_takes_the_lead_later_if_its_operator_accepted_that() {
    let directory = TempDir::new().unwrap();
    let (store, sync) = Scripted::on(&directory).serve();
    lead(MODEL, &store).await;
    sync.push(&alice(&sync), create("a")).await.unwrap();
    let watch = lead(STRICT, &store).await;
    assert!(!watch.look().await.unwrap().leads);
    let watch = lead(MODEL, &store).await;
    assert!(watch.look().await.unwrap().leads);
    let generation = store.models().register(STRICT, "").await.unwrap();
    store.models().serve_as(generation).await.unwrap();
    let watch = LeadWatch::new(Arc::new(model(STRICT)), store.clone(), still(), generation);
    let watch = watch.accepting(Accepted { withhold: true });
    assert!(watch.look().await.unwrap().leads);
}

/// The store knows a model from a start that was killed before it led.
#[tokio::test]
async fn a_gateway_whose_model_never_led_shows_its_new_types_and_its_checkpoints_go_anywhere() {
    let directory = TempDir::new().unwrap();
    let (store, older) = Scripted::on(&directory).serve();
    let caller = alice(&older);
    lead(MODEL, &store).await;
    older.push(&caller, create("a")).await.unwrap();
    let models = store.models();
    models.register(NEXT, "").await.unwrap();
    let beside = format!("{MODEL}# another text\n");
    lead(&beside, &store).await;
    let newer = start(NEXT, store.clone(), still(), Limits::default());
    let generation = models.register(NEXT, "").await.unwrap();
    models.serve_as(generation).await.unwrap();
    newer.push(&alice(&newer), create_tag("g1")).await.unwrap();
    let own = pull(&newer, &alice(&newer), None).await;
    assert_eq!(seqs(&own), [1, 2], "its own write");
    let other = pull(&older, &caller, Some(&own.token())).await;
    assert!(other.changes.is_empty() && !other.reset);
    newer.push(&alice(&newer), create_tag("g2")).await.unwrap();
    let passed = pull(&older, &caller, Some(&other.token())).await;
    lead(NEXT, &store).await;
    let back = pull(&newer, &alice(&newer), Some(&passed.token())).await;
    assert_eq!((seqs(&back), back.reset), (vec![3], false));
}
