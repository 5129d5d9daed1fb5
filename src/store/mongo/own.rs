//! What this gateway commits itself. Its tails get it here, at once, and the change stream skips the sessions in which
//! it was written. MongoDB skips such transactions without unpacking them, which would be up to a third of the cost of
//! a commit.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, StreamExt, stream};
use mongodb::{Client, ClientSession, bson::Bson};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::{Base, failure::Failure};
use crate::{lock::Mutex, store::TailEvent};

/// How many commits a tail may lag behind before it has to restart.
const COMMITS_MAX: usize = 256;

/// How many unknown outcomes are remembered. One comes from a commit that was repeated without success until its time
/// was over.
const DOUBTED_MAX: usize = 1_024;

/// The most sessions of unknown outcome that may hold locks: a few commits run at a time, each for 25 seconds, and
/// their transactions end within a minute.
const DOUBTED_WITH_LOCKS_MAX: usize = 32;

/// The sessions of one gateway's commits, and the outcomes of the commits, for its own tails.
pub(super) struct Own {
    sessions: Mutex<Sessions>,
    /// How many sessions are started together, since every new session makes the change streams reopen.
    count: usize,
    commits: broadcast::Sender<Arc<[TailEvent]>>,
}

#[derive(Default)]
struct Sessions {
    /// The ids of all sessions whose commits are reported here.
    own: Vec<Bson>,
    /// Sessions that no commit uses now.
    idle: Vec<ClientSession>,
    /// Sessions with a commit of unknown outcome.
    doubted: VecDeque<Doubted>,
}

struct Doubted {
    id: Bson,
    /// A session that the driver has handed out again. It is kept, so that the driver does not hand it out once more.
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

    /// The sessions whose commits are reported here.
    pub(super) fn sessions(&self) -> Vec<Bson> {
        self.sessions.lock().own.clone()
    }

    /// The sessions in which a transaction may be open: these, and the last of unknown outcome.
    pub(super) fn may_hold_locks(&self) -> Vec<Bson> {
        let sessions = self.sessions.lock();
        let doubted = sessions.doubted.iter().rev().take(DOUBTED_WITH_LOCKS_MAX);
        let doubted = doubted.map(|doubted| doubted.id.clone());
        sessions.own.iter().cloned().chain(doubted).collect()
    }

    /// A session for a commit.
    pub(super) async fn session(&self, base: &Base) -> Result<ClientSession, Failure> {
        loop {
            if let Some(session) = self.sessions.lock().idle.pop() {
                return Ok(session);
            }
            self.begin(&base.client).await?;
            base.beat().await?;
        }
    }

    /// Starts as many sessions as are missing, and at least one.
    pub(super) async fn begin(&self, client: &Client) -> Result<(), Failure> {
        let missing = self
            .count
            .saturating_sub(self.sessions.lock().own.len())
            .max(1);
        let mut begun = Vec::new();
        for _ in 0..missing {
            // Each transaction sets its own read concern.
            let session = client.start_session().causal_consistency(false);
            begun.push(session.await?);
        }
        let mut sessions = self.sessions.lock();
        for session in begun {
            sessions.add(session);
        }
        Ok(())
    }

    /// Takes a session back from a commit.
    pub(super) fn keep(&self, session: ClientSession) {
        let mut sessions = self.sessions.lock();
        if sessions.own.contains(&id_of(&session)) {
            sessions.idle.push(session);
        }
    }

    /// The commit calls this once its outcome is known to be committed.
    pub(super) fn committed(&self, news: Vec<TailEvent>) {
        if !news.is_empty() {
            // The tail may have no followers.
            drop(self.commits.send(news.into()));
        }
    }

    /// A commit in this session may have happened, or may still happen, without an answer. The session is no longer
    /// this gateway's own: tails report that something may have been missed, and change streams no longer skip the
    /// session.
    pub(super) fn doubt(&self, session: Bson) {
        let mut sessions = self.sessions.lock();
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

/// The id of a session in the oplog.
pub(super) fn id_of(session: &ClientSession) -> Bson {
    session.id().get("id").cloned().unwrap_or(Bson::Null)
}
