//! Memberships and open subscriptions: who is woken, and what is read for it.

use std::{collections::HashMap, sync::atomic::AtomicUsize};

use tidegate_core::{
    entry::ScopeState, id::ConflictId, inbox::InboxRecord, membership::UserState, push::ClientState,
};
use tokio::sync::mpsc;

use super::*;
use crate::store::{InboxRange, InboxScan, Scan, ScanRange};

const MODEL: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") { id: ID! team: String! }
type Member @collection(name: "members") @scope(by: "team:{roster}") @conflict(policy: CLIENT_WINS)
  @grants(scope: "team:{team}", to: "{person}", access: "{access}") {
  id: ID!
  roster: String!
  team: String!
  person: String!
  access: String!
  note: String
}
"#;

/// Subscriptions of users whom nobody gives anything, and how many scopes each has.
const BYSTANDERS: usize = 200;
const SCOPES: usize = 50;

/// Counts how often it is read.
struct Counted {
    inner: EmbeddedStore,
    snapshots: AtomicUsize,
    /// How often memberships were.
    memberships: Arc<AtomicUsize>,
}

struct CountedSnapshot {
    inner: Box<dyn Snapshot>,
    memberships: Arc<AtomicUsize>,
}

#[async_trait]
impl Snapshot for CountedSnapshot {
    fn epoch(&self) -> &Epoch {
        self.inner.epoch()
    }

    async fn scopes(
        &mut self,
        scopes: &BTreeSet<Scope>,
    ) -> Result<HashMap<Scope, ScopeState>, StoreError> {
        self.inner.scopes(scopes).await
    }

    async fn user(&mut self, user: &UserId) -> Result<UserState, StoreError> {
        self.inner.user(user).await
    }

    async fn memberships(
        &mut self,
        user: &UserId,
        bounds: &Bounds,
    ) -> Result<Memberships, StoreError> {
        self.memberships.fetch_add(1, Ordering::SeqCst);
        self.inner.memberships(user, bounds).await
    }

    async fn scan(&mut self, range: &ScanRange) -> Result<Scan, StoreError> {
        self.inner.scan(range).await
    }

    async fn entries(
        &mut self,
        keys: &BTreeSet<DocumentKey>,
    ) -> Result<HashMap<DocumentKey, Arc<Entry>>, StoreError> {
        self.inner.entries(keys).await
    }

    async fn walk(
        &mut self,
        after: Option<&DocumentKey>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        self.inner.walk(after, limit).await
    }

    async fn conflict(&mut self, id: &ConflictId) -> Result<Option<InboxRecord>, StoreError> {
        self.inner.conflict(id).await
    }

    async fn conflicts(&mut self, range: &InboxRange) -> Result<InboxScan, StoreError> {
        self.inner.conflicts(range).await
    }

    async fn client(&mut self, key: &ClientKey) -> Result<Option<ClientState>, StoreError> {
        self.inner.client(key).await
    }
}

#[async_trait]
impl Store for Counted {
    async fn commit(&self, reads: Reads, decide: Arc<Decide>) -> Result<Writes, StoreError> {
        self.inner.commit(reads, decide).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.snapshots.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(CountedSnapshot {
            inner: self.inner.snapshot().await?,
            memberships: Arc::clone(&self.memberships),
        }))
    }

    async fn confirmed_head(&self, scope: &Scope) -> Result<Seq, StoreError> {
        self.inner.confirmed_head(scope).await
    }

    fn tail(&self) -> BoxStream<'static, TailEvent> {
        self.inner.tail()
    }
}

struct Crowd {
    store: Arc<Counted>,
    sync: Arc<SyncService>,
    pages: Vec<mpsc::UnboundedReceiver<Page>>,
    _directory: TempDir,
}

impl Crowd {
    /// Bystanders first, and last the subscription of the user `named`. All have read what there is, and sleep.
    async fn gather() -> Self {
        let directory = TempDir::new().unwrap();
        let options = EmbeddedOptions::new(Epoch::new("e1").unwrap());
        let store = Arc::new(Counted {
            inner: EmbeddedStore::open(directory.path(), &options).unwrap(),
            snapshots: AtomicUsize::new(0),
            memberships: Arc::default(),
        });
        let clock: Clock = Arc::new(|| Timestamp::EPOCH);
        let (limits, webhooks) = (SyncLimits::default(), Webhooks::none());
        let model = Arc::new(model(MODEL));
        let sync = SyncService::start(model, store.clone(), clock, limits, webhooks);
        let mut crowd = Self {
            store,
            sync,
            pages: Vec::new(),
            _directory: directory,
        };
        for n in 0..=BYSTANDERS {
            let name = match n {
                BYSTANDERS => "named".to_owned(),
                n => format!("bystander{n}"),
            };
            let mut teams: Vec<String> = (0..SCOPES).map(|scope| format!("{n}-{scope}")).collect();
            teams.push("all".to_owned());
            crowd.follow(&name, teams);
        }
        for pages in 0..crowd.pages.len() {
            assert!(crowd.page(pages).await.reset);
        }
        crowd.settle().await;
        crowd
    }

    /// Each has had the first page, and looks once more when its scopes are watched.
    async fn settle(&self) {
        let reads = 2 * self.pages.len();
        let settled = async {
            while self.reads() < reads {
                tokio::task::yield_now().await;
            }
        };
        let settled = timeout(PATIENCE, settled).await;
        settled.expect("all have looked twice");
        assert_eq!(self.reads(), reads);
    }

    fn follow(&mut self, name: &str, teams: Vec<String>) {
        let caller = member(&self.sync, name, teams);
        let request = PullRequest::new(None, Types::All, 10, self.sync.limits()).unwrap();
        let pages = self
            .sync
            .clone()
            .subscribe(caller, request, Start::Checkpoint);
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut pages = Box::pin(pages);
            while let Some(Ok(page)) = pages.next().await {
                if sender.send(page).is_err() {
                    return;
                }
            }
        });
        self.pages.push(receiver);
    }

    fn reads(&self) -> usize {
        self.store.snapshots.load(Ordering::SeqCst)
    }

    async fn page(&mut self, of: usize) -> Page {
        let page = timeout(PATIENCE, self.pages[of].recv()).await;
        page.expect("a page comes")
            .expect("the subscription goes on")
    }

    async fn push(&self, user: &str, team: &str, changes: Vec<(&str, &str, Action)>) {
        let caller = member(&self.sync, user, team);
        let changes = changes.into_iter().map(|(type_name, id, action)| {
            let key = DocumentKey {
                type_name: TypeName::new(type_name).unwrap(),
                id: DocumentId::new(id).unwrap(),
            };
            Submission {
                type_name: key.type_name.clone(),
                id: id.to_owned(),
                change: Ok(Change {
                    key,
                    action,
                    changed_at: None,
                }),
            }
        });
        let push = Push {
            client: None,
            changes: changes.collect(),
            atomic: false,
            policy: None,
            epoch: None,
        };
        let outcome = self.sync.push(&caller, push).await.unwrap();
        for outcome in outcome.outcomes {
            assert_eq!(outcome.status, Status::Applied, "{:?}", outcome.error);
        }
    }

    /// A document that all see reaches all, from their rings; what was read of the store since `before`.
    async fn reads_until_all_hear(&mut self, before: usize, id: &str) -> usize {
        let team = fields(&[("team", "all")]);
        let create = Action::Create {
            document: team,
            base: None,
        };
        self.push("writer", "all", vec![("Task", id, create)]).await;
        for of in 0..self.pages.len() {
            loop {
                let page = self.page(of).await;
                let items = page.decoded().unwrap();
                if items.iter().any(|item| item.record.key().id.as_str() == id) {
                    break;
                }
            }
        }
        self.reads() - before
    }
}

fn fields(fields: &[(&str, &str)]) -> Document {
    let fields = fields.iter();
    fields
        .map(|(name, text)| ((*name).to_owned(), Value::String((*text).to_owned())))
        .collect()
}

fn give(person: &str) -> Action {
    let document = [
        ("roster", "giver"),
        ("team", "given"),
        ("person", person),
        ("access", "READ"),
    ];
    Action::Create {
        document: fields(&document),
        base: None,
    }
}

fn change(base: i32, set: &[(&str, &str)]) -> Action {
    Action::Update {
        base: BaseVersion(base),
        set: fields(set),
        seen: None,
    }
}

#[tokio::test]
async fn a_membership_wakes_whom_it_names_and_reads_nothing_for_anybody_else() {
    let mut crowd = Crowd::gather().await;
    let own = BYSTANDERS;

    // It is given: the user's subscription reads the store, and once more with the new scope watched.
    let before = crowd.reads();
    crowd
        .push("giver", "giver", vec![("Member", "m", give("named"))])
        .await;
    let reads = crowd.reads_until_all_hear(before, "1").await;
    assert!((1..=3).contains(&reads), "{reads}");

    // Nothing that counts changes: nobody reads.
    let before = crowd.reads();
    let noted = change(1, &[("note", "x")]);
    crowd
        .push("giver", "giver", vec![("Member", "m", noted)])
        .await;
    assert_eq!(crowd.reads_until_all_hear(before, "2").await, 0);

    // It is moved to somebody who does not listen: the one who loses it is told.
    let before = crowd.reads();
    let moved = change(2, &[("person", "absent")]);
    crowd
        .push("giver", "giver", vec![("Member", "m", moved)])
        .await;
    let left = crowd.page(own).await;
    assert_eq!(left.revoked, [Scope::new("team:given").unwrap()]);
    let reads = crowd.reads_until_all_hear(before, "3").await;
    assert!((1..=3).contains(&reads), "{reads}");

    // What a giver gives to hundreds of others costs nobody here anything.
    let before = crowd.reads();
    let names: Vec<String> = (0..500).map(|n| format!("stranger{n}")).collect();
    let gifts = names
        .iter()
        .map(|name| ("Member", name.as_str(), give(name)));
    crowd.push("giver", "giver", gifts.collect()).await;
    assert_eq!(crowd.reads_until_all_hear(before, "4").await, 0);
}

#[tokio::test]
async fn what_a_membership_gives_is_read_once_for_all_subscriptions_of_its_user() {
    let mut crowd = Crowd::gather().await;
    for subscription in 0..20 {
        crowd.follow(
            "named",
            vec!["all".to_owned(), format!("own{subscription}")],
        );
        let last = crowd.pages.len() - 1;
        assert!(crowd.page(last).await.reset);
    }
    crowd.settle().await;
    let memberships = Arc::clone(&crowd.store.memberships);
    let once_each = memberships.load(Ordering::SeqCst);
    assert_eq!(once_each, BYSTANDERS + 1, "once for each user");
    let before = crowd.reads();
    crowd
        .push("giver", "giver", vec![("Member", "m", give("named"))])
        .await;
    let reads = crowd.reads_until_all_hear(before, "1").await;
    assert!((21..=3 * 21).contains(&reads), "{reads}");
    assert_eq!(memberships.load(Ordering::SeqCst), once_each + 1);
}

#[tokio::test]
async fn a_decline_closes_what_the_giver_opened_and_can_be_taken_back() {
    let mut crowd = Crowd::gather().await;
    let own = BYSTANDERS;
    let scope = Scope::new("team:given").unwrap();
    crowd
        .push("giver", "giver", vec![("Member", "m", give("named"))])
        .await;
    let task = Action::Create {
        document: fields(&[("team", "given")]),
        base: None,
    };
    crowd
        .push("other", "given", vec![("Task", "inside", task)])
        .await;
    let page = crowd.page(own).await;
    assert_eq!(page.decoded().unwrap()[0].record.scope(), &scope);

    let named = member(&crowd.sync, "named", "all");
    let decline = |decline| DeclineRequest {
        givers: [UserId::new("giver").unwrap()].into(),
        decline,
    };
    let before = crowd.reads();
    let declined = crowd.sync.decline(&named, decline(true)).await.unwrap();
    assert_eq!(declined.len(), 1);
    let revoked = crowd.page(own).await.revoked;
    assert_eq!(revoked, std::slice::from_ref(&scope));
    let reads = crowd.reads_until_all_hear(before, "1").await;
    assert!((1..=3).contains(&reads), "{reads}");
    assert!(
        crowd
            .sync
            .decline(&named, decline(false))
            .await
            .unwrap()
            .is_empty()
    );
    let page = crowd.page(own).await;
    assert_eq!(page.decoded().unwrap()[0].record.scope(), &scope);

    let many = (0..=tidegate_core::membership::DECLINED_MAX)
        .map(|n| UserId::new(&format!("u{n}")).unwrap());
    let too_many = DeclineRequest {
        givers: many.collect(),
        decline: true,
    };
    let refused = crowd.sync.decline(&named, too_many).await;
    assert!(
        matches!(refused, Err(SyncError::DeclinesFull)),
        "{refused:?}"
    );
}
