//! Samples of the collections of a database that is not a store yet. Everything here reads, a bounded number of documents
//! and for a bounded time.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use mongodb::{
    Client, Collection, Cursor, Database,
    bson::{Bson, Document, RawDocument, RawDocumentBuf, doc},
    error::{Error, ErrorKind},
    options::ClientOptions,
};
use tokio::time::{Instant, timeout_at};

use super::{
    error::{UNAUTHORIZED, loggable},
    opening::client_options,
    server::{self, unsyncable},
};
use crate::store::StoreError;

/// How long one command may take, and the reading of one collection.
const COMMAND_MAX: Duration = Duration::from_secs(10);
const COLLECTION_MAX: Duration = Duration::from_secs(20);
/// The documents of one collection are read up to this size.
const BYTES_MAX: usize = 64 << 20;

/// A database whose collections are sampled.
pub struct Sampler {
    database: Database,
}

/// A collection of the database.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Why its documents cannot be synced.
    pub unsyncable: Option<String>,
}

/// Why a collection cannot be read: the predicate of a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread(pub String);

impl Sampler {
    /// Connects to the primary.
    ///
    /// # Errors
    /// [`StoreError`], with what to do.
    pub async fn connect(given: &ClientOptions, database: &str) -> Result<Self, StoreError> {
        let options = client_options(given);
        let client = Client::with_options(options.clone());
        let client = client.map_err(|error| server::of_options(&error))?;
        server::hello(&client, &options).await?;
        Ok(Self {
            database: client.database(database),
        })
    }

    /// The collections in the order of their names, without MongoDB's own. A user who may list none sees those that it may
    /// read, without their kinds.
    ///
    /// # Errors
    /// [`StoreError::Unsuitable`] or [`StoreError::Unavailable`].
    pub async fn collections(&self) -> Result<Vec<Listed>, StoreError> {
        let all = doc! { "listCollections": 1 };
        let own = doc! { "listCollections": 1, "nameOnly": true, "authorizedCollections": true };
        let described = match self.list(all).await {
            Err(error) if code(&error) == Some(UNAUTHORIZED) => self.list(own).await,
            described => described,
        };
        let described = described.map_err(|error| {
            let reason = loggable(&error);
            match code(&error) {
                Some(UNAUTHORIZED) => StoreError::Unsuitable(format!(
                    "the user may not list the collections of the database {}: {reason}; give it the role `read` on the database",
                    self.database.name()
                )),
                _ => StoreError::Unavailable(reason),
            }
        })?;
        let named = described.iter().filter_map(|described| {
            let name = described.get_str("name").ok()?;
            let unsyncable = unsyncable(described).map(str::to_owned);
            (!name.starts_with("system.")).then(|| Listed {
                name: name.to_owned(),
                unsyncable,
            })
        });
        let mut named: Vec<Listed> = named.collect();
        named.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(named)
    }

    async fn list(&self, command: Document) -> Result<Vec<Document>, Error> {
        let cursor = self.database.run_cursor_command(command).await?;
        cursor.try_collect().await
    }

    /// About how many documents the collection has, by its metadata.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn total(&self, name: &str) -> Result<u64, Unread> {
        let collection = self.collection(name);
        let count = collection.estimated_document_count();
        let count = count.max_time(COMMAND_MAX).await;
        count.map_err(|error| unread(&error))
    }

    /// Hands over up to `size` documents: all of a collection that has no more, otherwise some at random. Returns why it
    /// stopped before.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn sample(
        &self,
        name: &str,
        total: u64,
        size: u32,
        mut each: impl FnMut(&RawDocument),
    ) -> Result<Option<String>, Unread> {
        let deadline = Instant::now() + COLLECTION_MAX;
        let reading = async {
            let cursor = match total <= size.into() {
                true => self.first(name, size).await?,
                false => match self.at_random(name, size).await {
                    Err(error) if code(&error) != Some(UNAUTHORIZED) => {
                        self.first(name, size).await?
                    }
                    cursor => cursor?,
                },
            };
            read(cursor, &mut each).await
        };
        match timeout_at(deadline, reading).await {
            Ok(Ok(is_whole)) if is_whole => Ok(None),
            Ok(Ok(_)) => Ok(Some(format!(
                "The reading stopped after {} MiB.",
                BYTES_MAX >> 20
            ))),
            Ok(Err(error)) => Err(unread(&error)),
            Err(_) => Ok(Some(format!(
                "The reading stopped after {} s.",
                COLLECTION_MAX.as_secs()
            ))),
        }
    }

    /// Not sorted: MongoDB reads them one after the other and stops.
    async fn first(&self, name: &str, size: u32) -> Result<Cursor<RawDocumentBuf>, Error> {
        let collection = self.collection(name);
        let find = collection.find(doc! {}).limit(size.into());
        find.max_time(COLLECTION_MAX).await
    }

    /// MongoDB takes them from a random cursor if they are fewer than a twentieth of the collection. If not, it reads the
    /// collection and sorts, which may need too much memory.
    async fn at_random(&self, name: &str, size: u32) -> Result<Cursor<RawDocumentBuf>, Error> {
        let pipeline = [doc! { "$sample": { "size": size } }];
        let collection = self.collection(name);
        let aggregate = collection.aggregate(pipeline);
        let aggregate = aggregate.allow_disk_use(false).max_time(COMMAND_MAX);
        aggregate.with_type().await
    }

    /// Those of the ids that documents have.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn existing(
        &self,
        name: &str,
        ids: Vec<Bson>,
    ) -> Result<Vec<RawDocumentBuf>, Unread> {
        let collection = self.collection(name);
        let find = collection.find(doc! { "_id": { "$in": ids } });
        let find = find.projection(doc! { "_id": 1 }).max_time(COMMAND_MAX);
        let found = async { find.await?.try_collect().await };
        found.await.map_err(|error| unread(&error))
    }

    fn collection(&self, name: &str) -> Collection<RawDocumentBuf> {
        self.database.collection(name)
    }
}

/// Whether all were read.
async fn read(
    mut cursor: Cursor<RawDocumentBuf>,
    each: &mut impl FnMut(&RawDocument),
) -> Result<bool, Error> {
    let mut bytes = 0;
    while let Some(document) = cursor.next().await {
        let document = document?;
        bytes += document.as_bytes().len();
        each(&document);
        if bytes > BYTES_MAX {
            return Ok(false);
        }
    }
    Ok(true)
}

fn unread(error: &Error) -> Unread {
    Unread(match code(error) {
        Some(UNAUTHORIZED) => "cannot be read: the user lacks the action `find` on it".to_owned(),
        _ => format!("cannot be read: {}", loggable(error)),
    })
}

fn code(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}
