//! What pages could not show, and types that a gateway does not know: tokens name them (rules.md 2.5, 2.5a).

use super::*;
use crate::sync::LeadWatch;

/// A later model of the same store.
const NEXT: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") @conflict(policy: MANUAL)
{ id: ID! team: String! text: String }
type Tag @collection(name: "tags") @scope(by: "team:{team}") { id: ID! team: String! }
"#;

async fn pull(sync: &SyncService, caller: &Caller, token: Option<&str>) -> Page {
    let request = PullRequest::new(token, RequestedTypes::All, 100, sync.limits()).unwrap();
    sync.pull(caller, request).await.unwrap()
}

fn seqs(page: &Page) -> Vec<i64> {
    page.changes.iter().map(|change| change.seq.0).collect()
}

/// Lets the model lead, as a gateway does that starts with it.
async fn lead(text: &str, store: &Arc<Scripted>) -> LeadWatch {
    let models = store.models();
    let generation = models.register(text, "").await.unwrap();
    models.serve_as(generation).await.unwrap();
    let watch = LeadWatch::new(Arc::new(model(text)), store.clone(), generation);
    watch.look().await.unwrap();
    watch
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
    page.withhold(&page.changes[1]);
    assert!(page.is_token_stale());
    let token = page.token();
    assert!(!page.is_token_stale());
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
    let watch = LeadWatch::new(Arc::new(model(NEXT)), store.clone(), generation);
    watch.wake_subscribers_of(&sync);
    watch.look().await.unwrap();
    let again = timeout(PATIENCE, pages.next()).await.unwrap();
    assert_eq!(seqs(&again.unwrap().unwrap()), [1, 2]);
}

/// The silent gap in an ordinary rolling deploy: a device of all types pulls from the gateway that lacks one.
#[tokio::test]
async fn a_type_that_another_gateway_knows_is_not_passed() {
    let directory = TempDir::new().unwrap();
    let (store, older) = Scripted::on(&directory).serve();
    let clock: Clock = Arc::new(|| Timestamp::EPOCH);
    let newer = start(NEXT, store.clone(), clock, Limits::default());
    let caller = alice(&older);
    lead(MODEL, &store).await;
    lead(NEXT, &store).await;
    let begun = pull(&older, &caller, None).await;
    let mut tag = create("g1");
    for submission in &mut tag.changes {
        submission.type_name = TypeName::new("Tag").unwrap();
        if let Ok(change) = &mut submission.change {
            change.key.type_name = submission.type_name.clone();
        }
    }
    newer.push(&alice(&newer), tag).await.unwrap();
    let mut at = begun.token();
    for _ in 0..2 {
        let beside = pull(&older, &caller, Some(&at)).await;
        assert!(beside.changes.is_empty() && !beside.reset && !beside.has_more);
        at = beside.token();
    }
    let upgraded = pull(&newer, &alice(&newer), Some(&at)).await;
    assert_eq!((seqs(&upgraded), upgraded.reset), (vec![1], false));
    let back = pull(&older, &caller, Some(&upgraded.token())).await;
    assert!(back.changes.is_empty() && !back.reset);
}

#[tokio::test]
async fn a_type_that_is_refreshed_comes_again() {
    let directory = TempDir::new().unwrap();
    let (_, sync) = Scripted::on(&directory).serve();
    let caller = alice(&sync);
    sync.push(&caller, create("a")).await.unwrap();
    let at = pull(&sync, &caller, None).await.token();
    let request = PullRequest::new(Some(&at), RequestedTypes::All, 100, sync.limits()).unwrap();
    let request = PullRequest {
        refresh: Refresh {
            types: [TypeName::new("Task").unwrap()].into(),
            selection: 1,
        },
        ..request
    };
    let again = sync.pull(&caller, request.clone()).await.unwrap();
    assert_eq!((seqs(&again), again.reset), (vec![1], false));
    // On a subscription with the first page only.
    let pages = Arc::clone(&sync).subscribe(caller.clone(), request, Start::Checkpoint);
    let mut pages = Box::pin(pages);
    let first = pages.next().await.unwrap().unwrap();
    assert_eq!(seqs(&first), [1]);
    sync.push(&caller, create("b")).await.unwrap();
    let live = timeout(PATIENCE, pages.next()).await.unwrap();
    assert_eq!(seqs(&live.unwrap().unwrap()), [2]);
}
