//! What must be true of every history, in the words of the promises (rules.md, section 7).
//!
//! Pages, answers and clients are checked here. [`ledger`] judges the causes of each applied change, once a history has
//! come to rest.

mod imports;
mod ledger;
mod sight;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    sync::Arc,
};

use tidegate_core::{
    checkpoint::{Checkpoint, Position, Track},
    entry::{Entry, FeedItem, Record},
    id::{DocumentKey, Scope, TypeName, Version},
    push::PushAnswer,
};
use tidegate_testkit::{
    client::{Client, Flight, Held, Place},
    store::State,
};

pub(crate) use self::{
    imports::imports,
    ledger::{Known, Ledger, Sent, took},
    sight::Sight,
};
use crate::{
    people::{self, Edition},
    store::Moment,
};

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// All clients of a scope equal the store in the end, and a first sync gives the same.
    Convergence,
    /// No edit takes effect twice, and none that was acknowledged is missing.
    ExactlyOnce,
    /// No acknowledged change is undone by one that did not know of it, except by the policy.
    NothingLost,
    /// No client conflicts with an edit that it knew of, least of all with its own queue.
    NoFalseConflict,
    /// Counters are exact, sets hold each token once, and documents hold what outcomes reported.
    Exact,
    /// No edit brings a deleted document back.
    NoRevival,
    /// No page or answer shows an ungranted scope, and no write enters one.
    Isolation,
    /// Seqs are unique, gap-free, and in the order of commits.
    Order,
    /// No silent gap: the client knows what its checkpoint has passed.
    NoGap,
    /// A client that begins a scope gets nothing that was removed there before.
    NoPast,
    /// Checkpoints never go back.
    Monotone,
    /// Every sync ends, and every push is settled.
    Ends,
    /// `reset` where continuity is broken, and nowhere else.
    Reset,
    /// A user's own acknowledged writes stay in view, and nothing that a client holds gets older.
    OwnWrites,
    /// When a pull ends, the client holds what its user could see at one moment since the last page was asked for.
    Snapshot,
    /// No edit lands on another document than the one that it was made on.
    Meant,
    /// A store's file holds what was committed, and nothing else.
    Stored,
    /// The gateway with the lease, and no other, stamps what others wrote, as it is and as nobody's. In the end nothing
    /// differs from the feed.
    Stamped,
    /// No document is deleted because its collection may have lost it.
    Kept,
    /// What one user causes stays within its bounds, and takes no room of another user.
    Bounded,
    /// No gateway changes a field that its model does not name.
    Unnamed,
    /// Nothing panics.
    NoPanic,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// How it showed.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.property, self.text)
    }
}

pub(crate) type Judged = Result<(), Violation>;

/// Judges one thing.
pub(crate) fn expect(holds: bool, property: Property, text: impl FnOnce() -> String) -> Judged {
    if holds {
        return Ok(());
    }
    let text = text();
    Err(Violation { property, text })
}

/// Each scope's seqs, over all feed writes between two moments.
pub(crate) fn judge_order(moments: &[Moment]) -> Judged {
    for pair in moments.windows(2) {
        let (before, after) = (&pair[0].state, &pair[1]);
        let mut heads = before.scopes.clone();
        for item in &after.written {
            let state = heads.entry(item.record.scope().clone()).or_default();
            expect(item.seq == state.head.next(), Property::Order, || {
                format!("{item:?} follows {:?}", state.head)
            })?;
            state.head = item.seq;
        }
        let right = heads
            .iter()
            .all(|(scope, state)| after.state.scope(scope).head == state.head);
        expect(right || after.written.is_empty(), Property::Order, || {
            format!("heads are not those of {:?}", after.written)
        })?;
    }
    Ok(())
}

/// A client, and the model of the gateway that it reads from.
pub(crate) struct Reader<'c> {
    pub(crate) client: &'c Client,
    pub(crate) gateway: Edition,
}

impl Reader<'_> {
    /// Whether the gateway shows the document: it can read it, and knows that it is in its scope.
    fn is_shown(&self, entry: &Entry) -> bool {
        let body = entry.body.as_ref();
        body.is_some_and(|body| {
            people::reads(self.gateway, &entry.key.type_name, body)
                && people::is_in_place(self.gateway, entry)
        })
    }
}

/// Whether gateways of both models show the document. One that does not passes over it, and the client comes back to it
/// later.
fn is_shown_by_both(client: &Client, entry: &Entry) -> bool {
    [Edition::A, Edition::B].iter().all(|gateway| {
        Reader {
            client,
            gateway: *gateway,
        }
        .is_shown(entry)
    }) || entry.key.type_name.as_str() == "Gift"
}

/// The client knows what its checkpoint has passed and still exists. It need not know what was removed before it began
/// a scope. Anything else that it holds goes at the end of a pull.
pub(crate) fn judge_no_gap(client: &Client, state: &State) -> Judged {
    let Some(checkpoint) = client.place.as_ref().map(|place| &place.checkpoint) else {
        return Ok(());
    };
    if checkpoint.epoch != state.epoch {
        return Ok(());
    }
    for item in state.feed() {
        let position = position(checkpoint, &item.record);
        if position.is_none_or(|position| position.seq < item.seq) {
            continue;
        }
        if !client.page_types.contain(&item.record.key().type_name) {
            continue;
        }
        let (key, version) = (item.record.key(), item.record.version());
        let held = client.held.get(key);
        // A copy of another scope goes with the marker there.
        let is_elsewhere = |held: &Held| held.scope != *item.record.scope();
        let place = (people::number(&key.type_name), item.record.scope().clone());
        let begun = client.begun.get(&place).copied().unwrap_or_default();
        let spared = item.record.is_collectable() && item.seq <= begun;
        if spared && held.is_some_and(|held| held.is_provisional() || is_elsewhere(held)) {
            continue;
        }
        let knows = match &item.record {
            Record::Entry(entry) if !entry.is_deleted() => {
                held.is_some_and(|held| held.version >= version) || !is_shown_by_both(client, entry)
            }
            Record::Entry(_) => held.is_none_or(|held| held.version > version),
            Record::Marker(marker) => {
                held.is_none_or(|held| held.version > version || held.scope != marker.scope)
            }
        };
        expect(knows, Property::NoGap, || {
            format!("{item:?} was passed, and {held:?} is held")
        })?;
    }
    Ok(())
}

fn position(checkpoint: &Checkpoint, record: &Record) -> Option<Position> {
    let track = track(checkpoint, &record.key().type_name)?;
    track.positions.get(record.scope()).copied()
}

/// A client that begins a scope, with this page or before it, gets nothing that was removed there before.
pub(crate) fn judge_no_past(
    from: Option<&Checkpoint>,
    to: &Checkpoint,
    changes: &[FeedItem],
) -> Judged {
    // What is withheld may be so for this gateway alone. The client comes back to it.
    let is_removal = |item: &&FeedItem| match &item.record {
        Record::Entry(entry) => entry.is_deleted() && !entry.withheld,
        Record::Marker(_) => true,
    };
    for item in changes.iter().filter(is_removal) {
        let begun = from.and_then(|from| position(from, &item.record));
        // A client that has reached the start of a scope has raised it since.
        let begins = |begun: &Position| begun.seq < begun.start;
        let begun = begun.or_else(|| position(to, &item.record).filter(begins));
        expect(
            begun.is_none_or(|begun| item.seq > begun.start),
            Property::NoPast,
            || format!("{item:?} stood there when {begun:?} was begun"),
        )?;
    }
    Ok(())
}

/// After an answer, a user's own write stays in view, unless a newer version is known.
pub(crate) fn judge_own_writes(
    client: &Client,
    flight: &Flight,
    answer: &PushAnswer,
    moments: &[Moment],
) -> Judged {
    let outcomes = answer.iter().flat_map(|answer| &answer.outcomes);
    for outcome in outcomes.filter(|outcome| took(outcome) && !flight.crossed_reset) {
        let Some(entry) = &outcome.document else {
            continue;
        };
        let held = client.held.get(&entry.key);
        let there = held.is_some_and(|held| held.version >= entry.version);
        let gone = |item: &FeedItem| match &item.record {
            Record::Entry(later) => {
                later.key == entry.key && later.is_deleted() && later.version >= entry.version
            }
            Record::Marker(marker) => {
                marker.key == entry.key
                    && marker.scope == entry.scope
                    && marker.version > entry.version
            }
        };
        let excused = flight.revoked.contains(&entry.scope)
            || !client.page_types.contain(&entry.key.type_name)
            || moments.iter().any(|moment| moment.written.iter().any(gone));
        expect(there || excused, Property::OwnWrites, || {
            format!("{outcome:?}, and {held:?} is held")
        })?;
    }
    Ok(())
}

/// What a client held before a page is not older after it, except versions of a new epoch and revoked scopes.
pub(crate) fn judge_no_regress(before: &BTreeMap<DocumentKey, Version>, client: &Client) -> Judged {
    for (key, version) in before {
        let Some(held) = client.held.get(key) else {
            continue;
        };
        expect(held.version >= *version, Property::OwnWrites, || {
            format!("{key:?} was held as {version}, and now as {}", held.version)
        })?;
    }
    Ok(())
}

/// At the end of a pull that was requested at that tick, the client holds what could be seen at one moment since. Of
/// some documents it may know a newer version, by an answer.
pub(crate) fn judge_end(
    reader: &Reader<'_>,
    sight: &Sight,
    requested: u32,
    moments: &[Moment],
    between: RangeInclusive<usize>,
) -> Judged {
    let (client, gateway) = (reader.client, reader.gateway);
    let deleted_since = |key: &DocumentKey| {
        let gone = |moment: &Moment| {
            moment
                .state
                .entry(key)
                .is_none_or(|entry| entry.is_deleted())
        };
        moments[*between.start()..].iter().any(gone)
    };
    let is_reported = |moment: &Moment| {
        let (state, grants) = (&moment.state, sight.grants(&moment.state));
        let visible = |entry: &Arc<Entry>| {
            let asked = client.page_types.contain(&entry.key.type_name);
            asked && !entry.is_deleted() && grants.can_read(&entry.scope)
        };
        // What another gateway passed over comes back with a page of a leading one.
        let is_due = |entry: &&Arc<Entry>| {
            let leads = moment.lead() == gateway;
            visible(entry) && reader.is_shown(entry) && (leads || is_shown_by_both(client, entry))
        };
        let all_held = state.entries().filter(is_due).all(|entry| {
            let held = client.held.get(&entry.key);
            held.is_some_and(|held| held.version >= entry.version) || deleted_since(&entry.key)
        });
        let mut old = client
            .held
            .iter()
            .filter(|(_, held)| held.should_be_confirmed(requested));
        let stands = |key: &DocumentKey, held: &Held| {
            let entry = state.entry(key).filter(|entry| visible(entry));
            entry.is_some_and(|entry| entry.version == held.version)
        };
        all_held
            && old.all(|(key, held)| !people::knows(gateway, &key.type_name) || stands(key, held))
    };
    let mut possible = moments[between.clone()].iter();
    expect(possible.any(is_reported), Property::Snapshot, || {
        format!("no moment had {:?}", client.held)
    })
}

/// A page continues at the client's positions, in every scope of each type in both, and leaves out only revoked scopes.
/// In a history of two models it may go back for what a gateway passed over, and remembers where it was.
pub(crate) fn judge_monotone(
    from: &Checkpoint,
    to: &Checkpoint,
    revoked: &[Scope],
    may_go_back: bool,
) -> Judged {
    for type_name in people::types() {
        let (Some(from), Some(to)) = (track(from, &type_name), track(to, &type_name)) else {
            continue;
        };
        let kept = |scope: &&Scope| !revoked.contains(scope);
        for scope in from.positions.keys().filter(kept) {
            let (before, after) = (from.positions[scope].seq, to.positions.get(scope));
            let goes_on = after
                .is_some_and(|after| after.seq >= before || may_go_back && after.start >= before);
            expect(goes_on, Property::Monotone, || {
                format!("{type_name} in {scope} from {before:?} to {after:?}")
            })?;
        }
    }
    Ok(())
}

fn track<'c>(checkpoint: &'c Checkpoint, type_name: &TypeName) -> Option<&'c Track> {
    let mut tracks = checkpoint.tracks.iter();
    tracks.find(|track| track.types.contains(&people::number(type_name)))
}

/// Whether a client could have continued from its checkpoint in this state, in the scopes that it has now. Only positions
/// of types that the gateway knows count.
pub(crate) fn is_continuous(
    from: Option<&Checkpoint>,
    given: &Checkpoint,
    gateway: Edition,
    state: &State,
) -> bool {
    let Some(from) = from else { return false };
    let scopes = |scope: &&Scope| {
        given
            .tracks
            .iter()
            .any(|track| track.positions.contains_key(*scope))
    };
    let knows = |track: &&Track| {
        let mut types = people::types().into_iter();
        types.any(|name| {
            track.types.contains(&people::number(&name)) && people::knows(gateway, &name)
        })
    };
    from.epoch == state.epoch
        && from
            .tracks
            .iter()
            .filter(knows)
            .flat_map(|track| &track.positions)
            .filter(|(scope, _)| scopes(scope))
            .all(|(scope, position)| {
                let now = state.scope(scope);
                position.seq.max(position.start) >= now.floor && position.seq <= now.head
            })
}

/// Whether a page has a position in a scope that the client's token does not name.
pub(crate) fn has_begun_another_scope(from: Option<&Checkpoint>, to: &Place) -> bool {
    let named = |checkpoint: &Checkpoint| {
        let positions = checkpoint
            .tracks
            .iter()
            .flat_map(|track| track.positions.keys());
        positions.cloned().collect::<BTreeSet<_>>()
    };
    from.is_some_and(|from| !named(&to.checkpoint).is_subset(&named(from)))
}
