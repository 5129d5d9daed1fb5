use futures_util::FutureExt;
use tidegate_core::checkpoint::Position;

use super::*;
use crate::fixtures::marker;

const SCOPE: &str = "team:red";

fn scope() -> Scope {
    Scope::new(SCOPE).unwrap()
}

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

/// A subscriber that watches, and sleeps.
fn watching(subscribers: &Arc<Mutex<SubscriberRegistry>>) -> SubscriptionHandle {
    let mut handle = SubscriptionHandle::new(Arc::clone(subscribers), &alice());
    handle.watch([&scope()].into_iter());
    assert!(is_woken(&handle), "to read the store");
    handle
}

fn is_woken(handle: &SubscriptionHandle) -> bool {
    handle.woken().now_or_never().is_some()
}

fn woken(handles: &[SubscriptionHandle]) -> usize {
    handles.iter().filter(|handle| is_woken(handle)).count()
}

fn write(subscribers: &Mutex<SubscriberRegistry>) {
    subscribers.lock().wake(&scope());
}

/// Wakes until all are woken. Returns the number of steps.
fn wake_all(subscribers: &Mutex<SubscriberRegistry>) -> usize {
    let mut steps = 0;
    while subscribers.lock().is_waking() {
        subscribers.lock().wake_some();
        steps += 1;
        assert!(steps < 1_000, "it never ends");
    }
    steps
}

#[test]
fn few_are_woken_at_once_and_many_a_few_at_a_time() {
    for (count, steps) in [(1, 0), (AT_ONCE, 0), (10 * AT_ONCE + 1, 10)] {
        let subscribers: Arc<Mutex<SubscriberRegistry>> = Arc::default();
        let handles: Vec<SubscriptionHandle> = (0..count).map(|_| watching(&subscribers)).collect();
        write(&subscribers);
        assert_eq!(woken(&handles), count.min(AT_ONCE));
        assert_eq!(wake_all(&subscribers), steps);
        assert_eq!(woken(&handles), count.saturating_sub(AT_ONCE));
    }
}

#[test]
fn a_subscriber_woken_before_a_write_is_woken_after_it_as_well() {
    let subscribers: Arc<Mutex<SubscriberRegistry>> = Arc::default();
    let mut handles: Vec<SubscriptionHandle> =
        (0..5 * AT_ONCE).map(|_| watching(&subscribers)).collect();
    write(&subscribers);
    subscribers.lock().wake_some();
    assert_eq!(woken(&handles), 2 * AT_ONCE);
    // Meanwhile some leave, woken and not yet woken ones, and others come.
    handles.retain(|handle| handle.id % 3 != 0);
    handles.extend((0..AT_ONCE).map(|_| watching(&subscribers)));
    write(&subscribers);
    wake_all(&subscribers);
    assert_eq!(woken(&handles), handles.len());
    assert_eq!(woken(&handles), 0);
    write(&subscribers);
    wake_all(&subscribers);
    assert_eq!(
        woken(&handles),
        handles.len(),
        "the next write does it again"
    );
}

#[test]
fn rings_that_keep_too_much_together_are_cut_and_their_readers_woken() {
    let mut subscribers = SubscriberRegistry::default();
    let waker = Arc::new(Notify::new());
    subscribers.wakers.insert(0, Arc::clone(&waker));
    let scopes = ["a", "b", "c"].map(|name| Scope::new(name).unwrap());
    let writes = [
        (&scopes[0], 1),
        (&scopes[0], 2),
        (&scopes[1], 1),
        // The ring holds this one back.
        (&scopes[1], 3),
    ];
    for scope in &scopes {
        watch(&mut subscribers, scope, 0);
    }
    subscribers.offer(&writes.map(|(scope, seq)| feed_write(scope, seq)));
    let kept = subscribers.rings_bytes.load(Ordering::Relaxed);
    assert!(waker.notified().now_or_never().is_some());

    subscribers.bound_rings(kept);
    assert!(waker.notified().now_or_never().is_none());
    subscribers.bound_rings(kept - 1);
    assert!(waker.notified().now_or_never().is_some());
    assert_eq!(subscribers.rings_bytes.load(Ordering::Relaxed), 0);
    for (scope, stands, goes_on) in [(0, 1, false), (0, 2, true), (1, 1, false), (1, 3, true)] {
        let position = Position {
            seq: Seq(stands),
            start: Seq(stands),
            number: None,
        };
        let ring = &subscribers.scopes[&scopes[scope]].ring;
        let read = ring.read(position, |_| true);
        assert_eq!(read.is_some(), goes_on, "{scope} from {stands}");
    }
}

fn feed_write(scope: &Scope, seq: i64) -> FeedWrite {
    FeedWrite::encode(&marker(scope.as_str(), seq, "1")).unwrap()
}

#[test]
fn a_scope_with_many_keeps_nobody_of_another_waiting() {
    let subscribers: Arc<Mutex<SubscriberRegistry>> = Arc::default();
    let many: Vec<SubscriptionHandle> = (0..5 * AT_ONCE).map(|_| watching(&subscribers)).collect();
    let other = Scope::new("team:blue").unwrap();
    let mut one = SubscriptionHandle::new(Arc::clone(&subscribers), &alice());
    one.watch([&other].into_iter());
    assert!(is_woken(&one));
    write(&subscribers);
    subscribers.lock().wake(&other);
    assert!(is_woken(&one));
    assert_eq!(woken(&many), AT_ONCE);
}
