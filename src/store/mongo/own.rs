//! What this gateway commits itself: its tails hear of it here, at once, and leave it out of the change stream by the
//! sessions in which it was written. MongoDB passes such transactions by without unpacking them, which would be up to a
//! third of what a commit costs there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt};
use mongodb::{Client, ClientSession, bson::Bson};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::{Base, failure::Failure};
use crate::store::TailEvent;

/// So many events a tail may lag behind before it is told to begin anew.
const EVENTS_MAX: usize = 64;

/// The sessions of one gateway's commits, and what came of them, for its own tails.
pub(super) struct Own {
    sessions: Mutex<Sessions>,
    /// So many sessions are begun together, since tails begin anew when there are others.
    count: usize,
    events: broadcast::Sender<TailEvent>,
}

#[derive(Default)]
struct Sessions {
    /// All whose commits are told here, by their ids.
    own: Vec<Bson>,
    /// Those that no commit has now.
    idle: Vec<ClientSession>,
    /// In one of these something may have been committed of which the gateway will not learn: they are nobody's,
    doubted: Vec<Bson>,
    /// and kept where the driver gives them out again.
    set_aside: Vec<ClientSession>,
}

impl Own {
    pub(super) fn new(count: usize) -> Self {
        Self {
            sessions: Mutex::default(),
            count: count.max(1),
            events: broadcast::Sender::new(EVENTS_MAX),
        }
    }

    /// The sessions whose commits are told here.
    pub(super) fn sessions(&self) -> Vec<Bson> {
        self.lock().own.clone()
    }

    /// A session for a commit.
    pub(super) async fn session(&self, base: &Base) -> Result<ClientSession, Failure> {
        loop {
            if let Some(session) = self.lock().idle.pop() {
                return Ok(session);
            }
            self.begin(&base.client).await?;
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
    pub(super) fn committed(&self, events: Vec<TailEvent>) {
        for event in events {
            // Nobody may be listening.
            drop(self.events.send(event));
        }
    }

    /// Something of its own may have been committed, or may still be, of which it will not learn: the sessions so far are
    /// no longer its own. Tails begin anew, and the change stream tells of them.
    pub(super) fn doubt(&self) {
        let mut sessions = self.lock();
        let own = std::mem::take(&mut sessions.own);
        sessions.doubted.extend(own);
        sessions.idle.clear();
    }

    /// What is committed from now on.
    pub(super) fn follow(&self) -> impl Stream<Item = TailEvent> + Send + 'static {
        BroadcastStream::new(self.events.subscribe())
            .map(|event| event.unwrap_or(TailEvent::Restart))
    }

    /// A panic while the lock was held leaves lists of sessions all the same.
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn add(&mut self, session: ClientSession) {
        let id = id_of(&session);
        if self.doubted.contains(&id) {
            self.set_aside.push(session);
            return;
        }
        if !self.own.contains(&id) {
            self.own.push(id);
        }
        self.idle.push(session);
    }
}

fn id_of(session: &ClientSession) -> Bson {
    session.id().get("id").cloned().unwrap_or(Bson::Null)
}
