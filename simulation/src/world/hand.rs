//! What a user makes of a document, chosen by small numbers.

use tidegate_core::{
    change::{Action, BaseVersion},
    id::DocumentKey,
    value::{Document, Value},
};

use crate::people::{self, Edition};

/// A user about to edit.
pub(super) struct Hand {
    pub(super) number: u32,
    pub(super) user: &'static str,
    /// The model that it knows, if there are two.
    pub(super) knows: Option<Edition>,
    /// Whether it writes a mood that B cannot read.
    pub(super) makes_cold: bool,
    pub(super) what: u8,
    pub(super) value: u8,
}

impl Hand {
    pub(super) fn acts(
        &self,
        key: &DocumentKey,
        view: Option<&Document>,
        base: BaseVersion,
    ) -> Action {
        let Some(view) = view else {
            let document = self.created(key);
            return Action::Create {
                document,
                base: None,
            };
        };
        if self.what.is_multiple_of(8) {
            return Action::Delete { base };
        }
        let set = self.set(key, view);
        // A difference must name the value that it is based on.
        let differs = |name: &String| matches!(name.as_str(), "count" | "tags" | "notes");
        let shows = !self.value.is_multiple_of(4) || set.keys().any(differs);
        let seen = |name: &String| (name.clone(), view.get(name).cloned().unwrap_or(Value::Null));
        let seen = shows.then(|| set.keys().map(seen).collect());
        Action::Update { base, set, seen }
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
        self.aim(key, &mut document);
        document
    }

    fn set(&self, key: &DocumentKey, view: &Document) -> Document {
        let (small, null) = (i32::from(self.value % 3), Value::Null);
        let task = key.type_name.as_str() == "Task";
        let (name, value) = match self.what % 16 {
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
            9 | 10 => ("count", Value::Int(number(view, "count") + small - 1)),
            11 | 12 => ("tags", self.tags(view)),
            13 => ("notes", self.notes(view)),
            14 if small == 0 => ("least", Value::Int(i32::from(self.value % 5))),
            14 => ("best", Value::Int(small)),
            15 => {
                let name = ["latest", "ours", "yours"][usize::from(self.value % 3)];
                (name, self.text())
            }
            _ => ("place", self.place(small)),
        };
        let mut set = Document::from([(name.to_owned(), value)]);
        if task && self.value > 200 {
            set.insert("stars".to_owned(), Value::Int(small));
        }
        self.aim(key, &mut set);
        set
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

    fn tags(&self, view: &Document) -> Value {
        let mut tags = match view.get("tags") {
            Some(Value::List(tags)) => tags.clone(),
            _ => Vec::new(),
        };
        if self.value.is_multiple_of(3) && !tags.is_empty() {
            tags.remove(0);
        } else {
            tags.push(self.text());
        }
        Value::List(tags)
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

fn number(view: &Document, name: &str) -> i32 {
    match view.get(name) {
        Some(Value::Int(number)) => *number,
        _ => 0,
    }
}
