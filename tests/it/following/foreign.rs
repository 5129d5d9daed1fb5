//! Another service: random writes by MongoDB's driver, past the gateways. The operations and what they write follow
//! from a seed; `documents` draws the values.

use std::{sync::Arc, time::Duration};

use mongodb::{
    ClientSession, Collection, Database,
    bson::{Bson, Document, doc, oid::ObjectId},
    error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, WriteFailure},
};
use tidegate_testkit::Random;
use tokio::{sync::RwLock, time::sleep};

use super::{
    documents::{self, COUNTER, MEMBERSHIP, TEAMS},
    kinds::Kind,
};

/// An unmodelled field: the number of the last foreign write to the document.
pub(super) const BY: &str = "written_by";

/// How long all operations of a run take at least.
const COURSE: Duration = Duration::from_secs(40);

/// How often a transaction is tried.
const ATTEMPTS: usize = 50;

/// How many documents of each type there are ids for.
const POOL: usize = 40;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Insert,
    InsertMany,
    Set,
    Increment,
    Push,
    Pipeline,
    Replace,
    FindAndReplace,
    Delete,
    UpdateMany,
    DeleteMany,
    Merge,
    Transaction,
    Move,
    Rename,
    Unset,
    Misfit,
    Mend,
    Flash,
    Again,
    OddId,
    Embedded,
    Membership,
    Count,
}

/// How often each operation comes, of the sum.
const WEIGHTS: [(Operation, usize); 24] = [
    (Operation::Insert, 8),
    (Operation::InsertMany, 3),
    (Operation::Set, 10),
    (Operation::Increment, 4),
    (Operation::Push, 3),
    (Operation::Pipeline, 4),
    (Operation::Replace, 8),
    (Operation::FindAndReplace, 2),
    (Operation::Delete, 5),
    (Operation::UpdateMany, 3),
    (Operation::DeleteMany, 1),
    (Operation::Merge, 2),
    (Operation::Transaction, 8),
    (Operation::Move, 6),
    (Operation::Rename, 3),
    (Operation::Unset, 3),
    (Operation::Misfit, 5),
    (Operation::Mend, 5),
    (Operation::Flash, 4),
    (Operation::Again, 3),
    (Operation::OddId, 5),
    (Operation::Embedded, 3),
    (Operation::Membership, 3),
    (Operation::Count, 6),
];

pub(super) struct Foreign {
    database: Database,
    /// Where the tasks are now. A rename of their collection holds this lock.
    tasks: Arc<RwLock<String>>,
    random: Random,
    pause: Duration,
    number: i32,
    /// How many operations wrote something.
    pub(super) effective: usize,
    /// How often it raised the counter.
    pub(super) counted: i64,
}

/// One write that may be part of a transaction.
enum Write {
    Insert(Document),
    Replace(Bson, Document),
    Update(Bson, Document),
    Delete(Bson),
}

impl Foreign {
    pub(super) fn new(database: &Database, seed: u64, operations: usize) -> Self {
        Self {
            database: database.clone(),
            tasks: Arc::new(RwLock::new(Kind::Task.collection().to_owned())),
            random: Random::new(seed),
            pause: COURSE / u32::try_from(operations).unwrap(),
            number: 0,
            effective: 0,
            counted: 0,
        }
    }

    /// Where it finds the tasks.
    pub(super) fn tasks(&self) -> Arc<RwLock<String>> {
        Arc::clone(&self.tasks)
    }

    /// Carries out this many operations.
    pub(super) async fn work(&mut self, operations: usize) {
        for _ in 0..operations {
            self.number += 1;
            let operation = self.operation();
            match self.carry_out(operation).await {
                Ok(written) => self.effective += usize::from(written > 0),
                Err(error) => assert!(is_refusal(&error), "{operation:?}: {error}"),
            }
            // Now and then several come at once.
            if !self.random.once_in(4) {
                sleep(self.pause).await;
            }
        }
    }

    fn operation(&mut self) -> Operation {
        let all: usize = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.random.below(all);
        let mut weights = WEIGHTS.into_iter();
        let (operation, _) = weights
            .find(|(_, weight)| {
                let is_it = drawn < *weight;
                drawn = drawn.wrapping_sub(*weight);
                is_it
            })
            .unwrap();
        operation
    }

    /// Carries out an operation. Returns how many documents it wrote.
    async fn carry_out(&mut self, operation: Operation) -> Result<u64, Error> {
        let tasks = Arc::clone(&self.tasks).read_owned().await;
        let kind = self.random.one_of(&[Kind::Task, Kind::Task, Kind::Machine]);
        let tasks: Collection<Document> = self.database.collection(&tasks);
        let on = match kind {
            Kind::Task => tasks.clone(),
            _ => self.collection(kind),
        };
        let id = self.id(kind);
        let by = self.number;
        match operation {
            Operation::Insert => {
                let document = self.document(kind, id);
                Write::Insert(document).alone(&on).await
            }
            Operation::InsertMany => {
                let many: Vec<Document> = self.several(kind, |own, id| own.document(kind, id));
                let inserted = on.insert_many(many).ordered(false).await?;
                Ok(inserted.inserted_ids.len() as u64)
            }
            Operation::Set => {
                let set = self.set(kind);
                Write::Update(id, doc! {"$set": set}).alone(&on).await
            }
            Operation::Increment => {
                let update = doc! {"$inc": {number_of(kind): 1}, "$set": {BY: by}};
                Write::Update(id, update).alone(&on).await
            }
            Operation::Push => {
                let label = documents::label(&mut self.random);
                let update = match self.random.below(3) {
                    0 => doc! {"$push": {"labels": label}},
                    1 => doc! {"$addToSet": {"labels": label}},
                    _ => doc! {"$pull": {"labels": label}},
                };
                let update = with(update, doc! {"$set": {BY: by}});
                let id = self.id(Kind::Task);
                Write::Update(id, update).alone(&tasks).await
            }
            Operation::Pipeline => {
                let title = doc! {"$concat": [{"$substrCP": [name_of(kind, true), 0, 20]}, "!"]};
                let stages = vec![
                    doc! {"$set": {name_of(kind, false): title, "copy": "$$ROOT.audience"}},
                    doc! {"$set": {BY: by}},
                ];
                let updated = on.update_one(doc! {"_id": id}, stages).await?;
                Ok(updated.modified_count)
            }
            Operation::Replace => {
                let document = self.document(kind, id.clone());
                let upserts = self.random.once_in(2);
                let replaced = on.replace_one(doc! {"_id": &id}, document).upsert(upserts);
                let replaced = replaced.await?;
                Ok(replaced.modified_count + u64::from(replaced.upserted_id.is_some()))
            }
            Operation::FindAndReplace => {
                let document = self.document(kind, id.clone());
                let found = match self.random.below(3) {
                    0 => on.find_one_and_delete(doc! {"_id": id}).await?,
                    1 => on.find_one_and_replace(doc! {"_id": id}, document).await?,
                    _ => {
                        let set = doc! {"$set": self.set(kind)};
                        on.find_one_and_update(doc! {"_id": id}, set).await?
                    }
                };
                Ok(u64::from(found.is_some()))
            }
            Operation::Delete => Write::Delete(id).alone(&on).await,
            Operation::UpdateMany => {
                let ids: Vec<Bson> = self.several(kind, |_, id| id);
                let set = doc! {"$set": self.set(kind)};
                let updated = on.update_many(doc! {"_id": {"$in": ids}}, set).await?;
                Ok(updated.modified_count)
            }
            Operation::DeleteMany => {
                let ids: Vec<Bson> = self.several(kind, |_, id| id);
                let deleted = on.delete_many(doc! {"_id": {"$in": ids}}).await?;
                Ok(deleted.deleted_count)
            }
            Operation::Merge => {
                let ids: Vec<Bson> = self.several(kind, |_, id| id);
                let set = self.set(kind);
                let set = doc! {"$set": literal(set)};
                let into = doc! {"$merge": {"into": on.name(), "whenNotMatched": "discard"}};
                let stages = [doc! {"$match": {"_id": {"$in": ids}}}, set, into];
                on.aggregate(stages).await?;
                Ok(1)
            }
            Operation::Transaction => self.transaction(&tasks).await,
            Operation::Move => {
                let team = documents::team(&mut self.random);
                let update = doc! {"$set": {"audience": team, BY: by}};
                Write::Update(id, update).alone(&on).await
            }
            Operation::Rename => {
                let names = [("notes", "remark"), ("remark", "notes"), ("title", "notes")];
                let (from, to) = self.random.one_of(&names);
                let update = doc! {"$rename": {from: to}, "$set": {BY: by}};
                let id = self.id(Kind::Task);
                Write::Update(id, update).alone(&tasks).await
            }
            Operation::Unset => {
                let fields = [
                    "notes",
                    "done",
                    "minutes",
                    "address",
                    "address.city",
                    "title",
                ];
                let field = self.random.one_of(&fields);
                let update = doc! {"$unset": {field: 1}, "$set": {BY: by}};
                let id = self.id(Kind::Task);
                Write::Update(id, update).alone(&tasks).await
            }
            Operation::Misfit => {
                let set = with(documents::misfit(kind, &mut self.random), doc! {BY: by});
                Write::Update(id, doc! {"$set": set}).alone(&on).await
            }
            Operation::Mend => self.mend(kind, &on).await,
            Operation::Flash => {
                let id = documents::id(kind, 100_000 + usize::try_from(by).unwrap());
                let document = self.document(kind, id.clone());
                Write::Insert(document).alone(&on).await?;
                Write::Delete(id).alone(&on).await
            }
            Operation::Again => {
                let document = self.document(kind, id.clone());
                let deleted = Write::Delete(id).alone(&on).await?;
                Write::Insert(document).alone(&on).await?;
                Ok(deleted)
            }
            Operation::OddId => {
                let id = documents::odd_id(kind, &mut self.random);
                let document = self.document(kind, id.clone());
                let set = doc! {"$set": self.set(kind)};
                let write = match self.random.below(4) {
                    0 => Write::Delete(id),
                    1 => Write::Update(id, set),
                    _ => Write::Insert(document),
                };
                write.alone(&on).await
            }
            Operation::Embedded => {
                let set = with(documents::inside(&mut self.random), doc! {BY: by});
                let id = self.id(Kind::Task);
                Write::Update(id, doc! {"$set": set}).alone(&tasks).await
            }
            Operation::Membership => self.membership().await,
            Operation::Count => {
                let update = doc! {"$inc": {"hours": 1}, "$set": {BY: by}};
                let machines = self.collection(Kind::Machine);
                let id = documents::id(Kind::Machine, COUNTER);
                let written = Write::Update(id, update).alone(&machines).await?;
                assert_eq!(written, 1, "nobody removes the counter");
                self.counted += 1;
                Ok(written)
            }
        }
    }

    /// Replaces one of the documents that do not fit by one that does.
    async fn mend(&mut self, kind: Kind, on: &Collection<Document>) -> Result<u64, Error> {
        for number in 0..POOL {
            let id = documents::id(kind, number);
            let stored = on.find_one(doc! {"_id": &id}).await?;
            if stored.is_some_and(|stored| kind.fit(&stored).is_none()) {
                let document = self.document(kind, id.clone());
                return Write::Replace(id, document).alone(on).await;
            }
        }
        Ok(0)
    }

    /// Gives dave the team red, or takes it from him.
    async fn membership(&mut self) -> Result<u64, Error> {
        let on = self.collection(Kind::Member);
        let (id, by) = (Bson::from(MEMBERSHIP), self.number);
        let member = doc! {
            "_id": MEMBERSHIP, "team": TEAMS[0], "person": "dave", "role": "WRITE", BY: by, "since": by,
        };
        let set = match self.random.below(5) {
            0 => return Write::Delete(id).alone(&on).await,
            1 => doc! {"role": "READ"},
            2 => doc! {"role": "OWNER"},
            3 => doc! {"person": "someone else"},
            _ => doc! {},
        };
        let member = with(member, set);
        let replaced = on
            .replace_one(doc! {"_id": id}, member)
            .upsert(true)
            .await?;
        Ok(replaced.modified_count + u64::from(replaced.upserted_id.is_some()))
    }

    /// Several writes in one transaction, which sometimes aborts.
    async fn transaction(&mut self, tasks: &Collection<Document>) -> Result<u64, Error> {
        let machines = self.collection(Kind::Machine);
        let writes: Vec<(Kind, Write)> = (0..2 + self.random.below(3))
            .map(|_| {
                let kind = self.random.one_of(&[Kind::Task, Kind::Machine]);
                let id = self.id(kind);
                let write = match self.random.below(4) {
                    0 => Write::Insert(self.document(kind, id)),
                    1 => Write::Replace(id.clone(), self.document(kind, id)),
                    2 => Write::Delete(id),
                    _ => Write::Update(id, doc! {"$set": self.set(kind)}),
                };
                (kind, write)
            })
            .collect();
        let aborts = self.random.once_in(6);
        let mut session = self.database.client().start_session().await?;
        for _ in 0..ATTEMPTS {
            let written = async {
                session.start_transaction().await?;
                let mut written = 0;
                for (kind, write) in &writes {
                    let on = if *kind == Kind::Task {
                        tasks
                    } else {
                        &machines
                    };
                    written += write.within(on, &mut session).await?;
                }
                Ok::<_, Error>(written)
            };
            match written.await {
                Ok(_) if aborts => {
                    session.abort_transaction().await?;
                    return Ok(0);
                }
                Ok(written) => match session.commit_transaction().await {
                    Ok(()) => return Ok(written),
                    Err(error) => assert!(is_transient(&error), "{error}"),
                },
                Err(error) => {
                    session.abort_transaction().await.ok();
                    if !is_transient(&error) {
                        return Err(error);
                    }
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(0)
    }

    fn collection(&self, kind: Kind) -> Collection<Document> {
        self.database.collection(kind.collection())
    }

    fn id(&mut self, kind: Kind) -> Bson {
        documents::id(kind, self.random.below(POOL))
    }

    fn several<T>(&mut self, kind: Kind, make: impl Fn(&mut Self, Bson) -> T) -> Vec<T> {
        let (first, count) = (self.random.below(POOL), 2 + self.random.below(6));
        let ids = (first..first + count).map(|number| documents::id(kind, number % POOL));
        let ids: Vec<Bson> = ids.collect();
        ids.into_iter().map(|id| make(self, id)).collect()
    }

    fn document(&mut self, kind: Kind, id: Bson) -> Document {
        self.number += 1;
        let document = documents::document(kind, id, &mut self.random);
        with(document, doc! {BY: self.number})
    }

    fn set(&mut self, kind: Kind) -> Document {
        self.number += 1;
        with(
            documents::fields(kind, &mut self.random),
            doc! {BY: self.number},
        )
    }
}

impl Write {
    async fn alone(&self, on: &Collection<Document>) -> Result<u64, Error> {
        Ok(match self {
            Self::Insert(document) => {
                on.insert_one(document).await?;
                1
            }
            Self::Replace(id, document) => {
                let replaced = on.replace_one(doc! {"_id": id}, document).await?;
                replaced.modified_count
            }
            Self::Update(id, update) => {
                let updated = on.update_one(doc! {"_id": id}, update.clone()).await?;
                updated.modified_count
            }
            Self::Delete(id) => on.delete_one(doc! {"_id": id}).await?.deleted_count,
        })
    }

    async fn within(
        &self,
        on: &Collection<Document>,
        session: &mut ClientSession,
    ) -> Result<u64, Error> {
        Ok(match self {
            Self::Insert(document) => {
                on.insert_one(document).session(session).await?;
                1
            }
            Self::Replace(id, document) => {
                let replaced = on.replace_one(doc! {"_id": id}, document);
                replaced.session(session).await?.modified_count
            }
            Self::Update(id, update) => {
                let updated = on.update_one(doc! {"_id": id}, update.clone());
                updated.session(session).await?.modified_count
            }
            Self::Delete(id) => {
                let deleted = on.delete_one(doc! {"_id": id});
                deleted.session(session).await?.deleted_count
            }
        })
    }
}

fn with(mut document: Document, more: Document) -> Document {
    document.extend(more);
    document
}

/// The same values where expressions are expected.
fn literal(fields: Document) -> Document {
    let literal = fields
        .into_iter()
        .map(|(name, value)| (name, doc! {"$literal": value}.into()));
    literal.collect()
}

fn number_of(kind: Kind) -> &'static str {
    if kind == Kind::Task {
        "minutes"
    } else {
        "hours"
    }
}

/// The field that every document has, as a name or as an expression.
fn name_of(kind: Kind, is_expression: bool) -> &'static str {
    match (kind, is_expression) {
        (Kind::Task, false) => "title",
        (Kind::Task, true) => "$title",
        (_, false) => "name",
        (_, true) => "$name",
    }
}

fn is_transient(error: &Error) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR)
}

/// Whether the document did not allow it: its id is taken, or its values are of other types.
fn is_refusal(error: &Error) -> bool {
    /// `DuplicateKey`, `BadValue`, `TypeMismatch`, `PathNotViable`; `$concat` and `$substrCP` of what is no text.
    const REFUSED: [i32; 7] = [11_000, 2, 14, 28, 16_702, 34_450, 34_451];
    match &*error.kind {
        ErrorKind::Command(error) => REFUSED.contains(&error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => REFUSED.contains(&error.code),
        ErrorKind::InsertMany(error) => {
            let errors = error.write_errors.iter().flatten();
            errors
                .into_iter()
                .all(|error| REFUSED.contains(&error.code))
        }
        _ => false,
    }
}

/// The id of a document of the pool, for the parts of the tests that name one.
pub(super) fn counter_id() -> ObjectId {
    documents::id(Kind::Machine, COUNTER)
        .as_object_id()
        .unwrap()
}
