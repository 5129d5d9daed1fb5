//! `changes`: catch-up and live as one loop over one cursor.
//!
//! A subscriber is a cursor and a wake-up, never a queue. Inside the ring it reads the ring, otherwise the store.
//! [`ring`] says what a ring keeps and releases. The follower of the store's tail is here.

mod ring;
mod subscribers;

use std::{collections::BTreeSet, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use tidegate_core::{
    checkpoint::{Checkpoint, Refresh, Token, Track},
    id::{Scope, UserId},
    mutant::{Mutant, is_active},
    page,
};
use tokio::{
    sync::broadcast,
    task::yield_now,
    time::{Instant, MissedTickBehavior, Sleep, interval, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use self::subscribers::SubscriberRegistry;
pub(super) use self::subscribers::SubscriptionHandle;
use super::{
    Caller, Page, PullRequest, StoredChange, SyncError, SyncService,
    commit::ScopeHeads,
    grants::GrantCache,
    in_own_task,
    measured::PageSource,
    page::{PageReader, Unshown},
    scopes_bytes,
};
use crate::{
    lock::Mutex,
    metrics::seconds,
    quota::Lease,
    store::{Store, TailEvent},
};

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the checkpoint, or at the beginning without one.
    Checkpoint,
    /// At the present, for clients that pull by themselves.
    Now,
}

/// How long a subscription stays silent after its token expires, before it reports that. A transport that closes at the
/// expiry does so first. Its client then returns with a new token, instead of taking the subscription for complete.
pub(super) const EXPIRY_GRACE: Duration = Duration::from_secs(5);

/// How many events a subscriber of an inbox may lag behind before it reads the store without knowing them.
const INBOX_NEWS_MAX: usize = 256;

/// A write that is missing in a ring for so long after a later one, or for twice as long at most, is read from the
/// store.
pub(super) const GAP_MAX: Duration = Duration::from_secs(2);

/// The pause between the first two reads of a store that failed. Each further pause is twice as long.
pub(super) const STORE_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause. Longer ones would make subscribers late when the store is back.
const STORE_PAUSE_MAX: Duration = Duration::from_secs(8);

impl SyncService {
    /// Pages as they come: first those that catch the client up, then each change soon after its commit. The first page
    /// is sent at once, even if it is empty. The stream ends with the first error. But a subscriber that has had a page
    /// outlasts an election of a primary: its next page comes when the store can be read again.
    pub fn subscribe(
        self: Arc<Self>,
        caller: Caller,
        request: PullRequest,
        start: Start,
    ) -> impl Stream<Item = Result<Page, SyncError>> + Send {
        let handle = self.live.register(&caller.identity.user);
        let subscription = Subscription {
            expiry: Box::pin(sleep(self.left_of_token(&caller))),
            sync: self,
            caller,
            request: match start {
                Start::Checkpoint => request,
                Start::Now => PullRequest {
                    refresh: Refresh::default(),
                    reread: BTreeSet::new(),
                    ..request
                },
            },
            last: None,
            handle,
            lease: None,
            next: SubscriptionState::First(start),
            failures: 0,
            delivering: None,
        };
        if let Some(record) = subscription.caller.record() {
            record.subscribed();
        }
        stream::unfold(subscription, |mut subscription| async move {
            match subscription.next {
                SubscriptionState::Ended => None,
                _ => {
                    let page = subscription.page().await;
                    if page.is_err() {
                        subscription.next = SubscriptionState::Ended;
                    }
                    Some((page, subscription))
                }
            }
        })
    }

    /// Makes all subscribers read the store once. A gateway that leads now goes back to what others could not show
    /// (rules.md 2.5a).
    pub(super) fn read_again(&self) {
        self.live.subscribers.lock().invalidate_grants();
    }

    /// The time until a caller's token expires.
    pub fn left_of_token(&self, caller: &Caller) -> Duration {
        let left_ms = caller.identity.expires_at.ms() - self.now().ms();
        Duration::from_millis(left_ms.try_into().unwrap_or_default())
    }
}

/// One client's place in the loop.
struct Subscription {
    sync: Arc<SyncService>,
    caller: Caller,
    /// The end of the caller's token.
    expiry: Pin<Box<Sleep>>,
    /// What the client asked for.
    request: PullRequest,
    /// Where the last page has brought the client.
    last: Option<LastPage>,
    handle: SubscriptionHandle,
    /// Counts what it takes while it waits.
    lease: Option<Lease>,
    next: SubscriptionState,
    /// The number of consecutive failures of the store.
    failures: u32,
    /// When the oldest change of the last page came into its ring, until the page is handed to the connection.
    delivering: Option<Instant>,
}

/// What a subscription keeps of its last page.
struct LastPage {
    at: Arc<Checkpoint>,
    reader: Arc<PageReader>,
    unshown: Arc<Unshown>,
}

impl LastPage {
    fn of(page: &Page) -> Self {
        Self {
            at: Arc::clone(&page.checkpoint),
            reader: Arc::clone(&page.reader),
            unshown: Arc::clone(&page.unshown),
        }
    }

    /// The track that this gateway reads, if it is only one.
    fn track(&self) -> Option<&Track> {
        let tracks = self.at.tracks.iter();
        let mut read = tracks.filter(|track| self.reader.known.read(track));
        read.next().filter(|_| read.next().is_none())
    }
}

/// The next step of a subscription.
#[derive(Debug, Clone, Copy)]
enum SubscriptionState {
    First(Start),
    /// Read on without waiting, since the last page was not complete.
    Read,
    /// Wait for news.
    Wait,
    Ended,
}

impl Subscription {
    /// The next page that the client needs.
    async fn page(&mut self) -> Result<Page, SyncError> {
        // A transport asks for the next page when its connection has taken the last one.
        if let Some(since) = self.delivering.take() {
            let time = &self.sync.metrics().delivery_seconds;
            time.observe(seconds(since.elapsed()));
        }
        match &mut self.last {
            None => {
                let token = self.request.checkpoint.as_ref();
                let bytes = token.map_or(0, Token::bytes);
                self.caller.hold(&mut self.lease, bytes)?;
            }
            // The text of the last page is written.
            Some(last) => last.unshown.add_to(&mut last.at, last.reader.standing),
        }
        loop {
            if matches!(self.next, SubscriptionState::Wait) {
                self.changed_or_expired().await;
            }
            if self.sync.now() >= self.caller.identity.expires_at {
                sleep(EXPIRY_GRACE).await;
                return Err(SyncError::Expired);
            }
            let (page, source) = match self.ring_page() {
                Some(page) => (page, PageSource::Ring),
                // Boxed: it is ten times as large as a subscription that waits.
                None => match Box::pin(self.store_page()).await {
                    Err(error) if self.is_retryable(&error) => {
                        self.handle.mark_unread();
                        sleep(pause(self.failures, self.handle.spread())).await;
                        self.failures += 1;
                        continue;
                    }
                    page => {
                        let page = page?;
                        let bytes = scopes_bytes(page.checkpoint.scopes());
                        self.caller.hold(&mut self.lease, bytes)?;
                        (page, PageSource::Store)
                    }
                },
            };
            self.failures = 0;
            // The first page, and one announced by `hasMore`, are sent even if they are empty, since a reset ends with
            // them.
            let awaited = matches!(
                self.next,
                SubscriptionState::First(_) | SubscriptionState::Read
            );
            self.last = Some(LastPage::of(&page));
            self.next = if page.has_more {
                SubscriptionState::Read
            } else {
                SubscriptionState::Wait
            };
            if awaited || page.is_news() {
                self.sync.measure_page(source, &page);
                let since = page.changes.iter();
                self.delivering = since.filter_map(StoredChange::in_ring_since).min();
                return Ok(page);
            }
        }
    }

    /// Whether the subscription waits until this error passes.
    fn is_retryable(&self, error: &SyncError) -> bool {
        match error {
            SyncError::Exhausted(_) => true,
            SyncError::Busy | SyncError::Unavailable(_) | SyncError::NotPermitted(_) => {
                !matches!(self.next, SubscriptionState::First(_))
            }
            _ => false,
        }
    }

    /// Waits until there may be news, at the longest until the caller's token expires.
    async fn changed_or_expired(&mut self) {
        if self.expiry.is_elapsed() {
            // The clock was set back meanwhile.
            let left = self.sync.left_of_token(&self.caller);
            self.expiry.as_mut().reset(Instant::now() + left);
        }
        // The next read shows which of the two it was.
        tokio::select! {
            () = self.handle.woken() => {}
            () = &mut self.expiry => {}
        }
    }

    /// Reads the store. It watches scopes before it reads the page that begins them; otherwise a change in between
    /// would wake no subscriber. A page with newly watched scopes leaves the subscriber awake, to read once more.
    async fn store_page(&mut self) -> Result<Page, SyncError> {
        if matches!(self.next, SubscriptionState::Wait) {
            self.sync.metrics().ring_misses.inc();
        }
        let limits = self.sync.limits();
        let bytes_max = limits.live_page_bytes.min(limits.page_bytes);
        let only_regranted = self.handle.mark_read();
        let page = match self.next {
            SubscriptionState::First(Start::Now) => self.heads().await?,
            SubscriptionState::Wait if only_regranted => match self.added_page(bytes_max).await? {
                Some(page) => page,
                None => self.whole_page(bytes_max).await?,
            },
            _ => self.whole_page(bytes_max).await?,
        };
        self.handle.watch(page.checkpoint.scopes());
        Ok(page)
    }

    async fn heads(&self) -> Result<Page, SyncError> {
        let (sync, caller) = (Arc::clone(&self.sync), self.caller.clone());
        let types = self.request.types.clone();
        in_own_task(async move { sync.current_position(&caller, types).await }).await
    }

    /// Reads all scopes.
    async fn whole_page(&self, bytes_max: usize) -> Result<Page, SyncError> {
        let (sync, caller) = (Arc::clone(&self.sync), self.caller.clone());
        let request = match &self.last {
            None => self.request.clone(),
            Some(last) => PullRequest {
                checkpoint: Some(Token::Kept(Checkpoint::clone(&last.at))),
                types: self.request.types.clone(),
                refresh: self.request.refresh.clone(),
                reread: BTreeSet::new(),
                digests: self.request.digests,
                limit: self.request.limit,
            },
        };
        in_own_task(async move { sync.pull_within(&caller, request, bytes_max).await }).await
    }

    /// Reads only the scopes that grants have added since the last page. The rings continue where they were left
    /// (rules.md 6.3). `None` if all scopes have to be read.
    async fn added_page(&mut self, bytes_max: usize) -> Result<Option<Page>, SyncError> {
        let Some(last) = &self.last else {
            return Ok(None);
        };
        let Some(track) = last.track() else {
            return Ok(None);
        };
        let (sync, caller) = (Arc::clone(&self.sync), self.caller.clone());
        let grants = in_own_task(async move { sync.grants(&caller).await }).await?;
        // Writes in the rings may have woken it as well.
        if !is_active(Mutant::RingsUnread) {
            self.handle.wake();
        }
        if grants.scopes().eq(track.positions.keys()) {
            let (at, reader) = (Arc::clone(&last.at), Arc::clone(&last.reader));
            return Ok(Some(Page::empty(at, reader)));
        }
        self.handle.watch_also(page::added(track, &grants));
        let (sync, caller) = (Arc::clone(&self.sync), self.caller.clone());
        let (at, limit) = (Arc::clone(&last.at), self.request.limit);
        in_own_task(async move { sync.pull_added(&caller, &at, limit, bytes_max).await }).await
    }

    /// Reads the rings, if they hold everything since the cursor.
    fn ring_page(&mut self) -> Option<Page> {
        let SubscriptionState::Wait = self.next else {
            return None;
        };
        let last = self.last.as_mut()?;
        let (limit, known) = (self.request.limit, &last.reader.known);
        let bytes_max = self.sync.limits().live_page_bytes;
        let (changes, seqs) = self.handle.read(last.track()?, known, limit, bytes_max)?;
        // Once the last page is sent, this is the only reference.
        let moved = Arc::make_mut(&mut last.at);
        moved.turn = None;
        let mut read = moved.tracks.iter_mut().filter(|track| known.read(track));
        let positions = read.next()?.positions.values_mut();
        for (position, seq) in positions.zip(seqs) {
            position.advance(seq);
        }
        Some(Page {
            changes,
            ..Page::empty(Arc::clone(&last.at), Arc::clone(&last.reader))
        })
    }
}

/// How long a subscriber waits before it reads the store again. The pause grows with the failures. Each subscriber has
/// a place of its own in the second half of the pause, so that thousands do not read a recovered store at one moment.
fn pause(failures: u32, share: f64) -> Duration {
    let longest = STORE_PAUSE.saturating_mul(1 << failures.min(16));
    let longest = longest.min(STORE_PAUSE_MAX);
    longest.mul_f64(0.5 + share / 2.0)
}

/// The gateway's one follower of the tail, and all subscribers.
pub(super) struct LiveFeed {
    subscribers: Arc<Mutex<SubscriberRegistry>>,
    /// Scopes whose inboxes changed; `None` is any. Conflicts are rare, so each subscriber of an inbox gets all of
    /// them.
    inboxes: broadcast::Sender<Option<Scope>>,
    follower: AbortOnDropHandle<()>,
}

impl LiveFeed {
    /// Follows the store's tail until the service ends.
    pub(super) fn follow(
        store: &dyn Store,
        grants: &Arc<GrantCache>,
        heads: &Arc<ScopeHeads>,
    ) -> Arc<Self> {
        let subscribers: Arc<Mutex<SubscriberRegistry>> = Arc::default();
        let mut tail = store.tail();
        let (inboxes, _) = broadcast::channel(INBOX_NEWS_MAX);
        let follower = tokio::spawn({
            let (subscribers, grants) = (subscribers.clone(), grants.clone());
            let heads = heads.clone();
            let inboxes = inboxes.clone();
            async move {
                let mut sweeps = interval(GAP_MAX);
                sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    let is_waking = subscribers.lock().is_waking();
                    let event = tokio::select! {
                        event = tail.next() => event,
                        () = yield_now(), if is_waking => {
                            subscribers.lock().wake_some();
                            continue;
                        }
                        _ = sweeps.tick() => {
                            subscribers.lock().sweep();
                            continue;
                        }
                    };
                    let Some(event) = event else { return };
                    if let Some(news) = affected_inboxes(&event) {
                        // There may be no subscribers.
                        drop(inboxes.send(news));
                    }
                    if may_be_unstamped(&event) {
                        grants.clear();
                    }
                    if let TailEvent::Committed(writes) = &event {
                        let written = writes.iter();
                        heads.observe(written.map(|write| (&write.scope, write.item.seq)));
                    }
                    apply(&mut subscribers.lock(), event);
                }
            }
        });
        Arc::new(Self {
            subscribers,
            inboxes,
            follower: AbortOnDropHandle::new(follower),
        })
    }

    /// Whether the tail is still followed.
    pub(super) fn is_followed(&self) -> bool {
        !self.follower.is_finished()
    }

    /// What all rings keep, in bytes.
    pub(super) fn rings_bytes(&self) -> usize {
        self.subscribers.lock().rings_bytes()
    }

    /// Changes of inboxes from now on.
    pub(super) fn inboxes(&self) -> broadcast::Receiver<Option<Scope>> {
        self.inboxes.subscribe()
    }

    pub(super) fn register(&self, user: &UserId) -> SubscriptionHandle {
        SubscriptionHandle::new(self.subscribers.clone(), user)
    }
}

fn apply(subscribers: &mut SubscriberRegistry, event: TailEvent) {
    match event {
        TailEvent::Restart | TailEvent::Epoch(_) => subscribers.restart(),
        TailEvent::Committed(writes) => subscribers.offer(&writes),
        TailEvent::Grants(_) if is_active(Mutant::GrantsOnce) => {}
        TailEvent::Grants(Some(users)) => subscribers.regrant_users(&users),
        TailEvent::Grants(None) => subscribers.invalidate_grants(),
        TailEvent::Inbox(_) => {}
    }
}

/// Whether memberships may have changed without a stamp, or stamps may be of another history.
fn may_be_unstamped(event: &TailEvent) -> bool {
    matches!(
        event,
        TailEvent::Restart | TailEvent::Epoch(_) | TailEvent::Grants(None)
    )
}

/// The scope in which an event may have changed the inbox.
fn affected_inboxes(event: &TailEvent) -> Option<Option<Scope>> {
    match event {
        TailEvent::Inbox(scope) => Some(scope.clone()),
        TailEvent::Restart | TailEvent::Epoch(_) => Some(None),
        TailEvent::Committed(_) | TailEvent::Grants(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscribers_of_a_store_that_is_away_do_not_ask_it_together() {
        let subscribers: Arc<Mutex<SubscriberRegistry>> = Arc::default();
        let user = UserId::new("alice").unwrap();
        let handles: Vec<SubscriptionHandle> = (0..5_000)
            .map(|_| SubscriptionHandle::new(subscribers.clone(), &user))
            .collect();
        for (failures, longest_ms) in [(0, 500), (1, 1_000), (3, 4_000), (4, 8_000), (90, 8_000)] {
            let mut in_tenths = [0; 10];
            for handle in &handles {
                let pause_ms = pause(failures, handle.spread()).as_millis() as u64;
                assert!((longest_ms / 2..longest_ms).contains(&pause_ms));
                let tenth = (pause_ms - longest_ms / 2) * 10 / (longest_ms / 2);
                in_tenths[usize::try_from(tenth).unwrap()] += 1;
            }
            assert!(
                in_tenths.iter().all(|count| (450..550).contains(count)),
                "{in_tenths:?}"
            );
        }
    }
}
