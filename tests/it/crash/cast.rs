//! The users of a gateway while it is killed: several writers, one that pulls and one that subscribes.
//!
//! `harness::writer` says what must hold of the store.

use std::{
    hash::{BuildHasher, RandomState},
    ops::Range,
    time::Duration,
};

use tempfile::TempDir;

use crate::harness::{Follower, Server, Writer, expect_whole};

const WRITERS: usize = 4;

pub(super) struct Cast {
    pub(super) writers: Vec<Writer>,
    pub(super) puller: Follower,
    pub(super) subscriber: Follower,
}

impl Cast {
    pub(super) async fn new(directory: &TempDir) -> Self {
        let server = Server::dev(directory);
        let cast = Self {
            writers: Writer::several(&server, WRITERS, 20).await,
            puller: Follower::new(server.client("puller")),
            subscriber: Follower::new(server.client("subscriber")),
        };
        server.kill();
        cast
    }

    /// The same devices, after the gateway has moved.
    pub(super) fn at(self, server: &Server) -> Self {
        let writers = self.writers.into_iter();
        Self {
            writers: writers.map(|writer| writer.at(server)).collect(),
            puller: self.puller.at(server),
            subscriber: self.subscriber.at(server),
        }
    }

    /// All work until the gateway is killed.
    pub(super) async fn work_until_killed(self, server: Server, after: Duration) -> Self {
        let socket = self.subscriber.connect().await;
        let writing: Vec<_> = self
            .writers
            .into_iter()
            .map(|writer| tokio::spawn(writer.write_until_cut()))
            .collect();
        let pulling = tokio::spawn(self.puller.pull_until_cut());
        let following = tokio::spawn(self.subscriber.apply_until_cut(socket));
        tokio::time::sleep(after).await;
        server.kill();
        let mut writers = Vec::new();
        for writer in writing {
            writers.push(writer.await.unwrap());
        }
        Self {
            writers,
            puller: pulling.await.unwrap(),
            subscriber: following.await.unwrap(),
        }
    }

    /// Each writer gets its outstanding answer, and each reader catches up.
    pub(super) async fn settle(mut self) -> Self {
        for writer in &mut self.writers {
            writer.push_well().await;
        }
        for follower in [&mut self.puller, &mut self.subscriber] {
            follower.replica.pull(&follower.client).await;
        }
        self
    }

    /// A reader that followed all the time holds what a new one gets, and never had to reset.
    pub(super) async fn expect_followed(&self, server: &Server) {
        let fresh = expect_whole(server, &self.writers).await;
        for follower in [&self.puller, &self.subscriber] {
            assert_eq!(follower.replica.documents(), fresh.documents());
            assert_eq!(follower.replica.resets, 1, "continuity was never broken");
        }
    }
}

pub(super) fn random_ms(range: Range<u64>) -> Duration {
    let random = RandomState::new().hash_one(());
    Duration::from_millis(range.start + random % (range.end - range.start))
}
