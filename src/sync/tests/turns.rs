//! Users take turns in the push queue: one user's pushes delay another user by one push.

use super::*;

#[tokio::test]
async fn a_push_waits_for_one_push_of_another_user_however_many_that_one_has() {
    let directory = TempDir::new().unwrap();
    let mut store = Scripted::on(&directory);
    // Every push takes a whole transaction.
    store.changes_max = 1;
    let (store, sync) = store.serve();
    let (crowd, other) = (alice(&sync), member(&sync, "bob", "red"));
    let ids: Vec<String> = (1..80).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ["held"]
        .into_iter()
        .chain(ids.iter().map(String::as_str))
        .collect();
    let mut crowding = Box::pin(join_all(ids.iter().map(|id| sync.push(&crowd, create(id)))));
    assert!(poll_immediate(&mut crowding).await.is_none());
    store.begun.notified().await;
    let mut others = Box::pin(async {
        tokio::join!(
            sync.push(&other, create("first")),
            sync.push(&other, create("second")),
        )
    });
    for _ in 0..50 {
        assert!(poll_immediate(&mut others).await.is_none());
        tokio::task::yield_now().await;
    }
    store.released.notify_one();
    let (crowding, (first, second)) = tokio::join!(crowding, others);
    for pushed in crowding.into_iter().chain([first, second]) {
        assert_eq!(pushed.unwrap().outcomes[0].status, Status::Applied);
    }
    let carried = store.carried.lock().unwrap().concat();
    let mut expected: Vec<DocumentKey> = ids.iter().map(|id| key(id)).collect();
    expected.insert(1, key("first"));
    expected.insert(3, key("second"));
    assert_eq!(carried, expected, "and each user's pushes keep their order");
}
