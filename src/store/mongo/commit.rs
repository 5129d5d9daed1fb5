//! One commit: a transaction that reads, decides and writes, repeated until it is known what became of it.
//!
//! What is written, and in which batches, is told in [`super::write`].

use std::{collections::HashMap, sync::Arc};

use mongodb::{
    ClientSession,
    options::{ReadConcern, TransactionOptions},
};
use tidegate_core::{
    change::{Rejection, RejectionCode},
    id::DocumentKey,
    transaction::{Loaded, Reads, Refusal, Writes},
};
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use super::{
    Base,
    failure::{Failure, Remedy, StatementError},
    foreign::foreign,
    lane::Lane,
    opening::{durable, primary},
    reader::Reader,
    write::{Known, Plan},
};
use crate::store::{
    Decide, StoreError,
    decision::{changes_nothing, run_decision},
};

/// MongoDB's `transactionLifetimeLimitSeconds`, as it comes.
const TRANSACTION_MAX: Duration = Duration::from_secs(60);

/// So often documents change their order for the sake of a unique index. A value that passes through a longer chain of
/// documents in one transaction is refused.
const DEFERRALS_MAX: usize = 32;

/// Carries out a commit in `lane`.
pub(super) async fn commit(
    base: &Arc<Base>,
    lane: Lane,
    reads: &Reads,
    decide: Arc<Decide>,
) -> Result<Writes, StoreError> {
    let commit = Commit {
        base,
        lane,
        reads,
        decide,
        conflicts: 0,
        unsettled: Vec::new(),
        deferred: Vec::new(),
        deferrals: 0,
    };
    let mut session = None;
    let done = commit.run(&mut session).await;
    if let (Err(StoreError::Unavailable(_)), Some(session)) = (&done, session) {
        tokio::spawn(release(Arc::clone(base), session));
    }
    done
}

/// Ends the transaction that a commit which was given up may have left open: the server would keep it, with all that it
/// locks, for a minute. After an unanswered commit only the session's next transaction ends the one before.
async fn release(base: Arc<Base>, mut session: ClientSession) {
    let release = async {
        for attempt in 0.. {
            if ended(&base, &mut session).await.is_ok() {
                return;
            }
            sleep(base.pause(attempt)).await;
        }
    };
    // By then MongoDB has ended it, or it is gone.
    timeout(TRANSACTION_MAX, release).await.unwrap_or_default();
}

async fn ended(base: &Base, session: &mut ClientSession) -> Result<(), Failure> {
    if base.in_time(session.abort_transaction()).await.is_ok() {
        return Ok(());
    }
    let next = session.start_transaction();
    base.in_time(next.with_options(transaction_options(base)))
        .await?;
    let read = Reader { base, session }.meta().await.map(drop);
    drop(base.in_time(session.abort_transaction()).await);
    read
}

struct Commit<'c> {
    base: &'c Base,
    lane: Lane,
    reads: &'c Reads,
    decide: Arc<Decide>,
    /// How often it met another transaction.
    conflicts: u32,
    /// The group numbers of attempts of which it is not known whether they were committed, and what they would have
    /// written. At most one of them was: each wrote over the number it had read.
    unsettled: Vec<(i64, Writes)>,
    /// What a unique index refused to have written so early, in the order in which it is written last.
    deferred: Vec<DocumentKey>,
    deferrals: usize,
}

impl Commit<'_> {
    /// Attempts it until one succeeds, fails for good, or the time is over.
    async fn run(mut self, session: &mut Option<ClientSession>) -> Result<Writes, StoreError> {
        let deadline = Instant::now() + self.base.commit_max;
        let mut failed = Failure::Late;
        for attempt in 0.. {
            match timeout_at(deadline, self.attempt(session)).await {
                Err(_) => break,
                Ok(Ok(writes)) => return Ok(writes),
                Ok(Err(failure)) => match failure.remedy() {
                    Remedy::GiveUp if self.defers(&failure) => failed = failure,
                    Remedy::GiveUp => return Err(self.final_error(failure)),
                    Remedy::RepeatAfterConflict => {
                        self.conflicts += 1;
                        failed = failure;
                    }
                    Remedy::Repeat => failed = failure,
                },
            }
            tracing::debug!(?failed, attempt, "a transaction is repeated");
            let pause = self.base.pause(attempt);
            if timeout_at(deadline, sleep(pause)).await.is_err() {
                break;
            }
        }
        Err(self.late_error(failed))
    }

    /// One transaction. All attempts share a session: beginning the next transaction ends the one before, which the
    /// server would otherwise keep open, with all that it locks, for a minute.
    async fn attempt(&mut self, session: &mut Option<ClientSession>) -> Result<Writes, Failure> {
        let base = self.base;
        let session = match session {
            Some(session) => session,
            None => session.insert(base.in_time(base.client.start_session()).await?),
        };
        self.transaction(session).await
    }

    async fn transaction(&mut self, session: &mut ClientSession) -> Result<Writes, Failure> {
        let base = self.base;
        let number = self.lane.next_number();
        let options = transaction_options(base);
        base.in_time(session.start_transaction().with_options(options))
            .await?;
        let done = match self.transact(session, number).await {
            Ok(done) => done,
            Err(failure) => {
                // The failure is what tells; where the abort fails too, the next transaction ends this one.
                drop(base.in_time(session.abort_transaction()).await);
                return Err(failure);
            }
        };
        let writes = done.writes.clone();
        if done.numbered {
            // From here on it may be committed without anybody learning of it, also when this future is dropped.
            self.unsettled.push((number, done.writes));
        }
        let committed = base.in_time(session.commit_transaction()).await;
        let failure = match committed.map_err(Failure::of_commit) {
            Ok(()) => return Ok(writes),
            Err(failure) => failure,
        };
        if done.numbered && !matches!(failure, Failure::Unknown(_)) {
            self.unsettled.pop();
        }
        Err(failure)
    }

    /// Reads, decides and writes. An attempt that may have been committed before is settled here: by the number it
    /// would have left, read in a transaction that writes it, so that the two cannot both be committed.
    async fn transact(
        &mut self,
        session: &mut ClientSession,
        number: i64,
    ) -> Result<Done, Failure> {
        let base = self.base;
        let settling = !self.unsettled.is_empty();
        if let Some(writes) = self.settled(session).await? {
            let plan = Plan::new(base);
            plan.with_group(self.lane.id(), number)
                .send(session)
                .await?;
            return Ok(Done {
                writes,
                numbered: true,
            });
        }
        let (loaded, mut known) = self.load(session).await?;
        let (writes, loaded) = self.decided(loaded).await?;
        let nothing = changes_nothing(&writes);
        if nothing && !settling {
            return Ok(Done {
                writes,
                numbered: false,
            });
        }
        let mut plan = Plan::new(base).with_group(self.lane.id(), number);
        if !nothing {
            known.entries = loaded.entries;
            plan.add(session, &writes, known, self.reads, &self.deferred)
                .await?;
        }
        plan.send(session).await?;
        Ok(Done {
            writes,
            numbered: true,
        })
    }

    /// What an earlier attempt wrote, if it was committed.
    async fn settled(&self, session: &mut ClientSession) -> Result<Option<Writes>, Failure> {
        if self.unsettled.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader {
            base: self.base,
            session,
        };
        let stands = reader.group_number(self.lane.id()).await?;
        let mut unsettled = self.unsettled.iter();
        let committed = unsettled.find(|(number, _)| Some(*number) == stands);
        Ok(committed.map(|(_, writes)| writes.clone()))
    }

    async fn load(&self, session: &mut ClientSession) -> Result<(Loaded, Known), Failure> {
        let (base, reads) = (self.base, self.reads);
        let mut reader = Reader { base, session };
        let meta = reader.meta().await?;
        let entries = reader.entries(&reads.keys).await?;
        let documents = reader.documents(&reads.keys).await?;
        let loaded = Loaded {
            epoch: meta.epoch,
            version_floor: meta.version_floor,
            clients: reader.clients(&reads.clients).await?,
            memberships: reader.memberships(&reads.members).await?,
            foreign: foreign(&base.layout, &reads.keys, &entries, &documents),
            expired: match reads.expired {
                Some(expired) => reader.expired(expired).await?,
                None => Vec::new(),
            },
            inbox: reader.records(&reads.inbox).await?,
            disputed: reader.disputed(&reads.disputed).await?,
            forgettable: match reads.expired {
                Some(expired) => reader.forgettable(expired).await?,
                None => Vec::new(),
            },
            conflicts: self.conflicts,
            entries,
        };
        let known = Known {
            entries: HashMap::new(),
            documents,
        };
        Ok((loaded, known))
    }

    /// Decides off the async threads: the decision about a thousand changes takes its time.
    async fn decided(&self, loaded: Loaded) -> Result<(Writes, Loaded), Failure> {
        let decide = Arc::clone(&self.decide);
        let decided = tokio::task::spawn_blocking(move || {
            let writes = run_decision(&*decide, &loaded);
            (writes, loaded)
        });
        let (writes, loaded) = decided
            .await
            .map_err(|ended| StoreError::Unavailable(ended.to_string()))?;
        Ok((writes?, loaded))
    }

    /// Whether to write a document that a unique index refuses after others, which may give up its value: before all that
    /// were deferred so far, or after them where that was tried.
    fn defers(&mut self, failure: &Failure) -> bool {
        let Some((key, _)) = failure.refused().filter(|(_, error)| error.is_too_early()) else {
            return false;
        };
        let place = self.deferred.iter().position(|deferred| deferred == key);
        let is_last = place.is_some_and(|place| place + 1 == self.deferred.len());
        if is_last || self.deferrals == DEFERRALS_MAX {
            return false;
        }
        self.deferrals += 1;
        match place {
            None => self.deferred.insert(0, key.clone()),
            Some(place) => self.deferred[place..].rotate_left(1),
        }
        true
    }

    /// What a failure for good amounts to. An attempt before it that is not settled makes it unknown.
    fn final_error(&self, failure: Failure) -> StoreError {
        if !self.unsettled.is_empty() {
            return self.late_error(failure);
        }
        match failure.refused() {
            Some((key, error)) => StoreError::Refused(Box::new(self.refusal(key, error))),
            None => failure.into(),
        }
    }

    fn late_error(&self, failure: Failure) -> StoreError {
        let reason = StoreError::from(failure);
        match self.unsettled.is_empty() {
            true => StoreError::Unavailable(format!("{reason}; nothing was written")),
            false => {
                StoreError::Unavailable(format!("{reason}; whether it was written is not known"))
            }
        }
    }

    /// A refusal in the words of the model. The other document, which an index would name, stays unnamed.
    fn refusal(&self, key: &DocumentKey, error: &StatementError) -> Refusal {
        let layout = self.base.layout.document_type(&key.type_name);
        let fields = error.fields.iter().filter_map(|stored| {
            let mut fields = layout?.fields.iter();
            let field = fields.find(|field| field.stored_as.as_str() == stored)?;
            Some(field.name.clone())
        });
        let fields: Vec<String> = fields.collect();
        let message = if error.is_unique() {
            "another document already has this value, which has to be unique".to_owned()
        } else if error.is_validation() {
            "the collection's validator refuses the document".to_owned()
        } else {
            format!("the database refuses the document (code {})", error.code)
        };
        Refusal {
            key: key.clone(),
            rejection: Rejection {
                code: RejectionCode::InvalidValue,
                message,
                field: fields.first().cloned(),
            },
            fields,
        }
    }
}

/// A transaction that waits for its commit.
struct Done {
    writes: Writes,
    /// Whether it writes its group number.
    numbered: bool,
}

/// The defaults of sessions, databases and collections do not reach a transaction: all of it is said here.
fn transaction_options(base: &Base) -> TransactionOptions {
    TransactionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .write_concern(durable())
        .selection_criteria(primary())
        .max_commit_time(base.call_max)
        .build()
}
