//! What a user makes of a document, chosen by small numbers.

mod claims;
mod orders;

use std::collections::BTreeMap;

use tidegate_core::{
    change::{Action, BaseVersion},
    id::DocumentKey,
    value::{Document, Value},
};

use tidegate_testkit::client::{self, Act, Intent};

use crate::people::{self, Edition};

/// A user about to edit.
pub(super) struct Hand {
    pub(super) number: u32,
    pub(super) user: &'static str,
    /// The model that it knows, if there are two.
    pub(super) knows: Option<Edition>,
    /// Whether it writes a mood that B cannot read.
    pub(super) makes_cold: bool,
    /// Whether it puts into items of lists what no model names.
    pub(super) fills: bool,
    pub(super) what: u8,
    pub(super) value: u8,
}

impl Hand {
    /// The act as an action, for a client that keeps no view.
    pub(super) fn acts(
        &self,
        key: &DocumentKey,
        view: Option<&Document>,
        base: BaseVersion,
    ) -> Action {
        let act = self.act(key, view);
        client::action(&act, view, base, self.shows(&act)).expect("the act suits the view")
    }

    pub(super) fn act(&self, key: &DocumentKey, view: Option<&Document>) -> Act {
        match view {
            None => Act::Create(self.created(key)),
            Some(_) if self.what.is_multiple_of(8) => Act::Delete,
            Some(view) => Act::Update(self.intents(key, view)),
        }
    }

    /// Whether an update says what it was made on. A difference must.
    pub(super) fn shows(&self, act: &Act) -> bool {
        let Act::Update(intents) = act else {
            return false;
        };
        let differs = |name: &String| matches!(name.as_str(), "count" | "tags" | "notes" | "lines");
        !self.value.is_multiple_of(4) || intents.keys().any(differs)
    }

    fn created(&self, key: &DocumentKey) -> Document {
        let mut document = Document::from([
            (
                "audience".to_owned(),
                people::audience(self.user, self.value),
            ),
            ("title".to_owned(), self.text()),
        ]);
        if key.type_name.as_str() == "Task" && self.what.is_multiple_of(2) {
            document.insert("done".to_owned(), Value::Bool(false));
            document.insert("tags".to_owned(), Value::List(vec![self.text()]));
        }
        if key.type_name.as_str() == "Card" {
            let keeper = people::audience(self.user, self.value / 4);
            document.insert("keeper".to_owned(), keeper);
        }
        if people::is_order(key) && self.is_claim() {
            document.extend(self.claims());
        } else if people::is_order(key) {
            document.extend(self.lists());
        }
        self.aim(key, &mut document);
        document
    }

    fn intents(&self, key: &DocumentKey, view: &Document) -> BTreeMap<String, Intent> {
        let task = key.type_name.as_str() == "Task";
        let small = i32::from(self.value % 3);
        let (name, intent) = match self.what % 16 {
            9 | 10 if task => ("count", Intent::Increment(small - 1)),
            11 | 12 if task => ("tags", self.tags(view)),
            _ => {
                let (name, value) = self.field(key, view);
                (name, Intent::Set(value))
            }
        };
        let mut others = Document::new();
        if task && self.value > 200 {
            others.insert("stars".to_owned(), Value::Int(small));
        }
        self.aim(key, &mut others);
        let others = others.into_iter();
        let mut intents: BTreeMap<String, Intent> = others
            .map(|(name, value)| (name, Intent::Set(value)))
            .collect();
        intents.insert(name.to_owned(), intent);
        intents
    }

    /// A field and its new value.
    fn field(&self, key: &DocumentKey, view: &Document) -> (&'static str, Value) {
        let (small, null) = (i32::from(self.value % 3), Value::Null);
        let task = key.type_name.as_str() == "Task";
        if people::is_order(key) && self.is_claim() {
            return self.claim();
        }
        if people::is_order(key) {
            return self.order_field(view);
        }
        match self.what % 16 {
            1 | 2 => ("audience", people::audience(self.user, self.value)),
            3 | 4 => ("title", self.text()),
            5 => (
                "title",
                if small == 0 {
                    null
                } else {
                    Value::String(String::new())
                },
            ),
            6 | 7 => (
                "done",
                if small == 2 {
                    null
                } else {
                    Value::Bool(small == 0)
                },
            ),
            9..=12 if key.type_name.as_str() == "Card" => {
                ("keeper", people::audience(self.user, self.value))
            }
            9..=14 if key.type_name.as_str() == "Note" && self.knows.is_some() => {
                ("mood", self.mood())
            }
            _ if !task => ("title", self.text()),
            13 => ("notes", self.notes(view)),
            14 if small == 0 => ("least", Value::Int(i32::from(self.value % 5))),
            14 => ("best", Value::Int(small)),
            15 => {
                let name = ["latest", "ours", "yours"][usize::from(self.value % 3)];
                (name, self.text())
            }
            _ => ("place", self.place(small)),
        }
    }

    /// Who knows B gives some tasks and notes an aim.
    fn aim(&self, key: &DocumentKey, fields: &mut Document) {
        let is_aimed = matches!(key.type_name.as_str(), "Task" | "Note");
        if is_aimed && self.aims() {
            fields.insert(people::ONLY_B.to_owned(), self.text());
        }
    }

    fn aims(&self) -> bool {
        self.knows == Some(Edition::B) && self.value.is_multiple_of(3)
    }

    fn mood(&self) -> Value {
        let mood = match self.value % 4 {
            0 => "CALM",
            1 => "KEEN",
            _ if self.makes_cold => people::COLD,
            _ if self.knows == Some(Edition::B) => people::WARM,
            _ => "CALM",
        };
        Value::String(mood.to_owned())
    }

    fn text(&self) -> Value {
        Value::String(format!("edit {}", self.number))
    }

    fn place(&self, floor: i32) -> Value {
        let floor = if floor == 0 {
            Value::Null
        } else {
            Value::Int(floor - 1)
        };
        let mut place = Document::from([
            ("name".to_owned(), self.text()),
            ("floor".to_owned(), floor),
        ]);
        if self.aims() {
            place.insert(people::ONLY_B.to_owned(), self.text());
        }
        Value::Object(place)
    }

    fn tags(&self, view: &Document) -> Intent {
        match view.get("tags") {
            Some(Value::List(tags)) if self.value.is_multiple_of(3) && !tags.is_empty() => {
                Intent::Remove(vec![tags[0].clone()])
            }
            _ => Intent::Add(vec![self.text()]),
        }
    }

    fn notes(&self, view: &Document) -> Value {
        let text = view
            .get("notes")
            .and_then(Value::as_str)
            .unwrap_or("one two three");
        let words: Vec<&str> = text.split(' ').collect();
        let changed = usize::from(self.value) % words.len();
        let word = self.number.to_string();
        let words = words
            .iter()
            .enumerate()
            .map(|(i, old)| if i == changed { &word } else { *old });
        Value::String(words.collect::<Vec<_>>().join(" "))
    }
}
