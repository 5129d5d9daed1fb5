//! Another service that writes to the same collections with a driver of its own. All it writes fits every model, or none;
//! once only the third model leads, also what only that one can read.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mongodb::{
    bson::{Document, doc},
    error::{Error, ErrorKind, WriteFailure},
};
use tidegate_testkit::Random;
use tokio::{sync::watch, time::sleep};

use super::{device::COUNTER, kinds::Kind, stage::Stage};

/// Documents of each type.
const POOL: usize = 25;

const PAUSE: Duration = Duration::from_millis(40);

/// The field of the counter with what this service counted. Gateways do not know it, and leave it alone.
pub(super) const COUNTS: &str = "counts";

pub(super) struct Foreign {
    stage: Arc<Stage>,
    random: Random,
    number: i32,
}

impl Foreign {
    pub(super) fn new(stage: &Arc<Stage>, seed: u64) -> Self {
        Self {
            stage: Arc::clone(stage),
            random: Random::new(seed),
            number: 0,
        }
    }

    /// What is there before the first gateway.
    pub(super) async fn fill(&mut self) {
        let counter =
            doc! {"_id": COUNTER, "team": "red", "title": "counter", "count": 0, COUNTS: []};
        self.stage
            .stored(Kind::Note)
            .insert_one(counter)
            .await
            .unwrap();
        for number in 0..POOL {
            for kind in [Kind::Note, Kind::Task] {
                let document = self.document(kind, number);
                self.stage.stored(kind).insert_one(document).await.unwrap();
            }
        }
    }

    pub(super) async fn write_until(mut self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            self.number += 1;
            while let Err(error) = self.write(self.random.clone()).await {
                if is_refusal(&error) {
                    break;
                }
                // An election. The same write again: each can be repeated.
                sleep(PAUSE * 5).await;
            }
            // The attempts drew from copies.
            self.random = Random::new(self.random.below(usize::MAX >> 1) as u64);
            sleep(PAUSE).await;
        }
    }

    async fn write(&mut self, random: Random) -> Result<(), Error> {
        let kept = std::mem::replace(&mut self.random, random);
        let written = self.write_one().await;
        self.random = kept;
        written
    }

    async fn write_one(&mut self) -> Result<(), Error> {
        let kind = self
            .random
            .one_of(&[Kind::Note, Kind::Note, Kind::Task, Kind::Tag]);
        let place = self.random.below(POOL);
        let key = doc! {"_id": id(place)};
        let on = self.stage.stored(kind);
        match self.random.below(12) {
            0 | 1 => {
                let document = self.document(kind, place);
                on.insert_one(document).await.map(drop)
            }
            2 => {
                let document = self.document(kind, place);
                on.replace_one(key, document).await.map(drop)
            }
            3 | 4 => {
                let fields = self.fields(kind);
                on.update_one(key, doc! {"$set": fields}).await.map(drop)
            }
            5 => on.delete_one(key).await.map(drop),
            6 => {
                let what = if kind == Kind::Tag { "label" } else { "title" };
                let spoil = doc! {"$set": {what: 7}};
                on.update_one(key, spoil).await.map(drop)
            }
            7 => {
                let number = self.number;
                let unset = doc! {"$unset": {"text": 1, "size": 1}, "$set": {"extra": number}};
                on.update_one(key, unset).await.map(drop)
            }
            8 => {
                let user = self.random.one_of(&["alice", "bob", "carol"]);
                let of_device = format!("{user}-{}", 1 + self.random.below(60));
                let text = format!("foreign {}", self.number);
                let set = doc! {"$set": {"text": text, "extra": self.number}};
                on.update_one(doc! {"_id": of_device}, set).await.map(drop)
            }
            9 => self.membership().await,
            _ => {
                let number = self.number;
                let once = doc! {"_id": COUNTER, COUNTS: {"$ne": number}};
                let count = doc! {"$inc": {"count": 1}, "$push": {COUNTS: number}};
                let notes = self.stage.stored(Kind::Note);
                notes.update_one(once, count).await.map(drop)
            }
        }
    }

    /// Gives dave what a membership opens, or takes it from him.
    async fn membership(&mut self) -> Result<(), Error> {
        let members = self.stage.stored(Kind::Member);
        let key = doc! {"_id": "dave"};
        if self.random.once_in(3) {
            return members.delete_one(key).await.map(drop);
        }
        let role = self.random.one_of(&["READ", "WRITE", "OWNER"]);
        let member =
            doc! {"team": "red", "list": "x", "person": "dave", "role": role, "extra": self.number};
        members
            .replace_one(key, member)
            .upsert(true)
            .await
            .map(drop)
    }

    fn document(&mut self, kind: Kind, number: usize) -> Document {
        let mut document = self.fields(kind);
        document.insert("_id", id(number));
        document.insert("extra", self.number);
        document
    }

    fn fields(&mut self, kind: Kind) -> Document {
        let team = self.random.one_of(&["red", "blue"]);
        let list = self.random.one_of(&["x", "y"]);
        let text = format!("foreign {}", self.number);
        match kind {
            Kind::Tag => doc! {"team": team, "label": text},
            Kind::Task => doc! {"team": team, "list": list, "title": &text, "text": &text},
            _ => {
                let grown = self.stage.has_grown.load(Ordering::Relaxed);
                let size = match grown && self.random.once_in(3) {
                    true => 5_000_000_000 + i64::from(self.number),
                    false => i64::from(self.number),
                };
                let states: &[&str] = match grown {
                    true => &["OPEN", "DONE", "PAUSED"],
                    false => &["OPEN", "DONE"],
                };
                let state = self.random.one_of(states);
                doc! {"team": team, "title": text, "size": size, "state": state, "hint": "h"}
            }
        }
    }
}

fn id(number: usize) -> String {
    format!("foreign-{number}")
}

/// The id is taken, or the value has another type: it stays so.
fn is_refusal(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => [11_000, 14].contains(&error.code),
        _ => false,
    }
}
