//! What a client holds beside what the store has.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use tidegate_core::{
    entry::{Entry, FeedItem, Record},
    id::{DocumentKey, Version},
    push::PushAnswer,
};
use tidegate_testkit::{
    client::{Client, Flight, Held},
    store::State,
};

use super::{Judged, Property, Sight, checkpoints::position, expect, took};
use crate::{
    people::{self, Edition},
    store::Moment,
};

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
            Record::Entry(entry) if !entry.withheld => {
                held.is_none_or(|held| held.version > version)
            }
            // A REVOKE, also of what is withheld (1.3 and 8.8).
            _ => held.is_none_or(|held| held.version > version || is_elsewhere(held)),
        };
        expect(knows, Property::NoGap, || {
            format!("{item:?} was passed, and {held:?} is held")
        })?;
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
        let entries: Vec<_> = moments[*between.end()].state.entries().collect();
        format!("no moment had {:?}; the last had {entries:?}", client.held)
    })
}

/// A gateway of the leading model shows no document that is in another scope than its fields make (rules.md 9.10).
pub(crate) fn judge_placed(entry: &Entry, gateway: Edition, since: &[Moment]) -> Judged {
    let leads = since.iter().all(|moment| moment.lead() == gateway);
    let is_placed = !leads || people::is_in_place(gateway, entry);
    expect(is_placed, Property::Placed, || {
        format!("{entry:?} is shown by {gateway:?}, which leads")
    })
}
