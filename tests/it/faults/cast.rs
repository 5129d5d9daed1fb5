//! The users of the gateways meanwhile: writers at both, a subscriber at each, and one that pulls.
//!
//! `judge` says what must hold of the store.

use std::{
    borrow::Borrow,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::harness::{Client, Documents, Follower, Replica, Server, Writer, mongod::until};

const WRITERS: usize = 4;

/// How many answers each writer gets before something counts as working again.
const PUSHES: i64 = 3;

/// How long clients may take to catch up after the last fault.
const CATCH_UP: Duration = Duration::from_secs(60);

/// All clients, at rest.
pub(super) struct Cast {
    pub(super) writers: Vec<Writer>,
    pub(super) subscribers: Vec<Follower>,
    pub(super) puller: Follower,
}

impl Cast {
    /// Writers read at the other gateway. One of the subscribers sees only the shared documents, the other a writer's
    /// own too.
    pub(super) async fn new(servers: &[impl Borrow<Server>; 2]) -> Self {
        let [here, there] = [servers[0].borrow(), servers[1].borrow()];
        let writers = Writer::several(here, WRITERS, 20).await.into_iter();
        let spread = |(number, writer): (usize, Writer)| match number % 2 {
            0 => writer.reading_at(there),
            _ => writer.at(there).reading_at(here),
        };
        Self {
            writers: writers.enumerate().map(spread).collect(),
            subscribers: vec![
                Follower::new(here.client("subscriber")),
                Follower::new(there.client("writer-0")),
            ],
            puller: Follower::new(there.client("writer-1")),
        }
    }

    /// The same devices, after the gateway has moved.
    pub(super) fn at(self, server: &Server) -> Self {
        let (writers, subscribers) = (self.writers.into_iter(), self.subscribers.into_iter());
        Self {
            writers: writers.map(|writer| writer.at(server)).collect(),
            subscribers: subscribers.map(|follower| follower.at(server)).collect(),
            puller: self.puller.at(server),
        }
    }

    /// Each client with an unanswered push repeats it.
    pub(super) async fn settle(&mut self) {
        for writer in &mut self.writers {
            writer.settle().await;
        }
    }

    /// All clients begin to work.
    pub(super) async fn work(self) -> Work {
        let (stop, stopped) = watch::channel(false);
        let mut acknowledged = Vec::new();
        let writing = self.writers.into_iter().map(|writer| {
            let count = Arc::<AtomicI64>::default();
            acknowledged.push(Arc::clone(&count));
            tokio::spawn(writer.write_until(stopped.clone(), count))
        });
        let writing = writing.collect();
        let mut following = Vec::new();
        for follower in self.subscribers {
            let (client, socket) = (follower.client.clone(), follower.connect().await);
            let (awaited, awaits) = watch::channel(None);
            let applying = tokio::spawn(follower.apply_until_held(socket, awaits));
            following.push(Following {
                client,
                awaited,
                applying,
            });
        }
        Work {
            stop,
            acknowledged,
            writing,
            following,
            pulling: tokio::spawn(self.puller.pull_until(stopped)),
        }
    }
}

/// All clients, at work.
pub(super) struct Work {
    stop: watch::Sender<bool>,
    acknowledged: Vec<Arc<AtomicI64>>,
    writing: Vec<JoinHandle<Writer>>,
    following: Vec<Following>,
    pulling: JoinHandle<Follower>,
}

/// A subscriber at work.
struct Following {
    client: Client,
    awaited: watch::Sender<Option<Arc<Documents>>>,
    applying: JoinHandle<Follower>,
}

impl Work {
    /// Waits until each writer was answered again.
    pub(super) async fn goes_on(&self) {
        let counts = || {
            self.acknowledged
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
        };
        let enough: Vec<i64> = counts().map(|count| count + PUSHES).collect();
        let goes_on = async || {
            counts()
                .zip(&enough)
                .all(|(count, enough)| count >= *enough)
                .then_some(())
        };
        until("answer for each writer", goes_on).await;
    }

    /// All clients stop: outstanding pushes are written, and subscribers hold what a fresh sync gets.
    pub(super) async fn rest(self) -> Cast {
        self.stop.send_replace(true);
        let mut writers = Vec::new();
        for writing in self.writing {
            let mut writer = writing.await.unwrap();
            writer.settle().await;
            writers.push(writer);
        }
        let mut subscribers = Vec::new();
        for following in self.following {
            subscribers.push(following.catch_up().await);
        }
        let mut puller = self.pulling.await.unwrap();
        puller.replica.pull(&puller.client).await;
        Cast {
            writers,
            subscribers,
            puller,
        }
    }

    /// All clients stop where they are, since the gateway is gone.
    pub(super) async fn cut(self) -> Cast {
        self.stop.send_replace(true);
        let mut writers = Vec::new();
        for writing in self.writing {
            writers.push(writing.await.unwrap());
        }
        let mut subscribers = Vec::new();
        for following in self.following {
            subscribers.push(following.applying.await.unwrap());
        }
        Cast {
            writers,
            subscribers,
            puller: self.pulling.await.unwrap(),
        }
    }
}

impl Following {
    /// Waits until the subscription has brought what a fresh sync gets.
    async fn catch_up(self) -> Follower {
        let mut fresh = Replica::default();
        fresh.pull(&self.client).await;
        let expected = Arc::new(fresh.documents().clone());
        self.awaited.send_replace(Some(Arc::clone(&expected)));
        let applied = timeout(CATCH_UP, self.applying).await;
        let follower = applied.expect("the subscription goes on").unwrap();
        assert_eq!(
            *follower.replica.documents(),
            *expected,
            "the subscription ended"
        );
        follower
    }
}
