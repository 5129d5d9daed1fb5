//! A random history in which gateways of two models serve one client in any order. The client has in the end what the
//! store has.
//!
//! With the feature `mutants`, the same search finds each broken rule of checkpoints.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value as Json, json};
use tidegate_core::{
    checkpoint::{Checkpoint, RequestedTypes},
    entry::{Entry, Record},
    generation::{Term, TypeNumber},
    id::{DocumentKey, Scope, Seq},
    value::Value,
};
use tidegate_testkit::{
    Random,
    client::{Arrival, Client, Page, Slip},
};

use crate::{
    drafts::{create, delete, key, update},
    senders::by,
    store::{Asked, Gateway, Store},
};

const SEEDS: u64 = 400;
const STEPS: usize = 40;
const TASKS: [&str; 2] = ["a", "b"];
const TEAMS: [&str; 2] = ["red", "blue"];

/// What was violated.
type Violation = String;

struct History {
    random: Random,
    store: Store,
    /// The older model lacks Note, and shows only tasks with a title.
    older: Gateway,
    /// The newer one shows only tasks without a negative number of stars.
    newer: Gateway,
    client: Client,
    /// How far the client has been in each type and scope since it last began there.
    had: BTreeMap<(TypeNumber, Scope), Seq>,
    /// The app was updated: it selects stars, and asks for tasks again until it has a page of them.
    selects_stars: bool,
    refresh: bool,
    teams: Vec<&'static str>,
    next: i32,
    tick: u32,
}

fn shown_by_older(entry: &Entry) -> bool {
    let body = entry.body.as_ref();
    entry.key.type_name.as_str() != "Task"
        || body.is_some_and(|body| body.get("title").is_some_and(|it| *it != Value::Null))
}

fn shown_by_newer(entry: &Entry) -> bool {
    let stars = entry.body.as_ref().and_then(|body| body.get("stars"));
    !matches!(stars, Some(Value::Int(stars)) if *stars < 0)
}

impl History {
    fn new(seed: u64, slip: Option<Slip>) -> Self {
        let mut store = Store::new("SERVER_WINS");
        let model = Arc::clone(&store.model);
        let teams = TEAMS.to_vec();
        store.teams("alice", &teams);
        store.teams("bob", &teams);
        let mut older = store.older_gateway();
        older.shows = shown_by_older;
        let mut newer = store.gateway();
        newer.shows = shown_by_newer;
        newer.standing.term = Term(2);
        Self {
            random: Random::new(seed),
            store,
            older,
            newer,
            client: Client::new("bob", &model, RequestedTypes::All, slip),
            had: BTreeMap::new(),
            selects_stars: false,
            refresh: false,
            teams,
            next: 1,
            tick: 0,
        }
    }

    fn run(mut self) -> Result<(), Violation> {
        for _ in 0..STEPS {
            self.tick += 1;
            match self.random.below(20) {
                0..7 => self.edit(),
                7..13 => drop(self.pull()?),
                13..15 => self.store.collect(),
                15 => self.toggle_team(),
                16 if !self.selects_stars => (self.selects_stars, self.refresh) = (true, true),
                17 => self.lead(false),
                18 => self.lead(true),
                _ => self.pull_all()?,
            }
        }
        self.end()
    }

    /// All ends with the newer gateway, which leads.
    fn end(mut self) -> Result<(), Violation> {
        self.lead(true);
        self.pull_in_turn()?;
        for _ in 0..100 {
            if !self.pull_from(true, 2)? {
                return self.compare();
            }
        }
        Err("the pull does not end".to_owned())
    }

    fn edit(&mut self) {
        let audience = format!("team:{}", self.random.one_of(&TEAMS));
        let title = self.random.one_of(&["", "x", "y"]);
        let title = if title.is_empty() {
            Json::Null
        } else {
            json!(title)
        };
        let stars = self.random.one_of(&[-1, 0, 1, 2]);
        let id = self.random.one_of(&TASKS);
        let draft = match self.random.below(7) {
            0 | 1 => {
                let document = json!({ "audience": audience, "title": title, "stars": stars });
                create(id, document)
            }
            2 => self.based(id, "Task", json!({ "title": title })),
            3 => self.based(id, "Task", json!({ "stars": stars, "audience": audience })),
            4 => delete(id, self.version("Task", id)),
            5 if self.version("Note", "n") > 0 => delete("n", self.version("Note", "n")).of("Note"),
            _ => create("n", json!({ "audience": audience })).of("Note"),
        };
        let answer = self
            .store
            .push(&by("alice", "phone").from(self.next), &[draft]);
        self.next += i32::from(answer.is_ok());
    }

    fn based(&self, id: &str, of: &'static str, set: Json) -> crate::drafts::Draft {
        update(id, self.version(of, id), set).of(of)
    }

    fn version(&self, of: &str, id: &str) -> i32 {
        let entry = self.store.entry(&key(of, id));
        entry.map_or(0, |entry| entry.version.0)
    }

    fn toggle_team(&mut self) {
        let team = self.random.one_of(&TEAMS);
        match self.teams.iter().position(|held| *held == team) {
            Some(place) => drop(self.teams.remove(place)),
            None => self.teams.push(team),
        }
        self.store.teams("bob", &self.teams);
    }

    /// One of the gateways takes the lead.
    fn lead(&mut self, newer: bool) {
        if self.newer.standing.leads != newer {
            let term = Term(self.newer.standing.term.0 + 1);
            for (gateway, leads) in [(&mut self.older, !newer), (&mut self.newer, newer)] {
                (gateway.standing.leads, gateway.standing.term) = (leads, term);
            }
        }
    }

    fn pull(&mut self) -> Result<bool, Violation> {
        let newer = self.selects_stars || self.random.once_in(2);
        let limit = 1 + self.random.below(3);
        self.pull_from(newer, limit)
    }

    fn pull_all(&mut self) -> Result<(), Violation> {
        let newer = self.selects_stars || self.random.once_in(2);
        for _ in 0..100 {
            if !self.pull_from(newer, 2)? {
                return Ok(());
            }
        }
        Err("a pull does not end".to_owned())
    }

    /// Pages from either gateway in turn come to an end.
    fn pull_in_turn(&mut self) -> Result<(), Violation> {
        let mut calm = 0;
        for round in 0..120 {
            let more = self.pull_from(self.selects_stars || round % 2 == 0, 1)?;
            calm = if more { 0 } else { calm + 1 };
            if calm == 2 {
                return Ok(());
            }
        }
        Err("pages go round in circles".to_owned())
    }

    /// One page. Its answer may be lost. Returns whether there is more.
    fn pull_from(&mut self, newer: bool, limit: usize) -> Result<bool, Violation> {
        let gateway = if newer { &self.newer } else { &self.older };
        let from = self.client.place.clone();
        let asked = Asked {
            user: "bob",
            token: from.as_ref().map(|from| &*from.token),
            types: RequestedTypes::All,
            refresh: if self.refresh { &["Task"] } else { &[] },
            selection: 1,
            limit,
            reread: &[],
        };
        let mut page = self.store.page_at(gateway, &asked);
        self.judge_reset(gateway, from.as_ref().map(|from| &from.checkpoint), &page)?;
        if self.random.once_in(8) {
            return Ok(true);
        }
        self.remember(&page);
        let more = page.has_more;
        for item in &mut page.changes {
            self.select(&mut item.record);
        }
        self.refresh = false;
        self.client.apply(Arrival {
            page,
            from,
            types: RequestedTypes::All,
            requested: Some(self.tick),
            refreshed: Default::default(),
            reread: [].into(),
        });
        Ok(more)
    }

    /// The app does not select stars before it is updated.
    fn select(&self, record: &mut Record) {
        if let Record::Entry(entry) = record
            && let Some(body) = &mut Arc::make_mut(entry).body
            && !self.selects_stars
        {
            body.remove("stars");
        }
    }

    fn remember(&mut self, page: &Page) {
        let before = std::mem::take(&mut self.had);
        for track in &page.place.checkpoint.tracks {
            for (of, (scope, position)) in track.types.iter().flat_map(|of| {
                let positions = track.positions.iter();
                positions.map(move |position| (*of, position))
            }) {
                let place = (of, scope.clone());
                let had = before.get(&place).filter(|_| !page.reset);
                let had = had.map_or(position.start, |had| position.start.max(*had));
                self.had.insert(place, had);
            }
        }
    }

    /// A reset needs a reason: no checkpoint, or the client has not been at the floor of a known type's scope.
    fn judge_reset(
        &self,
        gateway: &Gateway,
        from: Option<&Checkpoint>,
        page: &Page,
    ) -> Result<(), Violation> {
        let Some(from) = from.filter(|_| page.reset) else {
            return Ok(());
        };
        let grants = self.store.grants("bob");
        let mut read = from.tracks.iter().filter(|track| gateway.known.read(track));
        let is_below = read.any(|track| {
            let types = track.types.iter();
            let mut known = types.filter(|of| gateway.known.all().contains(of));
            known.any(|of| {
                let mut had = self.had.iter().filter(|((had, scope), _)| {
                    had == of && grants.can_read(scope) && track.positions.contains_key(scope)
                });
                had.any(|((_, scope), had)| *had < self.store.scope(scope.as_str()).floor)
            })
        });
        match is_below {
            true => Ok(()),
            false => Err(format!("a needless reset from {from:?}")),
        }
    }

    /// The client holds all that the newer gateway shows, and nothing that is not in the store any more.
    fn compare(&self) -> Result<(), Violation> {
        let grants = self.store.grants("bob");
        let stored = self
            .store
            .living()
            .filter(|entry| grants.can_read(&entry.scope));
        let mut stored: BTreeMap<&DocumentKey, &Entry> =
            stored.map(|entry| (&entry.key, &**entry)).collect();
        for (key, held) in &self.client.held {
            let Some(entry) = stored.remove(key) else {
                return Err(format!("{key} is held and gone"));
            };
            let mut record = Record::Entry(Arc::new(entry.clone()));
            self.select(&mut record);
            let Record::Entry(selected) = &record else {
                unreachable!("it was made of an entry");
            };
            // What the newer gateway cannot show, the older one may have shown at this version.
            let is_body = !shown_by_newer(entry) || selected.body.as_ref() == Some(&held.body);
            let is_place = (entry.version, &entry.scope) == (held.version, &held.scope);
            if !is_body || !is_place {
                return Err(format!("{held:?} is held of {entry:?}"));
            }
        }
        match stored.values().find(|entry| shown_by_newer(entry)) {
            Some(entry) => Err(format!("{entry:?} is missing")),
            None => Ok(()),
        }
    }
}

fn search(seeds: u64, slip: Option<Slip>) -> Option<(u64, Violation)> {
    (0..seeds).find_map(|seed| {
        let violation = History::new(seed, slip).run().err()?;
        Some((seed, violation))
    })
}

#[test]
fn a_client_of_two_models_gateways_misses_nothing_and_keeps_nothing() {
    assert_eq!(search(SEEDS, None), None);
}

#[test]
fn a_client_that_ignores_equal_versions_misses_what_it_selects_since() {
    assert!(search(SEEDS, Some(Slip::EqualIgnored)).is_some());
}

/// Each of the rules is needed: taken out, some history shows it.
#[cfg(feature = "mutants")]
#[test]
fn a_broken_rule_of_checkpoints_is_found() {
    use tidegate_core::mutant::{Mutant, switch};
    for broken in [
        Mutant::UnknownBelowTheFloor,
        Mutant::UnknownTypesPassed,
        Mutant::UnreadPassed,
        Mutant::TermIgnored,
        Mutant::StartForgotten,
        Mutant::StartAtHead,
    ] {
        switch(Some(broken));
        let found = search(20 * SEEDS, None);
        switch(None);
        assert!(found.is_some(), "{broken:?}");
    }
}
