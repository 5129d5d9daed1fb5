//! Opening the store: what it needs of the server, its collections and indexes, its first epoch.
//!
//! All of it may be done by several gateways at once, and again at every start.

use std::{sync::Arc, time::Duration};

use mongodb::{
    Client, IndexModel,
    bson::{Document, doc},
    options::{
        Acknowledgment, ClientOptions, IndexOptions, ReadConcern, ReadPreference,
        SelectionCriteria, WriteConcern,
    },
};

use super::{
    Base, MongoOptions,
    elections::Elections,
    failure::{Failure, code},
    inbox,
    layout::Layout,
    places::{EPOCH, FORMAT, GROUPS, GROUPS_END, Places, VERSION_FLOOR},
    server::{self, Needs},
};
use crate::store::StoreError;

/// The format of the collections. It rises with every change that an older or a newer gateway could not read.
const FORMAT_VERSION: i32 = 1;

const NAMESPACE_EXISTS: i32 = 48;

pub(super) async fn open(options: &MongoOptions, layout: Layout) -> Result<Base, StoreError> {
    let places = Places::new(&options.prefix);
    let elections = Arc::<Elections>::default();
    let mut followed = options.clone();
    followed.client.sdam_event_handler = Some(elections.follow());
    let client = connect(&followed, &places, &layout).await?;
    let base = Base {
        database: client.database(&options.database),
        client,
        places,
        layout,
        elections,
        random: options.random.clone(),
        call_max: options.call_max,
        commit_max: options.commit_max,
    };
    base.make_collections().await?;
    base.make_indexes().await?;
    base.make_meta(options).await?;
    base.forget_old_groups().await?;
    Ok(base)
}

/// Connects, and looks whether a store can be kept there.
pub(super) async fn connect(
    options: &MongoOptions,
    places: &Places,
    layout: &Layout,
) -> Result<Client, StoreError> {
    let client_options = client_options(&options.client);
    let client = Client::with_options(client_options.clone());
    let client = client.map_err(|error| server::of_options(&error))?;
    let own = places.all().map(str::to_owned);
    let needs = Needs {
        database: options.database.clone(),
        application: layout.collections().map(str::to_owned).collect(),
        own: own.into(),
    };
    server::examine(&client, &client_options, &needs).await?;
    Ok(client)
}

/// The primary everywhere; where the URL names no time-out, one that lets a request be answered in time. A read concern
/// of the client's would replace that of snapshot sessions (driver 3.9), and their reads would be of many moments: each
/// read names its own.
fn client_options(given: &ClientOptions) -> ClientOptions {
    const PATIENCE: Duration = Duration::from_secs(5);
    /// As other drivers have it; with the ten of this one pulls would wait for one another.
    const POOL: u32 = 100;
    let mut options = given.clone();
    options
        .app_name
        .get_or_insert_with(|| "tidegate".to_owned());
    options.read_concern = None;
    options.write_concern = Some(durable());
    options.selection_criteria = Some(primary());
    options.server_selection_timeout.get_or_insert(PATIENCE);
    options.connect_timeout.get_or_insert(PATIENCE);
    options.heartbeat_freq.get_or_insert(PATIENCE);
    options.max_pool_size.get_or_insert(POOL);
    options
}

/// On the disks of a majority.
pub(super) fn durable() -> WriteConcern {
    WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build()
}

pub(super) fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

impl Base {
    /// Those of the application too: made inside a transaction they would collide with the first pushes.
    async fn make_collections(&self) -> Result<(), Failure> {
        for name in self
            .places
            .all()
            .into_iter()
            .chain(self.layout.collections())
        {
            match self.in_time(self.database.create_collection(name)).await {
                Err(Failure::Driver(error)) if code(&error) == Some(NAMESPACE_EXISTS) => {}
                made => made?,
            }
        }
        Ok(())
    }

    /// Scans by scope, type and seq; memberships by user; the oldest tombstones and markers; the inbox. A first build may take as
    /// long as it needs.
    async fn make_indexes(&self) -> Result<(), Failure> {
        let index = |keys: Document, sparse: bool| {
            let options = IndexOptions::builder().sparse(sparse).build();
            IndexModel::builder().keys(keys).options(options).build()
        };
        let feed = self.database.collection::<Document>(&self.places.feed);
        feed.create_indexes([
            index(doc! { "s": 1, "t": 1, "q": 1 }, false),
            index(doc! { "g.u": 1 }, true),
            index(doc! { "x": 1 }, true),
        ])
        .await?;
        let conflicts = self.database.collection::<Document>(&self.places.conflicts);
        let indexes = inbox::indexes().map(|(keys, sparse)| index(keys, sparse));
        conflicts.create_indexes(indexes).await?;
        Ok(())
    }

    /// The first gateway to come gives the epoch.
    async fn make_meta(&self, options: &MongoOptions) -> Result<(), Failure> {
        let meta = self.database.collection::<Document>(&self.places.meta);
        for (key, first) in [
            (FORMAT, doc! { "v": FORMAT_VERSION }),
            (EPOCH, doc! { "epoch": options.first_epoch.as_str() }),
            (VERSION_FLOOR, doc! { "v": 0 }),
        ] {
            let update = doc! { "$setOnInsert": first };
            let upsert = meta.update_one(doc! { "_id": key }, update).upsert(true);
            self.in_time(upsert).await?;
        }
        let find = meta.find_one(doc! { "_id": FORMAT });
        let find = find.read_concern(ReadConcern::majority());
        let format = self.in_time(find).await?;
        let found = format
            .and_then(|format| format.get_i32("v").ok())
            .unwrap_or_default();
        if found != FORMAT_VERSION {
            let number = |version: i32| u32::try_from(version).unwrap_or_default();
            return Err(Failure::Final(StoreError::OtherFormat {
                path: format!("{}.{}", self.database.name(), self.places.meta),
                found: number(found),
                known: number(FORMAT_VERSION),
            }));
        }
        Ok(())
    }

    /// Every start of a gateway leaves its group numbers behind. None is asked for longer than a commit is repeated;
    /// by MongoDB's own clock a day is long enough.
    async fn forget_old_groups(&self) -> Result<(), Failure> {
        let clients = self.database.collection::<Document>(&self.places.clients);
        let a_day_ago =
            doc! { "$dateSubtract": { "startDate": "$$NOW", "unit": "day", "amount": 1 } };
        let old = doc! {
            "_id": { "$gte": GROUPS, "$lt": GROUPS_END },
            "$expr": { "$lt": ["$at", a_day_ago] },
        };
        self.in_time(clients.delete_many(old)).await?;
        Ok(())
    }
}
