//! The floor: the plain work of a push, a pull and a live change, by the official driver and with nothing around it.
//!
//! Nothing is read, checked or decided first, and no mutation ids are kept. The difference is what the gateway adds.

mod import;
mod pull;
mod push;
mod records;
mod tail;

use mongodb::{
    Client, Database, IndexModel,
    bson::{Document, doc},
};

pub(crate) use self::{
    import::{TEAMS, fill},
    pull::Reader,
    push::{Lane, Push},
    tail::Tail,
};

/// The collections, as the gateway has them.
#[derive(Clone)]
pub(crate) struct Floor {
    client: Client,
    database: Database,
}

impl Floor {
    pub(crate) async fn open(url: &str) -> Self {
        let client = Client::with_uri_str(url).await.unwrap();
        let database = client.default_database().unwrap();
        for name in ["tasks", "feed", "scopes"] {
            database.create_collection(name).await.unwrap();
        }
        // That of pages, and those that the gateway keeps for the lists of tasks.
        let keys = [
            doc! {"s": 1, "t": 1, "q": 1},
            doc! {"t": 1, "s": 1, "i": 1},
            doc! {"s": 1, "b.done": 1, "b.due_at": 1, "i": 1},
            doc! {"s": 1, "b.audience": 1, "b.done": 1, "b.due_at": 1, "i": 1},
            doc! {"s": 1, "b.projectId": 1, "b.due_at": 1, "i": 1},
        ];
        let indexes = keys.map(|keys| IndexModel::builder().keys(keys).build());
        let feed = database.collection::<Document>("feed");
        feed.create_indexes(indexes).await.unwrap();
        Self { client, database }
    }
}
