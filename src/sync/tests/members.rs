//! Memberships and open subscriptions: which subscriptions are woken, and what they read.

mod added;
pub(super) mod counted;

use tokio::sync::mpsc;

use self::counted::{CountingStore, Counts};
use super::*;

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

/// The number of subscriptions of users without memberships, and the number of scopes of each.
const BYSTANDERS: usize = 200;
const SCOPES: usize = 50;

struct Crowd {
    store: Arc<CountingStore>,
    sync: Arc<SyncService>,
    pages: Vec<mpsc::UnboundedReceiver<Page>>,
    _directory: TempDir,
}

impl Crowd {
    /// Opens the bystanders' subscriptions, and last that of the user `named`. All have read everything, and sleep.
    async fn gather() -> Self {
        let mut crowd = Self::empty();
        for n in 0..=BYSTANDERS {
            let name = match n {
                BYSTANDERS => "named".to_owned(),
                n => format!("bystander{n}"),
            };
            let mut teams: Vec<String> = (0..SCOPES).map(|scope| format!("{n}-{scope}")).collect();
            teams.push("all".to_owned());
            crowd.follow(&name, teams);
        }
        crowd.settle_first().await;
        crowd
    }

    fn empty() -> Self {
        let directory = TempDir::new().unwrap();
        let store = Arc::new(CountingStore {
            inner: embedded(directory.path()),
            layer: Arc::default(),
        });
        let clock = Arc::new(|| Timestamp::EPOCH);
        let sync = start(MODEL, store.clone(), clock, Limits::default());
        Self {
            store,
            sync,
            pages: Vec::new(),
            _directory: directory,
        }
    }

    async fn settle_first(&mut self) {
        for pages in 0..self.pages.len() {
            assert!(self.page(pages).await.reset);
        }
        self.settle().await;
    }

    /// Waits until each has had the first page and has read once more after its scopes are watched.
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
        let mut pages = follow(&self.sync, &caller, 10);
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(page)) = pages.next().await {
                if sender.send(page).is_err() {
                    return;
                }
            }
        });
        self.pages.push(receiver);
    }

    fn reads(&self) -> usize {
        self.store.layer.snapshots.load(Ordering::SeqCst)
    }

    async fn page(&mut self, of: usize) -> Page {
        let page = timeout(PATIENCE, self.pages[of].recv()).await;
        page.expect("a page comes")
            .expect("the subscription goes on")
    }

    async fn push(&self, user: &str, team: &str, changes: Vec<(&str, &str, Action)>) {
        let caller = member(&self.sync, user, team);
        let changes = changes.into_iter();
        let changes = changes.map(|(name, id, action)| (fixtures::key(name, id), action));
        let push = fixtures::push(changes);
        let outcome = self.sync.push(&caller, push).await.unwrap();
        for outcome in outcome.outcomes {
            assert_eq!(outcome.status, Status::Applied, "{:?}", outcome.error);
        }
    }

    /// Sends all a document that they see, from their rings. Returns how often the store was read since `before`.
    async fn reads_until_all_hear(&mut self, before: usize, id: &str) -> usize {
        let team = texts(&[("team", "all")]);
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

fn give(person: &str) -> Action {
    let document = [
        ("roster", "giver"),
        ("team", "given"),
        ("person", person),
        ("access", "READ"),
    ];
    Action::Create {
        document: texts(&document),
        base: None,
    }
}

fn change(base: i32, set: &[(&str, &str)]) -> Action {
    Action::Update {
        base: BaseVersion(base),
        set: texts(set),
        seen: None,
    }
}

/// A socket does not poll its subscriptions while its client reads nothing. Reads that stand still would keep their
/// reservations, and connections to the store.
#[tokio::test]
async fn a_read_ends_though_nobody_polls_its_subscription() {
    let crowd = Crowd::empty();
    let caller = member(&crowd.sync, "alice", vec!["1".to_owned(), "2".to_owned()]);
    let mut pages = follow(&crowd.sync, &caller, 10);
    assert!(poll_immediate(pages.next()).await.is_none(), "it reads");
    let scopes = &crowd.store.layer.scopes;
    let reading = async {
        while scopes.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    let read = timeout(PATIENCE, reading).await;
    read.expect("the snapshot was opened, and the scopes were read behind it");
}

#[tokio::test]
async fn a_membership_wakes_whom_it_names_and_reads_nothing_for_anybody_else() {
    let mut crowd = Crowd::gather().await;
    let own = BYSTANDERS;

    // The membership is given: the user's subscription reads the store, and once more with the new scope watched.
    let before = crowd.reads();
    crowd
        .push("giver", "giver", vec![("Member", "m", give("named"))])
        .await;
    let reads = crowd.reads_until_all_hear(before, "1").await;
    assert!((1..=3).contains(&reads), "{reads}");

    // Nothing relevant changes: nothing is read.
    let before = crowd.reads();
    let noted = change(1, &[("note", "x")]);
    crowd
        .push("giver", "giver", vec![("Member", "m", noted)])
        .await;
    assert_eq!(crowd.reads_until_all_hear(before, "2").await, 0);

    // It moves to a user without a subscription. The user that loses it gets the change.
    let before = crowd.reads();
    let moved = change(2, &[("person", "absent")]);
    crowd
        .push("giver", "giver", vec![("Member", "m", moved)])
        .await;
    let left = crowd.page(own).await;
    assert_eq!(left.revoked, [Scope::new("team:given").unwrap()]);
    let reads = crowd.reads_until_all_hear(before, "3").await;
    assert!((1..=3).contains(&reads), "{reads}");

    // Memberships of hundreds of other users cost these subscriptions nothing.
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
    let counts = Arc::clone(&crowd.store.layer);
    let once_each = counts.memberships.load(Ordering::SeqCst);
    assert_eq!(once_each, BYSTANDERS + 1, "once for each user");
    let before = crowd.reads();
    crowd
        .push("giver", "giver", vec![("Member", "m", give("named"))])
        .await;
    let reads = crowd.reads_until_all_hear(before, "1").await;
    assert!((21..=3 * 21).contains(&reads), "{reads}");
    assert_eq!(counts.memberships.load(Ordering::SeqCst), once_each + 1);
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
        document: texts(&[("team", "given")]),
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
