//! What a user makes of an order: its lists. Lines have keys, and parcels none.

use tidegate_core::value::{Document, Value};

use super::Hand;
use crate::people;

/// The lists stay short, so that edits meet.
const ITEMS_MAX: usize = 4;

/// A list of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Lines,
    Parcels,
}

impl List {
    const fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Parcels => "parcels",
        }
    }
}

impl Hand {
    /// The lists of a new order.
    pub(super) fn lists(&self) -> impl Iterator<Item = (String, Value)> {
        [List::Lines, List::Parcels].into_iter().map(|list| {
            let items = (0..2).map(|nth| Value::Object(self.item(list, nth)));
            (list.name().to_owned(), Value::List(items.collect()))
        })
    }

    /// A field of an order and its new value.
    pub(super) fn order_field(&self, view: &Document) -> (&'static str, Value) {
        if self.what % 8 == 1 {
            return ("audience", people::audience(self.user, self.value));
        }
        let list = match (self.what / 8).is_multiple_of(2) {
            true => List::Lines,
            false => List::Parcels,
        };
        let mut items = match view.get(list.name()) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        };
        self.edit(list, &mut items);
        (list.name(), Value::List(items))
    }

    fn edit(&self, list: List, items: &mut Vec<Value>) {
        let place = usize::from(self.value) % items.len().max(1);
        match self.what % 8 {
            _ if items.is_empty() => items.push(Value::Object(self.item(list, 0))),
            2 | 3 if items.len() < ITEMS_MAX => {
                items.insert(place, Value::Object(self.item(list, 0)));
            }
            2..=4 => drop(items.remove(place)),
            7 => {
                let item = items.remove(place);
                items.push(item);
            }
            _ => {
                if let Value::Object(item) = &mut items[place] {
                    self.change(list, item);
                }
            }
        }
    }

    /// The nth new item of an edit. Some parcels are equal.
    fn item(&self, list: List, nth: u32) -> Document {
        let number = Value::Int(10 * i32::try_from(self.number).unwrap_or_default());
        let mut item = match list {
            List::Lines => {
                let key = format!("{} of edit {}", nth + 1, self.number);
                let key = (people::LINE_KEY.to_owned(), Value::String(key));
                Document::from([key, ("quantity".to_owned(), number)])
            }
            List::Parcels if self.value.is_multiple_of(5) => {
                let weight = Value::Int(i32::from(self.value % 3));
                Document::from([("weight".to_owned(), weight)])
            }
            List::Parcels => Document::from([("weight".to_owned(), number)]),
        };
        self.fill(&mut item);
        item
    }

    /// Another service may change what users do not see, and nothing else.
    fn change(&self, list: List, item: &mut Document) {
        if !(self.fills && self.value.is_multiple_of(4)) {
            let mut changed = self.item(list, 0);
            changed.remove(people::LINE_KEY);
            item.extend(changed);
        }
        self.fill(item);
    }

    fn fill(&self, item: &mut Document) {
        if self.fills && self.value.is_multiple_of(2) {
            item.insert(people::UNNAMED.to_owned(), self.text());
        }
        if self.aims() {
            item.insert(people::ONLY_B.to_owned(), self.text());
        }
    }
}
