//! What this gateway commits itself. Its tails get it here, at once, and the change stream skips the sessions in which
//! it was written. MongoDB skips such transactions without unpacking them, which would be up to a third of the cost of
//! a commit.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, StreamExt};
use mongodb::{Client, ClientSession, bson::Bson};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::{
    MongoContext,
    error::MongoError,
    grant_order::{GrantCounters, LocalCommit},
};
use crate::lock::Mutex;

/// How many commits a tail may lag behind before it has to restart.
const COMMITS_MAX: usize = 256;

/// How many unknown outcomes are remembered. One comes from a commit that was repeated without success until its time
/// was over.
const UNKNOWN_MAX: usize = 1_024;

/// The most sessions of unknown outcome that may hold locks: a few commits run at a time, each for 25 seconds, and
/// their transactions end within a minute.
const UNKNOWN_WITH_LOCKS_MAX: usize = 32;

/// The sessions of one gateway's commits, and the outcomes of the commits, for its own tails.
pub(super) struct LocalCommits {
    sessions: Mutex<CommitSessions>,
    /// How many sessions are started together, since every new session makes the change streams reopen.
    count: usize,
    commits: broadcast::Sender<Arc<LocalCommit>>,
    /// The counter that this gateway raises when it changes grants.
    grant_counter: usize,
}

#[derive(Default)]
struct CommitSessions {
    /// The ids of all sessions whose commits are reported here.
    local: Vec<Bson>,
    /// Sessions that no commit uses now.
    idle: Vec<ClientSession>,
    /// Sessions with a commit of unknown outcome.
    unknown: VecDeque<UnknownSession>,
}

struct UnknownSession {
    id: Bson,
    /// A session that the driver has handed out again. It is kept, so that the driver does not hand it out once more.
    set_aside: Option<ClientSession>,
}

impl LocalCommits {
    pub(super) fn new(count: usize, gateway: u64) -> Self {
        Self {
            sessions: Mutex::default(),
            count,
            commits: broadcast::Sender::new(COMMITS_MAX),
            grant_counter: GrantCounters::of_gateway(gateway),
        }
    }

    pub(super) fn grant_counter(&self) -> usize {
        self.grant_counter
    }

    /// The sessions whose commits are reported here.
    pub(super) fn sessions(&self) -> Vec<Bson> {
        self.sessions.lock().local.clone()
    }

    /// The sessions in which a transaction may be open: these, and the last of unknown outcome.
    pub(super) fn may_hold_locks(&self) -> Vec<Bson> {
        let sessions = self.sessions.lock();
        let unknown = sessions.unknown.iter().rev().take(UNKNOWN_WITH_LOCKS_MAX);
        let unknown = unknown.map(|unknown| unknown.id.clone());
        sessions.local.iter().cloned().chain(unknown).collect()
    }

    /// A session for a commit.
    pub(super) async fn session(
        &self,
        context: &MongoContext,
    ) -> Result<ClientSession, MongoError> {
        loop {
            if let Some(session) = self.sessions.lock().idle.pop() {
                return Ok(session);
            }
            self.begin(&context.client).await?;
            context.beat().await?;
        }
    }

    /// Starts as many sessions as are missing, and at least one.
    pub(super) async fn begin(&self, client: &Client) -> Result<(), MongoError> {
        let missing = self
            .count
            .saturating_sub(self.sessions.lock().local.len())
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
    pub(super) fn release_session(&self, session: ClientSession) {
        let mut sessions = self.sessions.lock();
        if sessions.local.contains(&id_of(&session)) {
            sessions.idle.push(session);
        }
    }

    /// The commit calls this once its outcome is known to be committed.
    pub(super) fn committed(&self, news: LocalCommit) {
        if !news.events.is_empty() {
            // The tail may have no followers.
            drop(self.commits.send(news.into()));
        }
    }

    /// A commit in this session may have happened, or may still happen, without an answer. The session is no longer
    /// this gateway's own: tails report that something may have been missed, and change streams no longer skip the
    /// session.
    pub(super) fn mark_unknown(&self, session: Bson) {
        let mut sessions = self.sessions.lock();
        sessions.local.retain(|own| *own != session);
        sessions.unknown.push_back(UnknownSession {
            id: session,
            set_aside: None,
        });
        if sessions.unknown.len() > UNKNOWN_MAX {
            sessions.unknown.pop_front();
        }
    }

    /// What is committed from now on; `None` if a follower was too slow and missed something.
    pub(super) fn follow(
        &self,
    ) -> impl Stream<Item = Option<LocalCommit>> + Send + Unpin + 'static {
        let commits = BroadcastStream::new(self.commits.subscribe());
        commits.map(|commit| Some(Arc::unwrap_or_clone(commit.ok()?)))
    }
}

impl CommitSessions {
    fn add(&mut self, session: ClientSession) {
        let id = id_of(&session);
        let mut unknown = self.unknown.iter_mut();
        if let Some(unknown) = unknown.find(|unknown| unknown.id == id) {
            unknown.set_aside = Some(session);
            return;
        }
        if !self.local.contains(&id) {
            self.local.push(id);
        }
        self.idle.push(session);
    }
}

/// The id of a session in the oplog.
pub(super) fn id_of(session: &ClientSession) -> Bson {
    session.id().get("id").cloned().unwrap_or(Bson::Null)
}
