use super::*;

fn shape(fields: &str, place: &str) -> TypeShape {
    let text = format!(
        r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") {{ id: ID! {fields} place: Place places: [Place!] }}
type Place {{ {place} place: Place }}
"#
    );
    let model = Model::parse("model.graphql", &text).unwrap();
    TypeShape::of(&model, &model.types[0])
}

#[test]
fn what_a_change_of_a_rule_leaves_to_do_stays_until_it_is_done_whichever_model_leads() {
    let model = |types: &str| {
        let text = format!("extend schema @grant(scope: \"all\", access: WRITE)\n{types}");
        Model::parse("model.graphql", &text).unwrap()
    };
    let named = |names: &[&str]| -> BTreeSet<TypeName> {
        names
            .iter()
            .map(|name| TypeName::new(name).unwrap())
            .collect()
    };
    let types = |scope: &str, access: &str| {
        model(&format!(
            r#"
type Task @collection(name: "tasks") @scope(by: "{scope}") {{ id: ID! list: String! user: String! }}
type Seat @collection(name: "seats") @scope(by: "all") @grants(scope: "list:{{list}}", to: "{{user}}", access: "{access}") {{ id: ID! list: String! user: String! }}
"#
        ))
    };
    let (first, second) = (types("list:{list}", "READ"), types("user:{user}", "WRITE"));
    let one = ModelState::default().led_by(Generation(1), &first, None);
    assert_eq!((one.state.moving.len(), one.state.unstamped.len()), (0, 0));
    let two = one.state.led_by(Generation(2), &second, Some(&first));
    assert_eq!(two.state.moving, named(&["Seat", "Task"]));
    assert_eq!(two.state.unstamped, named(&["Seat"]), "a move may wait");
    let without = model(
        "type Note @collection(name: \"notes\") @scope(by: \"all\") { id: ID! text: String }",
    );
    let three = two.state.led_by(Generation(3), &without, Some(&second));
    let back = three.state.led_by(Generation(2), &second, Some(&without));
    assert_eq!(
        back.state.moving, two.state.moving,
        "nothing of it was done"
    );
    assert_eq!(back.state.unstamped, two.state.unstamped);
    let mut record = ModelRecord {
        state: Arc::new(back.state),
        ..ModelRecord::default()
    };
    record.stamped(Term(3), &named(&["Seat"]));
    assert_eq!(
        record.state.unstamped,
        named(&["Seat"]),
        "another term has begun"
    );
    record.stamped(Term(4), &named(&["Seat"]));
    assert_eq!(record.state.unstamped, named(&[]));
}

#[test]
fn another_index_scans_nothing() {
    let model = |indexes: &str| {
        let text = format!(
            "extend schema @grant(scope: \"all\", access: WRITE)
             type Task @collection(name: \"tasks\") @scope(by: \"all\") {indexes} {{ id: ID! list: String due: DateTime }}"
        );
        Model::parse("model.graphql", &text).unwrap()
    };
    let (with, without) = (model("@index(fields: [\"list\", \"due\"])"), model(""));
    let one = ModelState::default().led_by(Generation(1), &with, None);
    assert_eq!(one.scans.len(), 1, "a store that nothing has read before");
    for (next, before) in [(&without, &with), (&with, &without)] {
        let two = one.state.led_by(Generation(2), next, Some(before));
        assert_eq!((two.scans.len(), two.state.moving.len()), (0, 0));
        assert_eq!(two.state.shapes, one.state.shapes);
    }
}

#[test]
fn no_two_types_have_one_number_when_models_register_and_lead_at_the_same_time() {
    let text = |types: &[&str]| {
        let types = types.iter().map(|name| {
            let collection = format!("{}s", name.to_lowercase());
            format!(
                "type {name} @collection(name: \"{collection}\") @scope(by: \"all\") {{ id: ID! text: String }}\n"
            )
        });
        let types: String = types.collect();
        format!("extend schema @grant(scope: \"all\", access: WRITE)\n{types}")
    };
    let (tasks, tags) = (text(&["Task"]), text(&["Tag", "Task"]));
    let model = |text: &str| Model::parse("model.graphql", text).unwrap();
    let mut record = ModelRecord::default();
    let first = record.register(&tasks, None);
    let change = record.state.led_by(first, &model(&tasks), None);
    assert!(record.take_lead(&change));
    let notes = text(&["Note", "Task"]);
    let change = record.state.led_by(Generation(2), &model(&notes), None);
    // It never leads, and its gateway may issue checkpoints.
    record.register(&tags, None);
    let numbered = |record: &ModelRecord| -> Vec<(String, u32)> {
        let numbers = record.state.numbers.iter();
        numbers
            .map(|(name, number)| (name.to_string(), number.0))
            .collect()
    };
    let of = |name: &str, number| (name.to_owned(), number);
    assert_eq!(numbered(&record), [of("Tag", 2), of("Task", 1)]);
    assert!(record.take_lead(&change));
    assert_eq!(
        numbered(&record),
        [of("Note", 3), of("Tag", 2), of("Task", 1)]
    );
}

#[test]
fn shapes_agree_unless_one_stores_a_field_of_the_other_elsewhere() {
    let due = shape("due: Int", "city: Int");
    for (fields, place, agrees) in [
        ("due: Int other: Int", "city: Int zip: Int", true),
        ("other: Int", "zip: Int", true),
        ("deadline: Int @renamed(from: \"due\")", "city: Int", true),
        ("due: Int @stored(as: \"due_at\")", "city: Int", false),
        ("due: Int", "city: Int @stored(as: \"town\")", false),
        (
            "deadline: Int @stored(as: \"due_at\") @renamed(from: \"due\", stored: \"due\")",
            "city: Int",
            false,
        ),
        (
            "due: Int",
            "town: Int @renamed(from: \"city\", stored: \"city\") @stored(as: \"town\")",
            false,
        ),
    ] {
        let other = shape(fields, place);
        assert_eq!(due.agrees(&other), agrees, "{fields} {place}");
        assert_eq!(other.agrees(&due), agrees, "{fields} {place}");
        assert!(other.agrees(&other));
    }
}
