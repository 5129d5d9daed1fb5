//! Random changes by random users on every road, judged by the rules written down a second time.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};
use tidegate_core::{
    entry::Entry,
    model::Model,
    outcome::Status,
    push::{Outcome, PushRefusal, Resolution, WebhookAnswer, WebhookDecision},
    value::json::encode_fields,
};
use tidegate_testkit::Random;

use super::reference::{Card, Guarded, Person, Rules, Verdict};
use crate::{
    drafts::{Draft, create, delete, key, update},
    senders::{Sender, anonymously, by},
    store::Store,
};

const USERS: [&str; 3] = ["ann", "ben", "cat"];
const ROLES: [&str; 6] = ["READ", "WRITE", "AUTHOR", "EDITOR", "CLEANER", "MANAGER"];
const SCOPES: [&str; 5] = ["room:a", "room:b", "hall", "drop", "user:ann"];
const SEEDS: u64 = 700;
const STEPS: usize = 60;

const POLICIES: [&str; 8] = [
    "policy: SERVER_WINS",
    "policy: CLIENT_WINS",
    "policy: LAST_WRITE_WINS",
    "policy: MERGE",
    "policy: MERGE, overlap: CLIENT_WINS",
    "policy: MERGE, overlap: MANUAL",
    "policy: MANUAL",
    "policy: WEBHOOK, webhook: \"review\"",
];

const BORN: Guarded = Guarded {
    name: "born",
    default: None,
    immutable: true,
    writers: None,
};
const APPROVED: Guarded = Guarded {
    name: "approved",
    default: Some("false"),
    immutable: false,
    writers: Some(&["MANAGER"]),
};
const fn owner(writers: Option<&'static [&'static str]>) -> Guarded {
    Guarded {
        name: "owner",
        default: Some("{sub}"),
        immutable: false,
        writers,
    }
}
const fn count(writers: &'static [&'static str]) -> Guarded {
    Guarded {
        name: "count",
        default: None,
        immutable: false,
        writers: Some(writers),
    }
}

const ALLOWED: &str = "@allow(role: AUTHOR, do: CREATE) @allow(role: EDITOR, do: [UPDATE]) @allow(role: CLEANER, do: [DELETE]) @allow(role: FEEDER, do: [CREATE])";

/// What stands on the type and on its fields `owner` and `count`, and what that means.
static VARIANTS: [(&str, &str, &str, Rules); 4] = [
    (
        "@owner(by: \"owner\") @allow(role: OWNER, do: [UPDATE, DELETE])",
        "",
        "@access(write: [EDITOR, OWNER])",
        Rules {
            create: &["AUTHOR", "FEEDER"],
            update: &["EDITOR", "OWNER"],
            delete: &["CLEANER", "OWNER"],
            owned: true,
            fields: &[owner(None), BORN, APPROVED, count(&["EDITOR", "OWNER"])],
        },
    ),
    (
        "@owner(by: \"owner\")",
        "@access(write: MANAGER)",
        "@access(write: [EDITOR])",
        Rules {
            create: &["AUTHOR", "FEEDER", "OWNER"],
            update: &["EDITOR", "OWNER"],
            delete: &["CLEANER", "OWNER"],
            owned: true,
            fields: &[
                owner(Some(&["MANAGER"])),
                BORN,
                APPROVED,
                count(&["EDITOR"]),
            ],
        },
    ),
    (
        "",
        "",
        "@access(write: [EDITOR])",
        Rules {
            create: &["AUTHOR", "FEEDER"],
            update: &["EDITOR"],
            delete: &["CLEANER"],
            owned: false,
            fields: &[BORN, APPROVED, count(&["EDITOR"])],
        },
    ),
    // Nothing is allowed to any role, so WRITE may do all.
    (
        "-",
        "",
        "@access(write: [EDITOR, WRITE])",
        Rules {
            create: &["WRITE", "OWNER"],
            update: &["WRITE", "OWNER"],
            delete: &["WRITE", "OWNER"],
            owned: true,
            fields: &[owner(None), BORN, APPROVED, count(&["EDITOR", "WRITE"])],
        },
    ),
];

fn model(variant: usize, policy: &str) -> Model {
    let (on_type, on_owner, on_count, _) = &VARIANTS[variant];
    let on_type = match *on_type {
        "-" => "@owner(by: \"owner\")".to_owned(),
        text => format!("{text} {ALLOWED}"),
    };
    let text = format!(
        r#"
extend schema
  @grant(scope: "user:{{sub}}", access: WRITE)
  @grant(scope: "hall", access: READ)
  @grant(scope: "drop", access: FEEDER, read: false)
  @grant(scope: "room:{{teams}}", access: MANAGER)
type Task @collection(name: "cards") @scope(by: "{{audience}}") @conflict({policy}) {on_type} {{
  id: ID!
  audience: String! @default(value: "room:a")
  owner: ID! @default(value: "{{sub}}") {on_owner}
  title: String
  born: Int @immutable
  approved: Boolean @access(write: [MANAGER]) @default(value: false)
  count: Int @merge(with: COUNTER) {on_count}
  tags: [String!] @merge(with: SET)
  text: String @merge(with: TEXT)
}}
type Seat @collection(name: "seats") @scope(by: "seats") @grants(scope: "{{=opens}}", to: "{{person}}", access: "{{role}}")
  @allow(role: AUTHOR, do: []) @allow(role: EDITOR, do: []) @allow(role: CLEANER, do: []) @allow(role: FEEDER, do: []) {{
  id: ID!
  opens: String!
  person: String!
  role: String!
}}
"#
    );
    Model::parse("model.graphql", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A random history: documents, and who has which role where.
struct Search {
    seed: u64,
    random: Random,
    store: Store,
    rules: &'static Rules,
    policy: &'static str,
    seats: BTreeSet<(&'static str, &'static str, &'static str)>,
    next: [i32; 3],
    /// How often something was forbidden, about a field, allowed, and settled by a person.
    seen: [usize; 4],
}

impl Search {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (variant, policy) = (random.below(VARIANTS.len()), random.one_of(&POLICIES));
        let mut store = Store::of(model(variant, policy));
        let mut seats = BTreeSet::new();
        for number in 0..5 + random.below(15) {
            let seat = (
                random.one_of(&USERS),
                random.one_of(&SCOPES[..3]),
                random.one_of(&ROLES),
            );
            let (person, opens, role) = seat;
            let fields = json!({ "opens": opens, "person": person, "role": role });
            let seat_id = number.to_string();
            let draft = create(&seat_id, fields).of("Seat");
            store.elsewhere(&draft);
            store.import(&[draft.key()]);
            seats.insert(seat);
        }
        Self {
            seed,
            random,
            store,
            rules: &VARIANTS[variant].3,
            policy,
            seats,
            next: [1; 3],
            seen: [0; 4],
        }
    }

    fn roles(&self, user: &str, scope: &str) -> BTreeSet<&'static str> {
        let seats = self.seats.iter();
        let given = seats.filter(|(person, opens, _)| *person == user && *opens == scope);
        let mut roles: BTreeSet<&str> = given.map(|(.., role)| *role).collect();
        match scope {
            "hall" => drop(roles.insert("READ")),
            "drop" => drop(roles.insert("FEEDER")),
            scope if scope.strip_prefix("user:") == Some(user) => drop(roles.insert("WRITE")),
            _ => {}
        }
        roles
    }

    fn can_read(&self, user: &str, scope: &str) -> bool {
        let roles = self.roles(user, scope);
        roles.iter().any(|role| *role != "FEEDER")
    }

    fn entry(&self, id: &str) -> Option<Entry> {
        let entry = self.store.entry(&key("Task", id));
        entry.map(|entry| Entry::clone(entry))
    }

    fn card(&self, entry: Option<&Entry>) -> Option<Card> {
        let body = entry?.body.as_ref()?;
        let fields = encode_fields(&self.store.model, &self.store.model.types[0].fields, body);
        let fields: Map<_, _> = fields.into_iter().filter(|(_, it)| !it.is_null()).collect();
        Some(Card {
            scope: entry?.scope.as_str().to_owned(),
            fields,
        })
    }

    fn fields(&mut self, is_create: bool) -> Map<String, Json> {
        let mut fields = Map::new();
        let random = &mut self.random;
        let often = if is_create { 2 } else { 3 };
        let choices: [(&str, Vec<Json>); 8] = [
            ("audience", SCOPES.map(|scope| json!(scope)).to_vec()),
            ("owner", USERS.map(|user| json!(user)).to_vec()),
            ("title", vec![json!("x"), json!("y")]),
            ("born", vec![json!(1), json!(2), Json::Null]),
            ("approved", vec![json!(true), json!(false), Json::Null]),
            ("count", vec![json!(1), json!(5), json!(9), Json::Null]),
            ("tags", vec![json!(["a"]), json!(["a", "b"]), json!([])]),
            ("text", vec![json!("One. Two."), json!("One. Two. Three.")]),
        ];
        for (name, values) in choices {
            if random.once_in(often) {
                let value = values[random.below(values.len())].clone();
                fields.insert(name.to_owned(), value);
            }
        }
        if fields.is_empty() {
            fields.insert("title".to_owned(), json!("z"));
        }
        fields
    }

    fn step(&mut self) {
        match self.random.below(8) {
            0 => self.resolve(),
            _ => self.push(),
        }
    }

    fn sender(&mut self, number: usize) -> Sender {
        let user = USERS[number];
        match self.random.once_in(4) {
            true => anonymously(user),
            false => {
                let first = self.next[number];
                self.next[number] += 1;
                by(user, "phone").from(first)
            }
        }
    }

    fn push(&mut self) {
        let number = self.random.below(USERS.len());
        let user = USERS[number];
        let id = self.random.one_of(&["1", "2", "3"]);
        let before = self.entry(id);
        let version = before.as_ref().map_or(0, |entry| entry.version.0);
        let base = match self.random.below(5) {
            0 => -1,
            1 => version.saturating_sub(1).max(1),
            _ => version,
        };
        let (draft, set, seen) = self.draft(id, base, before.as_ref());
        let sender = self.sender(number);
        let sender = if self.random.once_in(5) {
            sender.atomic()
        } else {
            sender
        };
        let drafts = [draft];
        let mut answer = self.store.push(&sender, &drafts);
        let is_asked = matches!(answer, Err(PushRefusal::NeedsWebhook(_)));
        if is_asked {
            let decided = match self.random.below(4) {
                0 => WebhookAnswer::Current,
                1 => WebhookAnswer::Incoming,
                2 => WebhookAnswer::None,
                _ => {
                    let fields = Json::Object(self.fields(false));
                    WebhookAnswer::Document(drafts[0].of_fields(&self.store.model, fields))
                }
            };
            let decisions = [WebhookDecision {
                change: 0,
                version: before.as_ref().map(|entry| entry.version),
                answer: decided,
            }];
            answer = self.store.advised(&sender, &drafts, &decisions);
        }
        let outcome = answer
            .unwrap_or_else(|refusal| panic!("seed {}: {refusal:?}", self.seed))
            .outcomes
            .remove(0);
        let wanted = self.wanted(user, before.as_ref(), &drafts[0], set, seen);
        self.judge(user, id, before.as_ref(), &outcome, wanted, &drafts[0]);
    }

    /// A change, what it sets, and what it says its user saw.
    fn draft(
        &mut self,
        id: &str,
        base: i32,
        before: Option<&Entry>,
    ) -> (Draft, Option<Map<String, Json>>, Map<String, Json>) {
        match self.random.below(6) {
            0 => (delete(id, base), None, Map::new()),
            1 | 2 => {
                let set = self.fields(true);
                let draft = create(id, Json::Object(set.clone()));
                let draft = match self.random.once_in(2) {
                    true => draft.naming(base.max(0)),
                    false => draft,
                };
                (draft, Some(set), Map::new())
            }
            _ => {
                let set = self.fields(false);
                let draft = update(id, base, Json::Object(set.clone()));
                let now = self.card(before).map(|card| card.fields);
                let seen: Map<String, Json> = match (self.random.below(3), now) {
                    (0, _) => return (draft, Some(set), Map::new()),
                    (1, Some(now)) => {
                        let value = |name: &String| now.get(name).cloned().unwrap_or_default();
                        set.keys().map(|name| (name.clone(), value(name))).collect()
                    }
                    // It says that nothing of what it sets is new.
                    _ => set.clone(),
                };
                let required = ["audience", "owner"];
                let seen: Map<_, _> = seen
                    .into_iter()
                    .filter(|(name, value)| !value.is_null() || !required.contains(&&**name))
                    .collect();
                let draft = draft.seeing(Json::Object(seen.clone()));
                (draft, Some(set), seen)
            }
        }
    }

    /// What the change asks for, if its user can see the document, and whether that may be.
    fn wanted(
        &self,
        user: &'static str,
        before: Option<&Entry>,
        draft: &Draft,
        set: Option<Map<String, Json>>,
        seen: Map<String, Json>,
    ) -> Result<Verdict, &'static str> {
        let roles = |scope: &str| self.roles(user, scope);
        let person = Person {
            name: user,
            roles: &roles,
        };
        let scope = before.map(|entry| entry.scope.as_str().to_owned());
        let visible = scope
            .as_ref()
            .is_some_and(|scope| self.can_read(user, scope));
        let card = self.card(before);
        let creator = before.and_then(|entry| entry.writers.get(&entry.began)?.user.clone());
        let as_creator = self.rules.owned && creator.is_some_and(|it| it.as_str() == user);
        let over_tombstone = |roles: &[&str]| {
            let held = self.roles(user, scope.as_deref().unwrap_or_default());
            let may =
                as_creator && roles.contains(&"OWNER") || roles.iter().any(|it| held.contains(it));
            may.then_some(()).ok_or(None)
        };
        let is_create = format!("{draft:?}").contains("Create(");
        let Some(set) = set else {
            return match (visible, card) {
                (false, _) => Err("NOT_FOUND"),
                (true, Some(card)) => Ok(self.rules.delete(&person, &card)),
                (true, None) => Ok(over_tombstone(self.rules.delete)),
            };
        };
        let card_of = |mut fields: Map<String, Json>| {
            fields.retain(|_, value| !value.is_null());
            let scope = fields["audience"].as_str().unwrap_or_default().to_owned();
            Card { scope, fields }
        };
        if !is_create {
            return match (visible, card) {
                (false, _) => Err("NOT_FOUND"),
                (true, None) => Ok(over_tombstone(self.rules.update)),
                (true, Some(card)) => {
                    let mut fields = card.fields.clone();
                    fields.extend(
                        set.into_iter()
                            .filter(|(name, it)| seen.get(name) != Some(it)),
                    );
                    Ok(self.rules.edit(&person, &card, &card_of(fields)))
                }
            };
        }
        let defaults = [
            ("audience", json!("room:a")),
            ("owner", json!(user)),
            ("approved", json!(false)),
        ];
        let mut whole = set;
        for (name, value) in &defaults {
            whole.entry(*name).or_insert_with(|| value.clone());
        }
        let new = card_of(whole);
        if let Err(field) = self.rules.put(&person, &new, &new.scope) {
            return Ok(Err(field));
        }
        let (Some(_), Some(scope)) = (before, scope) else {
            return Ok(self.rules.values(&person, &new, true));
        };
        if !visible {
            return Err("ID_TAKEN");
        }
        let Some(card) = card else {
            if let Err(field) = self.rules.put(&person, &new, &scope) {
                return Ok(Err(field));
            }
            return Ok(self.rules.values(&person, &new, true));
        };
        if new.fields == card.fields {
            return Ok(Ok(()));
        }
        let mut after = new.fields.clone();
        if self.policy.starts_with("policy: MERGE") {
            after.retain(|name, value| !defaults.contains(&(name.as_str(), value.clone())));
            for (name, value) in &card.fields {
                after.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        Ok(self.rules.edit(&person, &card, &card_of(after)))
    }

    fn judge(
        &mut self,
        user: &'static str,
        id: &str,
        before: Option<&Entry>,
        outcome: &Outcome,
        wanted: Result<Verdict, &'static str>,
        draft: &Draft,
    ) {
        let error = outcome.error.as_ref();
        let reported = error.map(|error| (error.code.name(), error.field.as_deref()));
        let place = format!(
            "seed {} {} {user}: {draft:?}\non {:?}\nseats {:?}\ngot {:?}, wanted {wanted:?}",
            self.seed,
            self.policy,
            self.card(before),
            self.seats,
            outcome.error.as_ref().or(None).map_or_else(
                || format!("{:?}", outcome.status),
                |error| format!("{error:?}")
            ),
        );
        match wanted {
            Err(code) => assert_eq!(reported, Some((code, None)), "{place}"),
            Ok(Err(field)) => {
                assert_eq!(reported, Some(("FORBIDDEN", field)), "{place}");
                self.seen[usize::from(field.is_some())] += 1;
            }
            Ok(Ok(())) => match reported {
                // A field that was set to what its user saw would have been written, or a deleted document come back
                // elsewhere.
                Some(("FORBIDDEN", _)) => {
                    let has_seen = format!("{draft:?}").contains("seen: Some");
                    assert!(has_seen || self.card(before).is_none(), "{place}");
                }
                Some((code, _)) => assert_eq!(code, "ATOMIC_ABORTED", "{place}"),
                None => self.seen[2] += usize::from(outcome.status == Status::Applied),
            },
        }
        let readable = |entry: &Entry| self.can_read(user, entry.scope.as_str());
        let shown = outcome.document.as_deref();
        assert!(shown.is_none_or(readable), "{place}");
        self.judge_written(user, id, before, &place);
    }

    /// What was written is what the user may write.
    fn judge_written(&self, user: &'static str, id: &str, before: Option<&Entry>, place: &str) {
        let after = self.entry(id);
        let version = |entry: Option<&Entry>| entry.map(|entry| entry.version);
        if version(before) == version(after.as_ref()) {
            return;
        }
        let roles = |scope: &str| self.roles(user, scope);
        let person = Person {
            name: user,
            roles: &roles,
        };
        let verdict = match (self.card(before), self.card(after.as_ref())) {
            (Some(before), Some(after)) => self.rules.edit(&person, &before, &after),
            (Some(before), None) => self.rules.delete(&person, &before),
            (None, Some(after)) => {
                let put = self.rules.put(&person, &after, &after.scope);
                put.and_then(|()| self.rules.values(&person, &after, true))
            }
            (None, None) => panic!("{place}: a tombstone over a tombstone"),
        };
        assert_eq!(verdict, Ok(()), "{place}: wrote {after:?}");
    }

    fn resolve(&mut self) {
        let open: Vec<_> = self.store.conflicts().cloned().collect();
        if open.is_empty() {
            return;
        }
        let conflict = &open[self.random.below(open.len())];
        let user = self.random.one_of(&USERS);
        let id = conflict.key.id.as_str().to_owned();
        let before = self.entry(&id);
        let base = before.as_ref().map_or(0, |entry| entry.version.0);
        let resolution = match self.random.below(4) {
            0 => Resolution::Mine,
            1 => Resolution::Theirs,
            2 => Resolution::Delete,
            _ => {
                let fields = Json::Object(self.fields(false));
                let fields = update(&id, 1, json!({})).of_fields(&self.store.model, fields);
                Resolution::Edited(conflict.key.type_name.clone(), Ok(fields))
            }
        };
        let place = format!(
            "seed {} {}: {user} {resolution:?} {conflict:?}",
            self.seed, self.policy
        );
        let grants = self.store.grants(user);
        let is_listed = conflict.is_open_to(&self.store.model, &grants);
        let scope = conflict.scope.as_str();
        let held = self.roles(user, scope);
        let settles =
            |role: &&str| self.rules.update.contains(role) || self.rules.delete.contains(role);
        let may = held.iter().any(settles) || settles(&"OWNER");
        assert!(!is_listed || self.can_read(user, scope) && may, "{place}");
        let answer = self.store.resolve(user, &conflict.id, base, resolution);
        assert_eq!(answer.is_ok(), is_listed, "{place}: {answer:?}");
        self.seen[3] += usize::from(is_listed);
        self.judge_written(user, &id, before.as_ref(), &place);
    }
}

#[test]
fn nobody_writes_on_any_road_what_its_roles_do_not_allow() {
    let mut seen = [0; 4];
    for seed in 0..SEEDS {
        let mut search = Search::new(seed);
        (0..STEPS).for_each(|_| search.step());
        for (all, of_seed) in seen.iter_mut().zip(search.seen) {
            *all += of_seed;
        }
    }
    let least = [1_000, 200, 1_000, 50];
    assert!(
        seen.iter().zip(least).all(|(count, least)| *count > least),
        "{seen:?}"
    );
}
