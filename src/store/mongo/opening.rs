//! Opening the store: what it requires of the server, its collections and indexes, its first epoch.
//!
//! Several gateways may do all of this at once, and again at every start.

use std::{sync::Arc, time::Duration};

use mongodb::{
    Client, IndexModel,
    bson::{Binary, Document, doc, spec::BinarySubtype},
    options::{
        Acknowledgment, ClientOptions, IndexOptions, ReadPreference, SelectionCriteria,
        WriteConcern,
    },
};
use tidegate_core::{checkpoint::TokenKey, id::TypeName};

use super::{
    MongoContext, MongoOptions,
    elections::Elections,
    error::{MongoError, code},
    format::FORMAT_VERSION,
    inbox,
    layout::ModelLayout,
    lease,
    live::GatewayRecords,
    local_commits::LocalCommits,
    members,
    names::{
        CollectionNames, FORMAT, GROUPS, GROUPS_END, LEASE, TOKEN_KEY, VERSION_FLOOR, format_2,
    },
    server::{self, Examined, Server, ServerRequirements},
};
use crate::store::{
    StoreError,
    finding::{Finding, StorePresence, refuse_obstacles},
};

const NAMESPACE_EXISTS: i32 = 48;

/// Connects, and examines the server. It writes nothing.
pub(super) async fn connect(
    options: &MongoOptions,
    layout: ModelLayout,
) -> Result<(MongoContext, Vec<Finding>), StoreError> {
    let names = CollectionNames::new(&options.prefix);
    let elections = Arc::<Elections>::default();
    let mut followed = options.client.clone();
    followed.sdam_event_handler = Some(elections.follow());
    let client_options = client_options(&followed);
    let client = Client::with_options(client_options.clone());
    let client = client.map_err(|error| server::of_options(&error))?;
    let needs = ServerRequirements {
        database: options.database.clone(),
        application: layout.synced_collections(),
        own: names.all().map(str::to_owned).into(),
    };
    let Examined { server, findings } = server::examine(&client, &client_options, &needs).await?;
    let gateway = (options.random)();
    let context = MongoContext {
        database: client.database(&options.database),
        client,
        names: Arc::new(names),
        layout: Arc::new(layout),
        elections,
        local_commits: Arc::new(LocalCommits::new(options.transactions_max.max(1), gateway)),
        live: Arc::new(GatewayRecords::new(gateway)),
        models: Arc::default(),
        numbers: Arc::default(),
        first_key: random_key(options),
        capped: Arc::default(),
        seen: Arc::default(),
        optimistic_inserts: server == Server::Member,
        random: options.random.clone(),
        call_max: options.call_max,
        commit_max: options.commit_max,
        keeps_sums: options.keeps_sums,
    };
    Ok((context, findings))
}

fn random_key(options: &MongoOptions) -> TokenKey {
    let mut key = [0; 32];
    for part in key.chunks_exact_mut(8) {
        part.copy_from_slice(&(options.random)().to_ne_bytes());
    }
    TokenKey(key)
}

/// Connects, and makes what is missing. Returns also what the operator should know.
pub(super) async fn open(
    options: &MongoOptions,
    layout: ModelLayout,
) -> Result<(MongoContext, Vec<Finding>), StoreError> {
    let (context, findings) = connect(options, layout).await?;
    refuse_obstacles(&findings)?;
    if context.presence().await? == StorePresence::Convertible {
        context.convert(&options.conversion).await?;
    }
    context.make_collections().await?;
    if let Err(error) = context.make_indexes().await {
        refuse_obstacles(&context.indexes().await?)?;
        return Err(error.into());
    }
    context.make_state(options).await?;
    context.number_scopes().await?;
    context.forget_old_groups().await?;
    Ok((context, findings))
}

/// The same store with connections that belong to the current runtime.
pub(super) async fn with_other_connections(
    context: MongoContext,
    options: MongoOptions,
) -> Result<MongoContext, StoreError> {
    let client = Client::with_options(client_options(&options.client));
    let client = client.map_err(|error| server::of_options(&error))?;
    context.local_commits.begin(&client).await?;
    Ok(MongoContext {
        database: client.database(&options.database),
        client,
        ..context
    })
}

/// Reads from the primary everywhere. If the URL names no time-out, sets one that lets a request be answered in time.
/// Each read names its own read concern: one of the client would replace that of snapshot sessions (driver 3.9), whose
/// reads would then be of different moments.
pub(super) fn client_options(given: &ClientOptions) -> ClientOptions {
    const PATIENCE: Duration = Duration::from_secs(5);
    /// The default of other drivers. With this driver's default of ten, pulls would wait for one another.
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

/// Durable on the disks of a majority.
pub(super) fn durable() -> WriteConcern {
    WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build()
}

pub(super) fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

impl MongoContext {
    /// Creates the application's collections too: creating one inside a transaction would collide with the first
    /// pushes. A collection that was imported and is missing stays missing, since it may come back under its name.
    async fn make_collections(&self) -> Result<(), MongoError> {
        for name in self.names.all() {
            self.make_collection(name).await?;
        }
        let imports = self.progress().await?.types;
        let is_imported = |name: &TypeName| {
            let import = imports.get(name);
            import.is_some_and(|import| import.collection.is_some())
        };
        for (type_name, layout) in self.layout.types() {
            if !is_imported(type_name) {
                self.make_collection(&layout.collection).await?;
            }
        }
        Ok(())
    }

    async fn make_collection(&self, name: &str) -> Result<(), MongoError> {
        match self.in_time(self.database.create_collection(name)).await {
            Err(MongoError::Driver(error)) if code(&error) == Some(NAMESPACE_EXISTS) => Ok(()),
            made => made,
        }
    }

    /// A first build may take as long as it needs.
    async fn make_indexes(&self) -> Result<(), MongoError> {
        for (collection, indexes) in self.own_indexes() {
            let collection = self.database.collection::<Document>(&collection);
            collection.create_indexes(indexes).await?;
        }
        Ok(())
    }

    /// The indexes of Tidegate's collections: scans by scope, type and seq, and the same of living documents;
    /// memberships by user; the oldest tombstones and markers; the clients of users, and those that have not pushed for
    /// long; the numbers of scopes; the inbox.
    pub(super) fn own_indexes(&self) -> [(String, Vec<IndexModel>); 3] {
        let index = |keys: Document, sparse: bool| {
            let options = IndexOptions::builder().sparse(sparse).build();
            IndexModel::builder().keys(keys).options(options).build()
        };
        let of_bodies = IndexOptions::builder()
            .partial_filter_expression(doc! { "b": { "$exists": true } })
            .build();
        let living = IndexModel::builder()
            .keys(doc! { "t": 1, "s": 1, "q": 1 })
            .options(of_bodies)
            .build();
        let feed = vec![
            index(doc! { "s": 1, "t": 1, "q": 1 }, false),
            living,
            members::index(),
            index(doc! { "x": 1 }, true),
        ];
        let unique = IndexOptions::builder().unique(true).sparse(true).build();
        let numbers = IndexModel::builder()
            .keys(doc! { "i": 1 })
            .options(unique)
            .build();
        let state = vec![
            index(doc! { "u": 1 }, true),
            index(doc! { "x": 1 }, true),
            numbers,
        ];
        let conflicts = inbox::indexes().map(|(keys, sparse)| index(keys, sparse));
        let CollectionNames {
            feed: of_feed,
            state: of_state,
            conflicts: of_conflicts,
            ..
        } = &*self.names;
        [
            (of_feed.clone(), feed),
            (of_state.clone(), state),
            (of_conflicts.clone(), conflicts.into()),
        ]
    }

    /// The first gateway sets the epoch.
    async fn make_state(&self, options: &MongoOptions) -> Result<(), MongoError> {
        let state = self.state();
        let secret = Binary {
            subtype: BinarySubtype::Generic,
            bytes: self.first_key.0.to_vec(),
        };
        let epoch = options.first_epoch.as_str();
        for (key, first) in [
            // Also in a new store it keeps gateways of that format from making an epoch of their own.
            (format_2::EPOCH, doc! {}),
            (FORMAT, doc! { "v": FORMAT_VERSION, "epoch": epoch }),
            (VERSION_FLOOR, doc! { "v": 0 }),
            (LEASE, lease::never_taken()),
            (TOKEN_KEY, doc! { "k": secret }),
        ] {
            let update = doc! { "$setOnInsert": first };
            let upsert = state.update_one(doc! { "_id": key }, update).upsert(true);
            self.in_time(upsert).await?;
        }
        Ok(())
    }

    /// Every start of a gateway leaves its group numbers behind. A group number is needed only while its commit is
    /// repeated, so a day by MongoDB's own clock is enough.
    async fn forget_old_groups(&self) -> Result<(), MongoError> {
        let state = self.state();
        let a_day_ago =
            doc! { "$dateSubtract": { "startDate": "$$NOW", "unit": "day", "amount": 1 } };
        let old = doc! {
            "_id": { "$gte": GROUPS, "$lt": GROUPS_END },
            "$expr": { "$lt": ["$at", a_day_ago] },
        };
        self.in_time(state.delete_many(old)).await?;
        Ok(())
    }
}
