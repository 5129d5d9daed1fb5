//! Who may change what (rules.md 4.14): by roles, as the owner, and field by field.
//!
//! `search` tries random changes on every road, and judges them by `reference`.

mod reference;
mod search;

use serde_json::{Value as Json, json};
use tidegate_core::{
    model::{Model, Policy},
    push::{PushAnswer, Resolution},
};

use crate::{
    drafts::{Draft, create, delete, key, update},
    senders::{by, summaries},
    store::Store,
};

/// A team's cards. Ann is a member, Bea is an editor, and Cat manages the team, as their tokens say.
fn store(policy: &str, on_type: &str, fields: &str) -> Store {
    let text = format!(
        r#"
extend schema
  @grant(scope: "user:{{sub}}", access: MANAGER)
  @grant(scope: "team:{{teams}}", access: MEMBER)
  @grant(scope: "room:{{teams}}", access: "{{sub}}")
type Task @collection(name: "tasks") @scope(by: "{{audience}}") @conflict({policy})
  @allow(role: MEMBER, do: [CREATE]) @allow(role: EDITOR, do: [UPDATE]) @allow(role: MANAGER, do: [CREATE UPDATE DELETE])
  {on_type} {{
  id: ID!
  audience: String! @default(value: "team:1")
  title: String
  {fields}
}}
type Member @collection(name: "members") @scope(by: "members") @allow(role: MANAGER, do: [])
  @grants(scope: "{{=opens}}", to: "{{person}}", access: "{{role}}") {{
  id: ID!
  opens: String!
  person: String!
  role: String!
}}
"#
    );
    let model = Model::parse("model.graphql", &text).unwrap_or_else(|it| panic!("{it}"));
    let mut store = Store::of(model);
    store.teams("ann", &["1"]);
    give(&mut store, "bea", "team:1", "EDITOR");
    give(&mut store, "cat", "team:1", "MANAGER");
    store
}

/// A service gives a role.
fn give(store: &mut Store, person: &str, opens: &str, role: &str) {
    let id = format!("{person} {opens} {role}");
    let fields = json!({ "opens": opens, "person": person, "role": role });
    let member = create(&id, fields).of("Member");
    store.elsewhere(&member);
    store.import(&[member.key()]);
}

fn push(store: &mut Store, user: &'static str, draft: Draft) -> PushAnswer {
    store.push(&by(user, "phone"), &[draft])
}

/// The answer in words, with the field of a rejection.
fn summary(answer: &PushAnswer) -> String {
    let outcome = &answer.as_ref().expect("it is answered").outcomes[0];
    let field = outcome.error.as_ref().and_then(|it| it.field.clone());
    let words = summaries(answer).remove(0);
    field.map_or(words.clone(), |field| format!("{words} {field}"))
}

#[track_caller]
fn expect(store: &mut Store, user: &'static str, draft: Draft, words: &str) {
    let answer = push(store, user, draft);
    assert_eq!(summary(&answer), words, "{answer:?}");
}

fn titled(title: &str) -> Json {
    json!({ "title": title })
}

#[test]
fn each_operation_is_for_the_roles_that_may_do_it() {
    let mut store = store("policy: CLIENT_WINS", "", "");
    for (user, may) in [("bea", "REJECTED FORBIDDEN"), ("ann", "APPLIED 1")] {
        expect(&mut store, user, create("a", titled("x")), may);
    }
    for (user, may) in [("ann", "REJECTED FORBIDDEN"), ("bea", "APPLIED 2")] {
        expect(&mut store, user, update("a", 1, titled("y")), may);
    }
    for (user, may) in [
        ("ann", "REJECTED FORBIDDEN"),
        ("bea", "REJECTED FORBIDDEN"),
        ("cat", "APPLIED 3"),
    ] {
        expect(&mut store, user, delete("a", 2), may);
    }
}

#[test]
fn a_create_that_meets_a_living_document_needs_update_whatever_the_policy() {
    for policy in [
        "SERVER_WINS",
        "CLIENT_WINS",
        "LAST_WRITE_WINS",
        "MERGE",
        "MANUAL",
    ] {
        let mut store = store(&format!("policy: {policy}"), "", "born: Int @immutable");
        let first = json!({ "title": "x", "born": 1 });
        expect(&mut store, "ann", create("a", first.clone()), "APPLIED 1");
        let over = || create("a", titled("y")).at(9_000_000);
        expect(&mut store, "ann", over(), "REJECTED FORBIDDEN");
        // The same create again has nothing to change.
        expect(&mut store, "ann", create("a", first), "APPLIED 1");
        let other = create("a", json!({ "title": "x", "born": 2 }));
        expect(&mut store, "cat", other, "REJECTED FORBIDDEN born");
        assert_eq!(store.conflicts().count(), 0, "{policy}");
    }
}

#[test]
fn an_immutable_field_is_set_at_creation_and_takes_its_own_value_after() {
    let mut store = store("policy: CLIENT_WINS", "", "born: Int @immutable");
    let born = |number: i32| json!({ "born": number, "title": "y" });
    expect(
        &mut store,
        "cat",
        create("a", json!({ "born": 1 })),
        "APPLIED 1",
    );
    expect(&mut store, "cat", update("a", 1, born(1)), "APPLIED 2");
    expect(
        &mut store,
        "cat",
        update("a", 2, born(2)),
        "REJECTED FORBIDDEN born",
    );
    let nulled = update("a", 2, json!({ "born": null }));
    expect(&mut store, "cat", nulled, "REJECTED FORBIDDEN born");
    // Who says that it saw the new value there would write it all the same.
    let seen = update("a", 2, born(2)).seeing(born(2));
    expect(&mut store, "cat", seen, "REJECTED FORBIDDEN born");
    expect(&mut store, "cat", delete("a", 2), "APPLIED 3");
    expect(&mut store, "cat", create("a", born(2)), "MERGED 4");
}

#[test]
fn the_owner_is_who_creates_and_has_the_rights_of_an_owner_alone() {
    let on_type = r#"@owner(by: "owner") @allow(role: OWNER, do: [UPDATE DELETE])"#;
    let mut store = store(
        "policy: CLIENT_WINS",
        on_type,
        r#"owner: ID! @default(value: "{sub}")"#,
    );
    store.teams("dan", &["1"]);
    let of_dan = create("a", json!({ "owner": "dan" }));
    expect(
        &mut store,
        "ann",
        of_dan.clone(),
        "REJECTED FORBIDDEN owner",
    );
    expect(&mut store, "cat", of_dan, "REJECTED FORBIDDEN owner");
    expect(&mut store, "ann", create("a", titled("x")), "APPLIED 1");
    expect(
        &mut store,
        "dan",
        update("a", 1, titled("y")),
        "REJECTED FORBIDDEN",
    );
    expect(&mut store, "ann", update("a", 1, titled("y")), "APPLIED 2");
    let given_away = update("a", 2, json!({ "owner": "dan" }));
    expect(&mut store, "ann", given_away, "REJECTED FORBIDDEN owner");
    expect(&mut store, "dan", delete("a", 2), "REJECTED FORBIDDEN");
    expect(&mut store, "ann", delete("a", 2), "APPLIED 3");
    // A late edit of the own deleted document is a conflict, as for everybody who might have made it before.
    expect(&mut store, "ann", update("a", 2, titled("z")), "CONFLICT 3");
    expect(
        &mut store,
        "dan",
        update("a", 2, titled("z")),
        "REJECTED FORBIDDEN",
    );
}

#[test]
fn a_field_for_some_roles_takes_its_default_from_all_others() {
    let fields = "approved: Boolean! @default(value: false) @access(write: [MANAGER])";
    let mut store = store("policy: MERGE", "", fields);
    let card = |approved: bool| json!({ "approved": approved });
    expect(
        &mut store,
        "ann",
        create("a", card(true)),
        "REJECTED FORBIDDEN approved",
    );
    expect(&mut store, "ann", create("a", card(false)), "APPLIED 1");
    expect(
        &mut store,
        "bea",
        update("a", 1, card(true)),
        "REJECTED FORBIDDEN approved",
    );
    expect(&mut store, "cat", update("a", 1, card(true)), "APPLIED 2");
    // A form sends every field. What the manager wrote meanwhile is not the member's to undo.
    let form = json!({ "approved": false, "title": "y" });
    let stale = update("a", 1, form).seeing(card(false));
    expect(&mut store, "bea", stale, "MERGED 3");
    let body = store.task("a").body.clone().expect("it is alive");
    assert_eq!(format!("{:?}", body["approved"]), "Bool(true)");
}

#[test]
fn a_move_needs_delete_where_it_leaves_and_create_where_it_enters() {
    let fields = "approved: Boolean @access(write: [MANAGER])";
    let mut store = store("policy: CLIENT_WINS", "", fields);
    let moved = |base: i32, to: &str| update("a", base, json!({ "audience": to }));
    expect(&mut store, "ann", create("a", titled("x")), "APPLIED 1");
    give(&mut store, "ann", "team:2", "MANAGER");
    give(&mut store, "cat", "team:2", "EDITOR");
    expect(&mut store, "ann", moved(1, "team:2"), "REJECTED FORBIDDEN");
    expect(&mut store, "cat", moved(1, "team:2"), "REJECTED FORBIDDEN");
    give(&mut store, "cat", "team:3", "MEMBER");
    give(&mut store, "bea", "team:1", "MEMBER");
    // DELETE and CREATE are enough for a move alone.
    expect(&mut store, "cat", moved(1, "team:3"), "APPLIED 2");
    // What nobody may write in a team does not enter it from where one may write everything.
    let own = create("b", json!({ "audience": "user:ann", "approved": true }));
    expect(&mut store, "ann", own, "APPLIED 1");
    let in_team = update("b", 1, json!({ "audience": "team:1" }));
    expect(&mut store, "ann", in_team, "REJECTED FORBIDDEN approved");
    let without = json!({ "audience": "team:1", "approved": null });
    expect(&mut store, "ann", update("b", 1, without), "APPLIED 2");
}

#[test]
fn only_named_roles_are_given_and_nobody_is_made_an_owner() {
    let owned = r#"owner: ID! @default(value: "{sub}")"#;
    let mut store = store("policy: CLIENT_WINS", r#"@owner(by: "owner")"#, owned);
    for role in ["OWNER", "BOSS", "", "manager"] {
        give(&mut store, "eve", "team:1", role);
        let scopes: Vec<_> = store.grants("eve").scopes().cloned().collect();
        assert_eq!(scopes.len(), 1, "{role:?} opens nothing: {scopes:?}");
    }
    // A claim says no more: the model does not name the role "ann".
    store.teams("ann", &["1"]);
    let grants = store.grants("ann");
    assert!(
        grants
            .scopes()
            .all(|scope| !scope.as_str().starts_with("room:"))
    );
}

#[test]
fn what_may_not_be_is_put_to_no_person_and_no_application() {
    for policy in ["policy: MANUAL", "policy: WEBHOOK, webhook: \"review\""] {
        let mut store = store(policy, "", "born: Int @immutable");
        let made = json!({ "title": "x", "born": 1 });
        expect(&mut store, "cat", create("a", made), "APPLIED 1");
        expect(&mut store, "cat", update("a", 1, titled("y")), "APPLIED 2");
        let stale = [
            ("ann", update("a", 1, titled("z")), "REJECTED FORBIDDEN"),
            ("ann", delete("a", 1), "REJECTED FORBIDDEN"),
            ("bea", delete("a", 1), "REJECTED FORBIDDEN"),
            (
                "bea",
                update("a", 1, json!({ "born": 2 })),
                "REJECTED FORBIDDEN born",
            ),
            ("ann", update("a", 9, titled("z")), "REJECTED FORBIDDEN"),
        ];
        for (user, draft, words) in stale {
            expect(&mut store, user, draft, words);
        }
        assert_eq!(store.conflicts().count(), 0);
    }
}

#[test]
fn a_conflict_is_resolved_with_the_rights_of_its_resolver() {
    let fields = "approved: Boolean @access(write: [MANAGER])";
    let mut store = store("policy: MANUAL", "", fields);
    expect(&mut store, "cat", create("a", titled("x")), "APPLIED 1");
    expect(&mut store, "cat", update("a", 1, titled("y")), "APPLIED 2");
    let mine = json!({ "title": "z", "approved": true });
    let answer = store.push(&by("cat", "laptop"), &[update("a", 1, mine)]);
    assert_eq!(summaries(&answer), ["CONFLICT 2"]);
    let conflict = store.conflict().clone();
    let listed = |store: &Store, user: &str| conflict.is_open_to(&store.model, &store.grants(user));
    assert!(!listed(&store, "ann"), "she may only create");
    assert!(listed(&store, "bea") && listed(&store, "cat"));
    let refused = store.resolve("ann", &conflict.id, 2, Resolution::Theirs);
    assert!(refused.is_err());
    let refused = store.resolve("bea", &conflict.id, 2, Resolution::Mine);
    assert_eq!(summary(&refused), "REJECTED FORBIDDEN approved");
    let refused = store.resolve("bea", &conflict.id, 2, Resolution::Delete);
    assert_eq!(summary(&refused), "REJECTED FORBIDDEN");
    let resolved = store.resolve("cat", &conflict.id, 2, Resolution::Mine);
    assert_eq!(summary(&resolved), "APPLIED 3");
}

#[test]
fn rights_are_those_that_the_changes_before_have_left() {
    let text = r#"
extend schema @grant(scope: "home:{sub}", access: WRITE)
type Note @collection(name: "notes") @scope(by: "room:{room}") @allow(role: WRITER, do: [CREATE]) { id: ID! room: ID! text: String }
type Seat @collection(name: "seats") @scope(by: "home:{giver}") @grants(scope: "room:{room}", to: "{person}", access: "{role}") {
  id: ID! giver: ID! room: ID! person: ID! role: ID!
}
"#;
    let mut store = Store::of(Model::parse("model.graphql", text).unwrap());
    let note = |id: &str| create(id, json!({ "room": "r" })).of("Note");
    let seat = json!({ "giver": "ann", "room": "r", "person": "ann", "role": "WRITER" });
    let less = json!({ "role": "READ" });
    let changes = [
        note("1"),
        create("s", seat).of("Seat"),
        note("2"),
        update("s", 0, less).of("Seat"),
        note("3"),
    ];
    let answer = store.push(&by("ann", "phone").from(1), &changes);
    let forbidden = "REJECTED FORBIDDEN";
    let expected = [forbidden, "APPLIED 1", "APPLIED 1", "APPLIED 2", forbidden];
    assert_eq!(summaries(&answer), expected);
}

#[test]
fn a_role_that_does_not_read_writes_into_a_scope_that_stays_unseen() {
    let text = r#"
extend schema
  @grant(scope: "meters", access: METER, read: false) @grant(scope: "meters:{teams}", access: READ)
  @allow(role: METER, do: [CREATE])
type Reading @collection(name: "readings") @scope(by: "meters") @conflict(policy: CLIENT_WINS) { id: ID! value: Int }
"#;
    let mut store = Store::of(Model::parse("model.graphql", text).unwrap());
    let reading = || create("1", json!({ "value": 1 })).of("Reading");
    let answer = store.push(&by("ann", "meter").from(1), &[reading()]);
    assert_eq!(summaries(&answer), ["APPLIED 1"]);
    assert_eq!(answer.unwrap().outcomes[0].document, None);
    assert_eq!(store.grants("ann").scopes().count(), 0);
    let later = [
        update("1", 1, json!({ "value": 2 })).of("Reading"),
        delete("1", 1).of("Reading"),
        reading(),
    ];
    let answer = store.push(&by("ann", "meter").from(2), &later);
    let unseen = ["NOT_FOUND", "NOT_FOUND", "ID_TAKEN"].map(|code| format!("REJECTED {code}"));
    assert_eq!(summaries(&answer), unseen);
    assert!(store.entry(&key("Reading", "1")).is_some());
}

#[test]
fn a_policy_that_the_client_chooses_gives_no_right() {
    let chosen = "policy: SERVER_WINS, clientMayChoose: [CLIENT_WINS, LAST_WRITE_WINS]";
    let mut store = store(chosen, "", "born: Int @immutable");
    let made = json!({ "title": "x", "born": 1 });
    expect(&mut store, "cat", create("a", made), "APPLIED 1");
    expect(&mut store, "cat", update("a", 1, titled("y")), "APPLIED 2");
    for policy in [Policy::ClientWins, Policy::LastWriteWins] {
        let changes = [
            update("a", 1, titled("z")).at(9_000_000),
            create("a", titled("z")).at(9_000_000),
            delete("a", 1).at(9_000_000),
        ];
        let answer = store.push(&by("ann", "laptop").under(policy), &changes);
        assert_eq!(summaries(&answer), ["REJECTED FORBIDDEN"; 3]);
        let born = update("a", 1, json!({ "born": 2 })).at(9_000_000);
        let answer = store.push(&by("cat", "laptop").under(policy), &[born]);
        assert_eq!(summary(&answer), "REJECTED FORBIDDEN born");
    }
}
