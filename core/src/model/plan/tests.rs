use super::*;
use crate::{
    generation::TypeShape,
    value::{Document, Value},
};

const BEFORE: &str = r#"
extend schema @grant(scope: "team:{teams}", access: WRITE) @grant(scope: "public", access: READ)
type Task @collection(name: "tasks") @scope(by: "team:{team}") {
  id: ID!
  team: String!
  other: String! @default(value: "x")
  title: String
  size: Int
  whole: Long
  note: String @stored(as: "n")
  moved: String @stored(as: "new") @renamed(stored: "old")
  done: Boolean! @default(value: false)
  state: State
  lines: [Line!]
  counts: [Int!]
  gone: String @retired
  due: DateTime
  link: Member @reference(by: "title")
}
type Member @collection(name: "members") @scope(by: "public") @grants(scope: "team:{team}", to: "{user}", access: "READ") {
  id: ID! team: String! user: String!
}
type Line { price: Int code: String! inner: Inner }
type Inner { deep: String }
enum State { open done old @retired }
type Badge @collection(name: "badges", idType: UUID) @scope(by: "public") { id: ID! name: String }
"#;

/// The plan after one replacement in the model above.
fn plan(from: &str, to: &str) -> ModelPlan {
    assert!(BEFORE.contains(from), "{from}");
    let model = |text: &str| Model::parse("model.graphql", text).unwrap();
    ModelPlan::between(&model(BEFORE), &model(&BEFORE.replacen(from, to, 1)))
}

/// Each difference as text, and its class.
fn rows(from: &str, to: &str) -> Vec<String> {
    let changes = plan(from, to).changes.into_iter();
    let row = |change: ModelChange| {
        let warned = change.difference.warning().map_or("", |_| ", warned");
        format!("{change} [{:?}{warned}]", change.difference.class())
    };
    changes.map(row).collect()
}

#[test]
fn a_model_differs_from_itself_in_nothing() {
    assert_eq!(plan("", ""), ModelPlan::default());
}

/// One row for each change: what is written instead of what, and what the plan says.
#[test]
fn each_change_of_a_model_has_a_class() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "type Line {",
            "type Tag @collection(name: \"tags\") @scope(by: \"public\") { id: ID! text: String }\ntype Line {",
            &["Tag: is new [InStep]"],
        ),
        (
            "type Task @collection(name: \"tasks\")",
            "type Task @collection(name: \"jobs\")",
            &[
                "Task: is in the collection jobs, was in tasks [RefusedOn(MissingDocuments)]",
                "Task: other names of its root fields [Served, warned]",
            ],
        ),
        (
            "name: \"tasks\"",
            "name: \"tasks\", idType: INT",
            &["Task: has the idType INT, had STRING [RefusedOn(MissingDocuments)]"],
        ),
        (
            "@scope(by: \"team:{team}\")",
            "@scope(by: \"team:{other}\")",
            &["Task: has another `@scope` [InStep]"],
        ),
        (
            "access: \"READ\")",
            "access: \"WRITE\")",
            &["Member: has another `@grants` [StampedFirst]"],
        ),
        (
            "@scope(by: \"team:{team}\")",
            "@scope(by: \"team:{team}\") @conflict(policy: CLIENT_WINS)",
            &["Task: has another `@conflict` [Served]"],
        ),
        (
            " @grant(scope: \"public\", access: READ)",
            " @grant(scope: \"public\", access: WRITE)",
            &["@grant: other rules of what claims open [Served]"],
        ),
        (
            "type Task @collection(name: \"tasks\")",
            "type Task @retired @collection(name: \"tasks\")",
            &["Task: is retired [Served]"],
        ),
        (
            "name: \"tasks\")",
            "name: \"tasks\", plural: \"everything\")",
            &["Task: other names of its root fields [Served, warned]"],
        ),
        (
            "@reference(by: \"title\")",
            "@reference(by: \"note\")",
            &["Task: has other references [Served]"],
        ),
        (
            "  link: Member @reference(by: \"title\")\n",
            "",
            &["Task: has other references [Served, warned]"],
        ),
        (
            "@scope(by: \"team:{team}\")",
            "@scope(by: \"team:{team}\") @index(fields: [\"done\", \"due\"])",
            &["Task: has other indexes [Served]"],
        ),
        (
            "note: String @stored(as: \"n\")",
            "note: String @stored(as: \"n\") @bson(type: OBJECT_ID)",
            &[
                "Task.note: is stored as OBJECT_ID, was STRING [InStep]",
                "Task.note: has another `@constraint` [Served]",
            ],
        ),
        (
            "note: String @stored(as: \"n\")",
            "note: Date @stored(as: \"n\")",
            &[
                "Task.note: is Date, was String [RefusedOn(Misfits)]",
                "Task.note: is stored as DATE, was STRING [InStep]",
            ],
        ),
        (
            "link: Member @reference",
            "link: Badge @reference",
            &[
                "Task: has other references [Served]",
                "Task.title: is stored as UUID, was STRING [InStep]",
            ],
        ),
        (
            "name: \"tasks\"",
            "name: \"tasks\", misfits: NULL_FIELD",
            &["Task: shows optional fields that do not fit as null [InStep]"],
        ),
        (
            "  due:",
            "  extra: Int\n  due:",
            &["Task.extra: is new [InStep]"],
        ),
        (
            "  due:",
            "  extra: Int! @default(value: 1)\n  due:",
            &["Task.extra: is new [InStep]"],
        ),
        (
            "  due:",
            "  extra: Int!\n  due:",
            &["Task.extra: is new and required, without a default [RefusedOn(Misfits)]"],
        ),
        (
            "  due: DateTime\n",
            "",
            &["Task.due: is gone, and was not retired [Served, warned]"],
        ),
        (
            "  gone: String @retired\n",
            "",
            &["Task.gone: is gone [Served]"],
        ),
        (
            "gone: String @retired",
            "gone: String",
            &["Task.gone: is no longer retired [Served]"],
        ),
        (
            "size: Int",
            "size: Int @retired",
            &["Task.size: is retired [Served]"],
        ),
        (
            "size: Int",
            "extent: Int @renamed(from: \"size\")",
            &["Task.extent: was called size [Served]"],
        ),
        (
            "size: Int",
            "extent: Int @stored(as: \"size\")",
            &["Task.extent: was called size [Served, warned]"],
        ),
        (
            "@stored(as: \"n\")",
            "@stored(as: \"m\")",
            &["Task.note: is stored as \"m\", was stored as \"n\" [RefusedOn(HiddenValues)]"],
        ),
        (
            "@stored(as: \"n\")",
            "@stored(as: \"m\") @renamed(stored: \"n\")",
            &["Task.note: is stored as \"m\", was stored as \"n\" [InStep]"],
        ),
        (
            " @renamed(stored: \"old\")",
            "",
            &[
                "Task.moved: is no longer read where it is stored as \"old\" [RefusedOn(HiddenValues)]",
            ],
        ),
        (
            "size: Int",
            "size: Long",
            &["Task.size: is Long, was Int [InStep, warned]"],
        ),
        (
            "size: Int",
            "size: Float",
            &["Task.size: is Float, was Int [InStep]"],
        ),
        (
            "size: Int",
            "size: ID",
            &["Task.size: is ID, was Int [InStep, warned]"],
        ),
        (
            "whole: Long",
            "whole: ID",
            &["Task.whole: is ID, was Long [InStep]"],
        ),
        (
            "title: String",
            "title: ID",
            &["Task.title: is ID, was String [InStep]"],
        ),
        (
            "state: State",
            "state: String",
            &["Task.state: is String, was State [InStep]"],
        ),
        (
            "counts: [Int!]",
            "counts: [Long!]",
            &["Task.counts: is [Long!], was [Int!] [InStep, warned]"],
        ),
        (
            "counts: [Int!]",
            "counts: [Int]",
            &["Task.counts: is [Int], was [Int!] [InStep]"],
        ),
        (
            "price: Int",
            "price: Long",
            &["Line.price: is Long, was Int [InStep, warned]"],
        ),
        (
            "whole: Long",
            "whole: Float",
            &["Task.whole: is Float, was Long [RefusedOn(Misfits)]"],
        ),
        (
            "whole: Long",
            "whole: Int",
            &["Task.whole: is Int, was Long [RefusedOn(Misfits)]"],
        ),
        (
            "due: DateTime",
            "due: String",
            &["Task.due: is String, was DateTime [RefusedOn(Misfits)]"],
        ),
        (
            "counts: [Int!]",
            "counts: Int",
            &["Task.counts: is Int, was [Int!] [RefusedOn(Misfits)]"],
        ),
        (
            "deep: String",
            "deep: Boolean",
            &["Inner.deep: is Boolean, was String [RefusedOn(Misfits)]"],
        ),
        (
            "title: String",
            "title: String!",
            &["Task.title: is required [RefusedOn(Misfits)]"],
        ),
        (
            "title: String",
            "title: String! @default(value: \"?\")",
            &["Task.title: is required [InStep]"],
        ),
        (
            "code: String!",
            "code: String",
            &["Line.code: is no longer required [InStep]"],
        ),
        (
            "done: Boolean! @default(value: false)",
            "done: Boolean!",
            &["Task.done: is required, and has no default any more [RefusedOn(Misfits)]"],
        ),
        (
            "@default(value: false)",
            "@default(value: true)",
            &["Task.done: has another default [Served]"],
        ),
        (
            "title: String",
            "title: String @constraint(maxLength: 5)",
            &["Task.title: has another `@constraint` [Served]"],
        ),
        (
            "size: Int",
            "size: Int @merge(with: COUNTER)",
            &["Task.size: has another `@merge` [Served]"],
        ),
        (
            "due: DateTime",
            "due: DateTime @readOnly",
            &["Task.due: `@readOnly` is new [Served, warned]"],
        ),
        (
            "due: DateTime",
            "due: DateTime @server(value: UPDATED_AT)",
            &["Task.due: is `@server(value: UPDATED_AT)` [Served, warned]"],
        ),
        (
            "enum State { open",
            "enum State { open late",
            &["State.late: is new [InStep]"],
        ),
        (
            "enum State { open done",
            "enum State { open",
            &["State.done: is gone, and was not retired [RefusedOn(Misfits), warned]"],
        ),
        (
            " old @retired",
            "",
            &["State.old: is gone [RefusedOn(Misfits)]"],
        ),
        (
            "open done",
            "open @retired done",
            &["State.open: is retired [Served]"],
        ),
        (
            "price: Int code: String!",
            "price: Int code: String! @stored(as: \"c\")",
            &["Line.code: is stored as \"c\", was stored as \"code\" [RefusedOn(HiddenValues)]"],
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(rows(from, to), *expected, "{from} => {to}");
    }
}

fn without_members() -> String {
    let end = BEFORE.find("type Line").unwrap();
    let begin = BEFORE.find("type Member").unwrap();
    let mut text = BEFORE.replace("  link: Member @reference(by: \"title\")\n", "");
    let removed = "  link: Member @reference(by: \"title\")\n".len();
    text.replace_range(begin - removed..end - removed, "");
    text
}

#[test]
fn a_type_that_gives_access_is_not_removed_while_it_does() {
    let old = Model::parse("model.graphql", BEFORE).unwrap();
    let new = Model::parse("model.graphql", &without_members()).unwrap();
    let plan = ModelPlan::between(&old, &new);
    let removed = plan.changes.last().unwrap();
    assert_eq!(removed.subject, "Member");
    assert_eq!(
        removed.difference.class(),
        Class::RefusedOn(Obstacle::Memberships)
    );
    assert_eq!(
        removed.difference.hint(),
        "deploy it once without its `@grants`, and then remove it"
    );
}

#[test]
fn a_type_under_another_name_is_not_taken_for_a_new_one() {
    let plan = plan("type Task @", "type Todo @");
    let rows: Vec<_> = plan.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        rows,
        ["Todo: is new", "Task: is gone, and Todo has its collection"]
    );
    let replaced = &plan.changes[1].difference;
    assert_eq!(replaced.class(), Class::RefusedOn(Obstacle::Documents));
    assert!(
        replaced
            .hint()
            .contains("`@renamed(from: \"Task\")` on Todo")
    );
}

#[test]
fn a_type_that_is_renamed_keeps_its_documents() {
    let called = |name: &str, renamed: &str| {
        let text = BEFORE.replace("type Member", &format!("type {name} {renamed}"));
        let text = text.replace("link: Member", &format!("link: {name}"));
        Model::parse("model.graphql", &text).unwrap()
    };
    let member = || called("Member", "");
    let person = || called("Person", "@renamed(from: \"Member\")");
    let user = || called("User", "@renamed(from: \"Person\", stored: \"Member\")");
    for (old, new, expected) in [
        (member(), person(), &["Person: was called Member"][..]),
        (person(), user(), &["User: was called Person"]),
        (
            user(),
            person(),
            &[
                "Person: was called User [warned]",
                "Person: other names of its root fields [warned]",
            ],
        ),
        (
            person(),
            called("Person", "@renamed(stored: \"Member\")"),
            &[],
        ),
        (
            person(),
            called("Member", "@renamed(from: \"Person\", stored: \"Member\")"),
            &["Member: was called Person"],
        ),
        (
            member(),
            called("Person", "@renamed(stored: \"Member\")"),
            &[
                "Person: was called Member [warned]",
                "Person: other names of its root fields [warned]",
            ],
        ),
    ] {
        let plan = ModelPlan::between(&old, &new);
        let rows: Vec<_> = plan
            .changes
            .iter()
            .map(|change| {
                assert_eq!(change.difference.class(), Class::Served);
                let warned = change.difference.warning().map_or("", |_| " [warned]");
                format!("{change}{warned}")
            })
            .collect();
        assert_eq!(rows, expected);
    }
    let replaced = ModelPlan::between(&person(), &called("Other", ""));
    let hint = replaced.changes.last().unwrap().difference.hint();
    assert!(
        hint.contains("`@renamed(from: \"Person\", stored: \"Member\")` on Other"),
        "{hint}"
    );
}

/// The name of an embedded type or an enum is in no document.
#[test]
fn embedded_types_and_enums_may_have_other_names() {
    for (name, other) in [("Line", "Row"), ("Inner", "Within"), ("State", "Status")] {
        let text = BEFORE.replace(name, other);
        let model = |text: &str| Model::parse("model.graphql", text).unwrap();
        let plan = ModelPlan::between(&model(BEFORE), &model(&text));
        assert_eq!(plan, ModelPlan::default(), "{name}");
    }
}

#[test]
fn a_field_may_take_the_name_of_one_that_was_renamed() {
    let expected = [
        "Task.extent: was called size [Served, warned]",
        "Task.size: is new [InStep]",
    ];
    let to = "extent: Int @stored(as: \"size\")\n  size: String @stored(as: \"size2\")";
    assert_eq!(rows("size: Int", to), expected);
}

#[test]
fn types_that_move_or_give_other_access_are_named() {
    let moving = |from, to| {
        let names = plan(from, to).moving();
        names
            .into_iter()
            .map(|name| name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(moving("team:{team}\") {", "team:{other}\") {"), ["Task"]);
    assert_eq!(
        moving("access: \"READ\")", "access: \"WRITE\")"),
        ["Member"]
    );
    assert!(moving("size: Int", "size: Long").is_empty());
}

fn object(fields: &[(&str, Value)]) -> Document {
    let fields = fields.iter();
    fields
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

/// Whether a task is shown with fewer values after a change of the model.
fn hides(from: &str, to: &str, task: &Document) -> bool {
    let plan = plan(from, to);
    let new = Model::parse("model.graphql", &BEFORE.replacen(from, to, 1)).unwrap();
    let name = TypeName::new("Task").unwrap();
    plan.renames
        .iter()
        .any(|rename| rename.hides(&new, &name, task))
}

#[test]
fn a_value_under_a_name_that_is_no_longer_read_is_hidden() {
    let text = || Value::String("x".to_owned());
    let (renamed, to) = ("@stored(as: \"n\")", "@stored(as: \"m\")");
    assert!(hides(renamed, to, &object(&[("n", text())])));
    assert!(!hides(renamed, to, &object(&[("n", Value::Null)])));
    assert!(!hides(renamed, to, &object(&[("title", text())])));
    assert!(!hides(
        renamed,
        to,
        &object(&[("n", text()), ("m", text())])
    ));
    let declared = "@stored(as: \"m\") @renamed(stored: \"n\")";
    assert!(!hides(renamed, declared, &object(&[("n", text())])));
    let forgotten = " @renamed(stored: \"old\")";
    assert!(hides(forgotten, "", &object(&[("old", text())])));
    assert!(!hides(forgotten, "", &object(&[("new", text())])));
}

#[test]
fn a_hidden_value_is_found_in_embedded_documents() {
    let text = || Value::String("x".to_owned());
    let (deep, to) = ("deep: String", "deep: String @stored(as: \"d\")");
    let task = |inner: Document| {
        let line = object(&[("code", text()), ("inner", Value::Object(inner))]);
        object(&[("lines", Value::List(vec![Value::Object(line)]))])
    };
    assert!(hides(deep, to, &task(object(&[("deep", text())]))));
    assert!(!hides(deep, to, &task(object(&[("d", text())]))));
}

#[test]
fn a_name_of_the_lead_that_a_model_does_not_read_hides_a_value_from_it() {
    let own = Model::parse("model.graphql", BEFORE).unwrap();
    let name = TypeName::new("Task").unwrap();
    let of = own.stored_type(&name).unwrap();
    let hides = |from: &str, to: &str, task: &Document| {
        let lead = Model::parse("model.graphql", &BEFORE.replacen(from, to, 1)).unwrap();
        let in_force = TypeShape::of(&lead, lead.stored_type(&name).unwrap());
        let mut unread = StoredRename::unread(&own, of, &in_force).into_iter();
        unread.any(|rename| rename.hides(&own, &name, task))
    };
    let text = || Value::String("x".to_owned());
    let (before, after) = (object(&[("n", text())]), object(&[("m", text())]));
    let (from, to) = (
        "@stored(as: \"n\")",
        "@stored(as: \"m\") @renamed(stored: \"n\")",
    );
    assert!(hides(from, to, &after));
    assert!(!hides(from, to, &before));
    assert!(!hides(from, from, &after));
    // Under another name in the API too, and inside an embedded document.
    let (from, to) = (
        "size: Int",
        "extent: Int @renamed(from: \"size\", stored: \"size\")",
    );
    assert!(hides(from, to, &object(&[("extent", Value::Int(1))])));
    let (from, to) = (
        "deep: String",
        "deep: String @stored(as: \"d\") @renamed(stored: \"deep\")",
    );
    let inner = |name: &str| Value::Object(object(&[(name, text())]));
    let line = |name: &str| Value::Object(object(&[("code", text()), ("inner", inner(name))]));
    let task = |name: &str| object(&[("lines", Value::List(vec![line(name)]))]);
    assert!(hides(from, to, &task("d")));
    assert!(!hides(from, to, &task("deep")));
}
