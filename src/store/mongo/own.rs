//! What this gateway commits itself: its tails hear of it here, at once, and leave it out of the change stream by the
//! sessions in which it was written. MongoDB passes such transactions by without unpacking them, which would be up to a
//! third of what a commit costs there.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{Stream, StreamExt, stream};
use mongodb::{Client, ClientSession, bson::Bson};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::{Base, failure::Failure};
use crate::store::TailEvent;

/// So many commits a tail may lag behind before it is told to begin anew.
const COMMITS_MAX: usize = 256;

/// So many doubts are remembered: one comes of a commit that was repeated in vain until its time was over.
const DOUBTED_MAX: usize = 1_024;

/// The most sessions in doubt that may hold locks: a few commits run at a time, each for 25 seconds, and their
/// transactions end within a minute.
const DOUBTED_WITH_LOCKS_MAX: usize = 32;

/// The sessions of one gateway's commits, and what came of them, for its own tails.
pub(super) struct Own {
    sessions: Mutex<Sessions>,
    /// So many sessions are begun together, since change streams are opened again when there are others.
    count: usize,
    commits: broadcast::Sender<Arc<[TailEvent]>>,
}

#[derive(Default)]
struct Sessions {
    /// All whose commits are told here, by their ids.
    own: Vec<Bson>,
    /// Those that no commit has now.
    idle: Vec<ClientSession>,
    /// Those in which something may have been committed of which the gateway will not learn.
    doubted: VecDeque<Doubted>,
}

struct Doubted {
    id: Bson,
    /// Where the driver has given it out again: it is kept, so that it does not once more.
    set_aside: Option<ClientSession>,
}

impl Own {
    pub(super) fn new(count: usize) -> Self {
        Self {
            sessions: Mutex::default(),
            count,
            commits: broadcast::Sender::new(COMMITS_MAX),
        }
    }

    /// The sessions whose commits are told here.
    pub(super) fn sessions(&self) -> Vec<Bson> {
        self.lock().own.clone()
    }

    /// The sessions in which a transaction may be open: these, and the last in doubt.
    pub(super) fn may_hold_locks(&self) -> Vec<Bson> {
        let sessions = self.lock();
        let doubted = sessions.doubted.iter().rev().take(DOUBTED_WITH_LOCKS_MAX);
        let doubted = doubted.map(|doubted| doubted.id.clone());
        sessions.own.iter().cloned().chain(doubted).collect()
    }

    /// A session for a commit.
    pub(super) async fn session(&self, base: &Base) -> Result<ClientSession, Failure> {
        loop {
            if let Some(session) = self.lock().idle.pop() {
                return Ok(session);
            }
            self.begin(&base.client).await?;
            base.beat().await?;
        }
    }

    /// Begins as many as are missing, and one at least.
    pub(super) async fn begin(&self, client: &Client) -> Result<(), Failure> {
        let missing = self.count.saturating_sub(self.lock().own.len()).max(1);
        let mut begun = Vec::new();
        for _ in 0..missing {
            // Each transaction says itself what it reads.
            let session = client.start_session().causal_consistency(false);
            begun.push(session.await?);
        }
        let mut sessions = self.lock();
        for session in begun {
            sessions.add(session);
        }
        Ok(())
    }

    /// Takes a session back from a commit.
    pub(super) fn keep(&self, session: ClientSession) {
        let mut sessions = self.lock();
        if sessions.own.contains(&id_of(&session)) {
            sessions.idle.push(session);
        }
    }

    /// To be called when it is known that this was committed.
    pub(super) fn committed(&self, news: Vec<TailEvent>) {
        if !news.is_empty() {
            // Nobody may be listening.
            drop(self.commits.send(news.into()));
        }
    }

    /// Something may have been committed in this session, or may still be, of which the gateway will not learn: it is no
    /// longer its own. Tails tell that something may have been missed, and their change streams pass it by no more.
    pub(super) fn doubt(&self, session: Bson) {
        let mut sessions = self.lock();
        sessions.own.retain(|own| *own != session);
        sessions.doubted.push_back(Doubted {
            id: session,
            set_aside: None,
        });
        if sessions.doubted.len() > DOUBTED_MAX {
            sessions.doubted.pop_front();
        }
    }

    /// What is committed from now on.
    pub(super) fn follow(&self) -> impl Stream<Item = TailEvent> + Send + 'static {
        BroadcastStream::new(self.commits.subscribe()).flat_map(|commit| {
            let news = commit.map_or_else(|_| vec![TailEvent::Restart], |news| news.to_vec());
            stream::iter(news)
        })
    }

    /// A panic while the lock was held leaves lists of sessions all the same.
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn add(&mut self, session: ClientSession) {
        let id = id_of(&session);
        let mut doubted = self.doubted.iter_mut();
        if let Some(doubted) = doubted.find(|doubted| doubted.id == id) {
            doubted.set_aside = Some(session);
            return;
        }
        if !self.own.contains(&id) {
            self.own.push(id);
        }
        self.idle.push(session);
    }
}

/// What the oplog calls a session.
pub(super) fn id_of(session: &ClientSession) -> Bson {
    session.id().get("id").cloned().unwrap_or(Bson::Null)
}
