//! The rows of the table by group, each group measured by a function of its own, and the servers they share.

mod embedded;
mod fanout;
mod gateways;
mod growth;
mod import;
mod live;
mod memory;
mod peers;
mod pull;
mod push;

use std::{path::Path, time::Duration};

use futures_util::future::join_all;
use tempfile::TempDir;

use crate::{
    client::Device,
    documents::Edit,
    figure::Row,
    floor::{Floor, Lane, Push},
    gateway::Gateway,
    load,
    mongod::Mongod,
};

/// The groups in the order in which they are measured: the argument that chooses one, and what it measures.
pub(crate) const GROUPS: [(&str, &str); 10] = [
    ("push", "pushes to MongoDB"),
    (
        "http",
        "the floor behind a bare HTTP server, in place of the gateway",
    ),
    ("pull", "pulls of a whole scope"),
    ("gateways", "two gateways on one scope"),
    ("live", "live changes"),
    ("fanout", "many subscribers"),
    ("memory", "what a gateway holds"),
    ("embedded", "the embedded store"),
    ("growth", "a store that has grown"),
    ("import", "a database that another service filled"),
];

/// A group that is measured only by name: it needs npm, and does not compare with the floor.
pub(crate) const PEERS: (&str, &str) = ("peers", "what people use today, in place of the floor");

/// Transactions that the floor runs at the same time over many scopes: as many as a gateway.
const LANES: usize = 3;

/// The settings of all groups.
pub(crate) struct Bench {
    pub(crate) mongod: Mongod,
    directory: TempDir,
    floor: Floor,
    lanes: Vec<Lane>,
    /// How often floor and gateway take turns at each row.
    rounds: usize,
    /// How long each works in a round.
    window: Duration,
    /// The number of subscribers in rows with many.
    subscribers: usize,
    /// Documents of the scope that is pulled.
    pulled: usize,
    /// The number of entries of a store that has grown.
    entries: usize,
    /// The number of documents that are imported.
    imported: usize,
    /// The text that the wanted rows of a group contain, in groups that can leave rows out.
    only: Option<String>,
    /// Documents made so far, so that no number is used twice.
    made: usize,
    /// Whether the pulled scope has been made.
    filled: bool,
}

/// How much is measured.
pub(crate) struct Extent {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) subscribers: usize,
    pub(crate) pulled: usize,
    pub(crate) entries: usize,
    pub(crate) imported: usize,
    pub(crate) only: Option<String>,
}

impl Bench {
    pub(crate) async fn start(extent: Extent) -> Self {
        let mongod = Mongod::start().await;
        let floor = Floor::open(&mongod.url("floor")).await;
        Self {
            directory: TempDir::new().unwrap(),
            lanes: join_all((0..LANES).map(|_| floor.lane())).await,
            mongod,
            floor,
            rounds: extent.rounds,
            window: extent.window,
            subscribers: extent.subscribers,
            pulled: extent.pulled,
            entries: extent.entries,
            imported: extent.imported,
            only: extent.only,
            made: 0,
            filled: false,
        }
    }

    pub(crate) async fn measure(&mut self, group: &'static str) -> Vec<Row> {
        let rows = match group {
            "push" => push::rows(self).await,
            "http" => push::rows_of_bare_http(self).await,
            "pull" => pull::rows(self).await,
            "gateways" => gateways::rows(self).await,
            "live" => live::rows(self).await,
            "fanout" => fanout::rows(self).await,
            "memory" => memory::rows(self).await,
            "peers" => peers::rows(self).await,
            "embedded" => embedded::rows(self).await,
            "growth" => growth::rows(self).await,
            "import" => import::rows(self).await,
            other => panic!("there is no group {other}"),
        };
        rows.into_iter().map(|row| Row { group, ..row }).collect()
    }

    /// Whether to measure a row of this name.
    fn wants(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|only| row.contains(only))
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A gateway on the database that all of them share.
    fn gateway(&self) -> Gateway {
        Gateway::start(self.directory(), Some(&self.mongod.url("app")))
    }

    /// Numbers for a client's documents that no other has.
    fn numbers(&mut self) -> usize {
        const PER_CLIENT: usize = 1_000_000;
        self.made += PER_CLIENT;
        self.made
    }
}

/// Creates of so many documents.
fn new_documents(first: usize, count: usize) -> Vec<Edit> {
    let numbers = first..first + count;
    let create = |number| Edit { number, version: 1 };
    numbers.map(create).collect()
}

/// The target of a push.
pub(crate) trait Target: Send + 'static {
    fn push(&mut self, edits: Vec<Edit>) -> impl Future<Output = ()> + Send;
}

impl Target for Device {
    async fn push(&mut self, edits: Vec<Edit>) {
        Device::push(self, &edits).await;
    }
}

/// A scope of the floor, and the writer it belongs to.
struct RawScope {
    lane: Lane,
    scope: String,
}

impl Target for RawScope {
    async fn push(&mut self, edits: Vec<Edit>) {
        let scope = self.scope.clone();
        self.lane.push(Push { scope, edits }).await;
    }
}

/// A client with documents of its own: it creates more and more of them, or updates those it created, in turn.
struct Pusher<T> {
    target: T,
    /// The changes in each push.
    changes: usize,
    /// The number of its first document.
    first: usize,
    created: usize,
    updated: usize,
    updates: bool,
}

impl<T: Target> Pusher<T> {
    fn new(target: T, changes: usize, first: usize) -> Self {
        Self {
            target,
            changes,
            first,
            created: 0,
            updated: 0,
            updates: false,
        }
    }

    fn edits(&mut self) -> Vec<Edit> {
        (0..self.changes).map(|_| self.edit()).collect()
    }

    fn edit(&mut self) -> Edit {
        if !self.updates {
            self.created += 1;
            let number = self.first + self.created - 1;
            return Edit { number, version: 1 };
        }
        let pass = self.updated / self.created;
        let number = self.first + self.updated % self.created;
        self.updated += 1;
        Edit {
            number,
            version: 2 + i32::try_from(pass).unwrap(),
        }
    }
}

impl<T: Target> load::Client for Pusher<T> {
    async fn step(&mut self) -> usize {
        let edits = self.edits();
        self.target.push(edits).await;
        self.changes
    }
}
