//! The conversion of a store of format 2, in its own collections. Gateways of that format fail from its first step on,
//! and write nothing that is read later.
//!
//! Each step is one transaction, and the document of the format says which is next. So several gateways may convert at
//! once, and each of them may be killed. [`crate::store::conversion`] says what becomes of a record.

use mongodb::{
    ClientSession,
    bson::{Document, RawDocument, RawDocumentBuf, doc, raw::cstr, rawdoc},
    options::FindOptions,
};
use tidegate_core::{generation::ModelRecord, id::Epoch};
use tokio::time::{Duration, Instant, sleep};

use super::{
    MongoContext,
    error::{MongoError, RetryAction},
    format::{FORMAT_BEFORE, FORMAT_VERSION, STEP, format_of},
    models::add_models,
    names::{FORMAT, IMPORT, format_2, records_of},
    reader::{SessionReader, corrupt, text, unreadable},
    state::gone,
    write::{StatementKind, WritePlan},
};
use crate::store::{
    StoreError,
    conversion::{Converted, Progress, StoredNames, announced},
    finding::Finding,
};

/// How many records, and about how many bytes, one transaction passes.
const RECORDS_MAX: i64 = 500;
const BYTES_MAX: usize = 4 << 20;

/// By default MongoDB ends every transaction within a minute, and looks for them each half a minute. So long may a
/// gateway that was killed hold the document of the format.
const TRANSACTIONS_END: Duration = Duration::from_secs(90);

/// What is done next. After the first step, gateways of format 2 begin nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Gateways of format 2 end what they have begun.
    Drain,
    /// The records of the feed after this key are written again.
    Feed(String),
    /// The same of conflicts.
    Conflicts(String),
}

/// What the document of the format says.
struct Conversion {
    epoch: Epoch,
    /// `None` once the store is converted.
    step: Option<Step>,
    converted: Converted,
}

impl MongoContext {
    /// Converts the store, or goes on where a conversion has stopped.
    pub(super) async fn convert(&self, progress: &Progress) -> Result<(), StoreError> {
        let names = self.names_in_feed().await?;
        let database = self.database.name();
        tracing::info!(
            "converting the store in the database {database} from format {FORMAT_BEFORE} to {FORMAT_VERSION}"
        );
        let mut session = self.in_time(self.client.start_session()).await?;
        let mut is_drained = false;
        loop {
            let Conversion {
                step, converted, ..
            } = self.advance(&mut session, &names, is_drained).await?;
            progress.report(converted);
            match step {
                Some(Step::Drain) => {
                    self.drain().await?;
                    is_drained = true;
                }
                Some(Step::Feed(_) | Step::Conflicts(_)) => {}
                None => break,
            }
        }
        tracing::info!("the store in the database {database} has format {FORMAT_VERSION} now");
        Ok(())
    }

    /// What `check` and `doctor` say of a store that the next start converts.
    pub(super) async fn convertible(&self) -> Result<Finding, StoreError> {
        let place = format!("the store in the database {}", self.database.name());
        let numbers = [FORMAT_BEFORE, FORMAT_VERSION].map(i32::unsigned_abs);
        announced(&place, numbers.into(), self.records_to_convert().await)
    }

    /// How many records a conversion would look at, because fields of their types have other stored names.
    async fn records_to_convert(&self) -> Result<u64, StoreError> {
        let names = self.names_in_feed().await?;
        let mut records = 0;
        for name in names.types() {
            for collection in [&self.names.feed, &self.names.conflicts] {
                let collection = self.database.collection::<Document>(collection);
                let of_type = collection.count_documents(doc! { "t": name.as_str() });
                records += self.in_time(of_type).await?;
            }
        }
        Ok(records)
    }

    /// The stored names of the fields that the records have by their names in the model.
    async fn names_in_feed(&self) -> Result<StoredNames, StoreError> {
        let feed = self.database.collection::<Document>(&self.names.feed);
        if self.in_time(feed.find_one(doc! {})).await?.is_none() {
            return Ok(StoredNames::default());
        }
        let served = self.noted(format_2::SERVED_MODEL).await?;
        let place = format!("the store in the database {}", self.database.name());
        let escaped = self.noted(format_2::ESCAPED).await?.is_some();
        StoredNames::of_served(served.as_deref(), escaped, &place)
    }

    /// Does the next step, and says what follows. One whose outcome is unknown is looked at again.
    async fn advance(
        &self,
        session: &mut ClientSession,
        names: &StoredNames,
        is_drained: bool,
    ) -> Result<Conversion, MongoError> {
        let deadline = Instant::now() + TRANSACTIONS_END;
        let mut attempt = 0;
        loop {
            let failure = match self.step(session, names, is_drained).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            drop(self.in_time(session.abort_transaction()).await);
            if failure.remedy() == RetryAction::GiveUp || Instant::now() >= deadline {
                return Err(failure);
            }
            sleep(self.backoff(attempt)).await;
            attempt += 1;
        }
    }

    async fn step(
        &self,
        session: &mut ClientSession,
        names: &StoredNames,
        is_drained: bool,
    ) -> Result<Conversion, MongoError> {
        self.begin(session).await?;
        let mut reader = SessionReader {
            context: self,
            session,
        };
        let mut plan = WritePlan::new(self);
        let format = reader.single(FORMAT).await?.ok_or_else(gone)?;
        let mut conversion = match format.get_i32("v") {
            Ok(FORMAT_BEFORE) => reader.fence(&mut plan, names).await?,
            Ok(FORMAT_VERSION) => Conversion::of(&format)?,
            found => {
                let found = found.unwrap_or_default();
                return Err(self.other_format(&self.names.state, found));
            }
        };
        match conversion.step.clone() {
            Some(Step::Drain) if is_drained => {
                conversion.step = Some(Step::Feed(String::new()));
            }
            Some(Step::Feed(after)) => {
                let passed = reader.feed(&mut plan, names, &after).await?;
                conversion.pass(passed, Step::Feed, Some(Step::Conflicts(String::new())));
            }
            Some(Step::Conflicts(after)) => {
                let passed = reader.waiting_conflicts(&mut plan, names, &after).await?;
                conversion.pass(passed, Step::Conflicts, None);
            }
            Some(Step::Drain) | None => {}
        }
        plan.put_state(FORMAT, conversion.encode(), true);
        plan.send(session).await?;
        self.end(session).await?;
        Ok(conversion)
    }

    /// Requests of gateways of format 2 end by themselves. What a gateway that hangs has begun is ended for it.
    async fn drain(&self) -> Result<(), StoreError> {
        let requests_end = self.commit_max.mul_f64(1.2);
        tracing::info!(
            "waiting {} s, until requests of gateways of the version before have ended",
            requests_end.as_secs()
        );
        sleep(requests_end).await;
        let listed = self.listed_sessions().await?;
        let sessions = listed.into_iter().map(|id| doc! { "id": id });
        let sessions: Vec<Document> = sessions.collect();
        // Without a list the command would end all sessions of the user.
        if sessions.is_empty() {
            return Ok(());
        }
        let end = self.database.run_command(doc! { "killSessions": sessions });
        if let Err(failure) = self.in_time(end).await {
            tracing::warn!(
                ?failure,
                "sessions of gateways of the version before cannot be ended; waiting until MongoDB ends their transactions"
            );
            sleep(TRANSACTIONS_END).await;
        }
        Ok(())
    }
}

impl SessionReader<'_> {
    /// Puts the epoch where gateways of format 2 do not look for it: from then on none of them reads or commits. What
    /// they write outside commits, as importers, is under keys that are read no more. The document of the epoch stays
    /// without its value, because a gateway that starts would make a missing one.
    async fn fence(
        &mut self,
        plan: &mut WritePlan<'_>,
        names: &StoredNames,
    ) -> Result<Conversion, MongoError> {
        let epoch = self.single(format_2::EPOCH).await?.ok_or_else(gone)?;
        let epoch = Epoch::new(text(&epoch, "epoch")?).map_err(unreadable)?;
        plan.put_state(format_2::EPOCH, rawdoc! { "_id": format_2::EPOCH }, true);
        if let Some(progress) = self.single(format_2::IMPORT).await? {
            let mut moved = rawdoc! { "_id": IMPORT };
            for element in &progress {
                let (name, value) = element?;
                if name.as_str() != "_id" {
                    moved.append(name, value);
                }
            }
            plan.put_state(IMPORT, moved, false);
        }
        for id in [format_2::LEASE, format_2::IMPORT] {
            plan.remove_state(id);
        }
        if let Some(note) = self.single(format_2::SERVED_MODEL).await? {
            let record = ModelRecord::of_served(text(&note, "text")?);
            add_models(plan, &ModelRecord::default(), &record)?;
        }
        Ok(Conversion {
            epoch,
            step: (!names.is_empty()).then_some(Step::Drain),
            converted: Converted::default(),
        })
    }

    /// Writes the next records of the feed again.
    async fn feed(
        &mut self,
        plan: &mut WritePlan<'_>,
        names: &StoredNames,
        after: &str,
    ) -> Result<Passed, MongoError> {
        let feed = &self.context.names.feed;
        for name in names.types() {
            let (start, end) = records_of(name);
            if *after >= *end {
                continue;
            }
            let ids = doc! { "$gt": after.max(&start), "$lt": end };
            let page = self.page(feed, doc! { "_id": ids }).await?;
            if !page.is_empty() {
                return replace(plan, feed, &page, |raw| names.record(raw));
            }
        }
        Ok(Passed::default())
    }

    /// Writes the next conflicts again.
    async fn waiting_conflicts(
        &mut self,
        plan: &mut WritePlan<'_>,
        names: &StoredNames,
        after: &str,
    ) -> Result<Passed, MongoError> {
        let conflicts = &self.context.names.conflicts;
        let page = self
            .page(conflicts, doc! { "_id": { "$gt": after } })
            .await?;
        replace(plan, conflicts, &page, |raw| names.conflict(raw))
    }

    /// The first documents by their ids.
    async fn page(
        &mut self,
        collection: &str,
        filter: Document,
    ) -> Result<Vec<RawDocumentBuf>, MongoError> {
        let options = FindOptions::builder()
            .sort(doc! { "_id": 1 })
            .limit(RECORDS_MAX)
            .build();
        let (mut page, mut bytes) = (Vec::new(), 0);
        let take = |raw: &RawDocument| {
            bytes += raw.as_bytes().len();
            page.push(raw.to_owned());
            Ok(bytes < BYTES_MAX)
        };
        self.find_each(collection, filter, options, take).await?;
        Ok(page)
    }

    /// A document of the state that exists once.
    async fn single(&mut self, id: &str) -> Result<Option<RawDocumentBuf>, MongoError> {
        let found = self.by_ids(&self.context.names.state, [id]).await?;
        Ok(found.into_iter().next())
    }
}

/// What one step has passed.
#[derive(Default)]
struct Passed {
    /// The id of the last record; `None` if there was none.
    last: Option<String>,
    converted: Converted,
}

/// Adds the replacements of what has another form now.
fn replace(
    plan: &mut WritePlan<'_>,
    collection: &str,
    page: &[RawDocumentBuf],
    convert: impl Fn(&RawDocument) -> Option<RawDocumentBuf>,
) -> Result<Passed, MongoError> {
    let mut passed = Passed::default();
    for raw in page {
        let id = text(raw, "_id")?;
        passed.last = Some(id.to_owned());
        passed.converted.passed += 1;
        if let Some(record) = convert(raw) {
            passed.converted.rewritten += 1;
            let update = rawdoc! { "q": { "_id": id }, "u": record };
            plan.push(StatementKind::Update, collection, update, None);
        }
    }
    Ok(passed)
}

impl Conversion {
    fn of(format: &RawDocument) -> Result<Self, MongoError> {
        let epoch = Epoch::new(text(format, "epoch")?).map_err(unreadable)?;
        let Some(step) = format.get(STEP)? else {
            let (step, converted) = (None, Converted::default());
            return Ok(Self {
                epoch,
                step,
                converted,
            });
        };
        let step = step
            .as_document()
            .ok_or_else(|| corrupt("the step is no document"))?;
        let after = || Ok::<_, MongoError>(text(step, "after")?.to_owned());
        let count = |name| step.get_i64(name).map_err(unreadable);
        Ok(Self {
            epoch,
            step: Some(match text(step, "at")? {
                DRAIN => Step::Drain,
                FEED => Step::Feed(after()?),
                CONFLICTS => Step::Conflicts(after()?),
                _ => return Err(corrupt("the step is of another version")),
            }),
            converted: Converted {
                passed: count("passed")?.unsigned_abs(),
                rewritten: count("rewritten")?.unsigned_abs(),
            },
        })
    }

    fn encode(&self) -> RawDocumentBuf {
        let mut format = format_of(&self.epoch);
        let Some(step) = &self.step else {
            return format;
        };
        let (at, after) = match step {
            Step::Drain => (DRAIN, ""),
            Step::Feed(after) => (FEED, after.as_str()),
            Step::Conflicts(after) => (CONFLICTS, after.as_str()),
        };
        let Converted { passed, rewritten } = self.converted;
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        let step = rawdoc! { "at": at, "after": after, "passed": count(passed), "rewritten": count(rewritten) };
        format.append(cstr!("step"), step);
        format
    }

    /// Goes on after the last record, or with what follows if there was none.
    fn pass(&mut self, passed: Passed, after: fn(String) -> Step, then: Option<Step>) {
        self.converted.passed += passed.converted.passed;
        self.converted.rewritten += passed.converted.rewritten;
        self.step = passed.last.map(after).or(then);
    }
}

const DRAIN: &str = "drain";
const FEED: &str = "feed";
const CONFLICTS: &str = "conflicts";
