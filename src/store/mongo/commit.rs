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
use tokio::time::{Instant, sleep, timeout_at};

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

/// Carries out a commit in `lane`.
pub(super) async fn commit(
    base: &Base,
    lane: Lane,
    reads: &Reads,
    decide: Arc<Decide>,
) -> Result<Writes, StoreError> {
    let commit = Commit {
        base,
        lane,
        reads,
        decide,
        session: None,
        conflicts: 0,
        unsettled: Vec::new(),
    };
    commit.run().await
}

struct Commit<'c> {
    base: &'c Base,
    lane: Lane,
    reads: &'c Reads,
    decide: Arc<Decide>,
    /// `None` before the first attempt and during each.
    session: Option<ClientSession>,
    /// How often it met another transaction.
    conflicts: u32,
    /// The group numbers of attempts of which it is not known whether they were committed, and what they would have
    /// written. At most one of them was: each wrote over the number it had read.
    unsettled: Vec<(i64, Writes)>,
}

impl Commit<'_> {
    /// Attempts it until one succeeds, fails for good, or the time is over.
    async fn run(mut self) -> Result<Writes, StoreError> {
        let deadline = Instant::now() + self.base.commit_max;
        let mut failed = Failure::Late;
        for attempt in 0.. {
            match timeout_at(deadline, self.attempt()).await {
                Err(_) => break,
                Ok(Ok(writes)) => return Ok(writes),
                Ok(Err(failure)) => match failure.remedy() {
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
    async fn attempt(&mut self) -> Result<Writes, Failure> {
        let base = self.base;
        let mut session = match self.session.take() {
            Some(session) => session,
            None => base.in_time(base.client.start_session()).await?,
        };
        let done = self.transaction(&mut session).await;
        self.session = Some(session);
        done
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
            plan.add(session, &writes, known, self.reads).await?;
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
