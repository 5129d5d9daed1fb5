//! What must hold in the end: clients hold what the collections have, and were shown no state that a document did not
//! have, and none in another order.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::sleep;

use super::{
    device::{Device, Outcomes, Person, fresh},
    history::{History, Key, text},
    kinds::{Fitting, Kind, fields_of},
    stage::Stage,
};
use crate::harness::{Client, Documents};

/// How long clients may take to catch up after the last write.
const CATCH_UP: Duration = Duration::from_secs(90);

/// What a user may hold: the documents that fit, in the scopes that the user sees.
pub(super) type Content = BTreeMap<Key, Fitting>;

/// Compares what devices hold, and what a new one gets at each gateway, with the collections. Returns when all agree.
pub(super) async fn expect_equal(stage: &Stage, history: &History, devices: &[Device]) {
    let all = history.end();
    for device in devices {
        let expected = visible(&all, &device.person);
        let client = stage.client(0, device.person.user, &device.person.claims());
        for slot in [0, 1] {
            let client = Client {
                url: stage.url(slot),
                ..client.clone()
            };
            let ask = async || fresh(&client).await.map(|fresh| content(fresh.documents()));
            let what = format!("a fresh sync of {} at {slot}", device.person.user);
            expect_soon(&what, &expected, ask).await;
        }
        let ask = async || Some(content(&device.documents()));
        expect_soon(&format!("{}'s device", device.person.user), &expected, ask).await;
    }
    expect_withheld(stage, history).await;
}

async fn expect_soon(what: &str, expected: &Content, ask: impl AsyncFn() -> Option<Content>) {
    let began = Instant::now();
    loop {
        let found = ask().await;
        if found.as_ref() == Some(expected) {
            return;
        }
        if began.elapsed() > CATCH_UP {
            differ(what, expected, found.as_ref());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn differ(what: &str, expected: &Content, found: Option<&Content>) -> ! {
    let nothing = Content::new();
    let found = found.unwrap_or(&nothing);
    let keys: BTreeSet<&Key> = expected.keys().chain(found.keys()).collect();
    let keys = keys.into_iter();
    let differences: Vec<String> = keys
        .map(|key| (key, expected.get(key), found.get(key)))
        .filter(|(_, should, does)| should != does)
        .map(|(key, should, does)| format!("{key:?}: {does:?}, and not {should:?}"))
        .collect();
    panic!(
        "{what} differs from the collections:\n{}",
        differences.join("\n")
    )
}

/// The documents that do not fit are recorded, and no others.
async fn expect_withheld(stage: &Stage, history: &History) {
    let expected = history.unfit();
    let began = Instant::now();
    loop {
        let withheld = stage.withheld().await.into_iter();
        let withheld = withheld.map(|(name, id)| (name, text(&id)));
        let withheld: BTreeSet<(String, String)> = withheld.collect();
        if withheld == expected {
            return;
        }
        assert!(
            began.elapsed() < CATCH_UP,
            "not recorded as withheld: {:?}; needlessly recorded: {:?}",
            expected.difference(&withheld),
            withheld.difference(&expected)
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// What a person sees. A membership opens its team, also if the person may not see the membership.
fn visible(all: &Content, person: &Person) -> Content {
    let teams = person.teams.iter().map(|team| format!("team:{team}"));
    let staff = person.staff.iter().map(|team| format!("staff:{team}"));
    let given = all.iter().filter_map(|((kind, _), member)| {
        let is_for_person = *kind == Kind::Member && member.fields["person"] == person.user;
        is_for_person.then(|| format!("team:{}", member.fields["team"].as_str().unwrap()))
    });
    let scopes: BTreeSet<String> = teams.chain(staff).chain(given).collect();
    let seen = all
        .iter()
        .filter(|(_, fitting)| scopes.contains(&fitting.scope));
    seen.map(|(key, fitting)| (key.clone(), fitting.clone()))
        .collect()
}

pub(super) fn content(documents: &Documents) -> Content {
    let held = documents.iter().map(|((name, id), local)| {
        let fitting = Fitting {
            scope: local.scope.clone(),
            fields: fields_of(&local.document),
        };
        ((Kind::of_name(name), id.clone()), fitting)
    });
    held.collect()
}

/// What a document was at each version that was shown, to whomever.
#[derive(Default)]
pub(super) struct Versions(BTreeMap<(Key, i64), Value>);

impl Versions {
    /// Adds what outcomes showed.
    pub(super) fn take_outcomes(&mut self, outcomes: &Outcomes) {
        for (kind, document) in &outcomes.shown {
            let id = document["id"].as_str().unwrap().to_owned();
            self.take((*kind, id), document);
        }
    }

    /// A version never has two contents.
    fn take(&mut self, key: Key, document: &Value) {
        let version = document["syncVersion"].as_i64().unwrap();
        let before = self
            .0
            .entry((key, version))
            .or_insert_with(|| document.clone());
        assert_eq!(before, document, "one version, two contents");
    }

    /// Each change that a device took has a later version than the one before, and shows a later state of the document.
    /// Those that were joined may be missing.
    pub(super) fn expect_order(&mut self, history: &History, person: &Person, taken: &[Value]) {
        let mut shown: BTreeMap<Key, Vec<&Value>> = BTreeMap::new();
        for change in taken {
            let kind = Kind::of_name(change["type"].as_str().unwrap());
            let key = (kind, change["documentId"].as_str().unwrap().to_owned());
            if change["kind"] == "UPSERT" {
                self.take(key.clone(), &change["document"]);
            }
            shown.entry(key).or_default().push(change);
        }
        for (key, changes) in shown {
            if let Err(change) = expect_allowed(history.of(&key), &changes) {
                panic!(
                    "version {} of {key:?} is out of order; {} was shown {changes:#?}, and it was {:#?}",
                    change["version"],
                    person.user,
                    history.of(&key)
                );
            }
        }
    }
}

/// Looks for the changes in the states, in their order. Returns the change that is not there.
fn expect_allowed<'c>(states: &[Option<Fitting>], changes: &[&'c Value]) -> Result<(), &'c Value> {
    let mut at = 0;
    let mut before: Option<&Value> = None;
    for change in changes.iter().copied() {
        let is_shown = change["kind"] == "UPSERT";
        if let Some(before) = before {
            let both_shown = is_shown && before["kind"] == "UPSERT";
            let differs = both_shown && content_of(change) != content_of(before);
            let rises = change["version"].as_i64() > before["version"].as_i64();
            // A scope that was revoked and given again shows what it showed before. A move shows the version that
            // the document leaves the old scope with.
            if !rises && (differs || change["version"] != before["version"]) {
                return Err(change);
            }
            // An edit that changes nothing has a version too.
            at += usize::from(differs);
        }
        let scope = change["scope"].as_str().unwrap();
        let fits = |state: &Option<Fitting>| match state {
            Some(fitting) if is_shown => {
                fitting.scope == scope && fitting.fields == content_of(change)
            }
            None if is_shown => false,
            state => state.as_ref().is_none_or(|fitting| fitting.scope != scope),
        };
        let found = states.iter().skip(at).position(fits).ok_or(change)?;
        at += found;
        before = Some(change);
    }
    Ok(())
}

fn content_of(change: &Value) -> Value {
    fields_of(&change["document"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(title: &str, scope: &str) -> Option<Fitting> {
        Some(Fitting {
            scope: scope.to_owned(),
            fields: json!({ "title": title }),
        })
    }

    fn upsert(version: i64, title: &str) -> Value {
        json!({"kind": "UPSERT", "version": version, "scope": "red", "document": {"title": title}})
    }

    fn removal(kind: &str, version: i64) -> Value {
        json!({"kind": kind, "version": version, "scope": "red"})
    }

    #[test]
    fn an_order_is_allowed_if_it_leaves_out_states_and_turns_none_round() {
        let states = [
            state("a", "red"),
            state("b", "red"),
            None,
            state("a", "red"),
            state("a", "blue"),
        ];
        let is_allowed = |changes: &[Value]| {
            let changes: Vec<&Value> = changes.iter().collect();
            expect_allowed(&states, &changes).is_ok()
        };
        let (revoke, delete) = (removal("REVOKE", 4), removal("DELETE", 3));
        for allowed in [
            &[upsert(1, "a"), upsert(2, "b"), delete, upsert(4, "a")][..],
            &[upsert(2, "b"), upsert(4, "a")],
            &[upsert(1, "a"), upsert(4, "a"), removal("REVOKE", 5)],
            &[upsert(2, "b"), revoke],
        ] {
            assert!(is_allowed(allowed), "{allowed:?}");
        }
        for refused in [
            &[upsert(1, "c")][..],
            &[upsert(4, "a"), upsert(2, "b")],
            &[upsert(1, "b"), upsert(1, "a")],
            &[
                upsert(1, "a"),
                upsert(2, "b"),
                upsert(3, "a"),
                upsert(4, "b"),
            ],
        ] {
            assert!(!is_allowed(refused), "{refused:?}");
        }
    }
}
