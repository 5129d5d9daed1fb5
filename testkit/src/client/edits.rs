//! Edits on the view: rules 1.9 and 1.10, and what 4.5 says of their bases.

use std::collections::BTreeMap;

use tidegate_core::{
    change::{Action, BaseVersion, Change},
    id::DocumentKey,
    model::Policy,
    value::{Document, Timestamp, Value},
};

use super::{
    Client, Edit, Fate, Lingering, Slip,
    view::{items, of_same_type, whole},
};

/// What an application asks for.
#[derive(Debug, Clone)]
pub struct Draft {
    pub number: u32,
    pub key: DocumentKey,
    pub act: Act,
    pub changed_at: Option<Timestamp>,
    pub policy: Option<Policy>,
    pub transaction: Option<u32>,
    /// Whether an update carries `base`. A text that is too large to send twice goes without.
    pub with_base: bool,
}

#[derive(Debug, Clone)]
pub enum Act {
    Create(Document),
    Update(BTreeMap<String, Intent>),
    Delete,
}

/// What an update does to a field.
#[derive(Debug, Clone)]
pub enum Intent {
    Set(Value),
    Increment(i32),
    Add(Vec<Value>),
    Remove(Vec<Value>),
}

/// Where an edit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    Queued,
    Folded { into: u32 },
}

/// Why an edit is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotMade {
    /// A create of a document that is in view.
    Exists,
    /// An update or a delete of one that is not.
    Gone,
    /// An intent that its field cannot follow.
    Invalid,
}

impl Client {
    /// Makes an edit on the view.
    ///
    /// # Errors
    /// [`NotMade`], and nothing is kept.
    pub fn edit(&mut self, draft: Draft) -> Result<Made, NotMade> {
        let view = self.view(&draft.key);
        let base = self.base(&draft.key);
        let mut action = action(&draft.act, view.as_ref(), base, draft.with_base)?;
        if self.slips(Slip::BaseOfHeld)
            && let Action::Update { seen, .. } = &mut action
            && let Some(held) = self.held.get(&draft.key)
        {
            let of_held = |name: &String| held.body.get(name).cloned().unwrap_or(Value::Null);
            for (name, value) in seen.iter_mut().flatten() {
                *value = of_held(name);
            }
        }
        let edit = Edit {
            number: draft.number,
            change: Change {
                key: draft.key,
                action,
                changed_at: draft.changed_at,
            },
            policy: draft.policy,
            transaction: draft.transaction,
            sent: None,
        };
        if let Some(into) = self.fold(&edit, view.as_ref()) {
            self.outcomes.insert(edit.number, Fate::Folded { into });
            return Ok(Made::Folded { into });
        }
        self.outbox.push(edit);
        Ok(Made::Queued)
    }

    /// 1.10. Returns the edit that has become both.
    fn fold(&mut self, later: &Edit, view: Option<&Document>) -> Option<u32> {
        let regardless = self.slips(Slip::FoldedUnshown);
        let may = self.folds;
        let last = self.outbox.last_mut().filter(|last| {
            may && last.change.key == later.change.key
                && last.sent.is_none()
                && last.policy == later.policy
                && last.transaction.or(later.transaction).is_none()
        })?;
        let Action::Update { base, set, seen } = &mut last.change.action else {
            return None;
        };
        let Action::Update {
            base: later_base,
            set: later_set,
            seen: later_seen,
        } = &later.change.action
        else {
            return None;
        };
        let (seen, later_seen) = (seen.as_mut()?, later_seen.as_ref()?);
        let shows = |(name, value): (&String, &Value)| {
            view.is_some_and(|view| view.get(name).unwrap_or(&Value::Null) == value)
        };
        if base != later_base || !(set.iter().all(shows) || regardless) {
            return None;
        }
        set.extend(later_set.clone());
        for (name, value) in later_seen {
            seen.entry(name.clone()).or_insert_with(|| value.clone());
        }
        last.change.changed_at = later.change.changed_at;
        Some(last.number)
    }

    /// The base of an edit made now: 0 while the own create is unanswered or lingers, even if the feed has shown the
    /// document (4.5).
    pub fn base(&self, key: &DocumentKey) -> BaseVersion {
        let mut unanswered = self.unanswered();
        if unanswered.any(|edit| edit.change.key == *key && edit.is_create()) {
            return BaseVersion::OWN_CREATE;
        }
        match self.lingering_create(key) {
            Some(created) if created.is_unknown || created.by == self.id() => {
                BaseVersion::OWN_CREATE
            }
            Some(_) => BaseVersion::OTHER_EPOCH,
            None => self
                .held
                .get(key)
                .map_or(BaseVersion::OWN_CREATE, |held| held.base),
        }
    }

    /// The create without a known outcome to which an edit made now belongs.
    pub fn created_by(&self, key: &DocumentKey) -> Option<u32> {
        let unknown = self.lingering_create(key).filter(|it| it.is_unknown);
        let creates = self
            .unanswered()
            .filter(|edit| edit.change.key == *key && edit.is_create());
        let create = creates.last().or(unknown.map(|it| &it.edit));
        create.map(|edit| edit.number)
    }

    fn lingering_create(&self, key: &DocumentKey) -> Option<&Lingering> {
        let mut lingering = self.lingering.iter();
        lingering.rfind(|it| it.edit.change.key == *key && it.edit.is_create())
    }
}

/// What an act is on a view: values instead of intents.
///
/// # Errors
/// [`NotMade`].
pub fn action(
    act: &Act,
    view: Option<&Document>,
    base: BaseVersion,
    with_base: bool,
) -> Result<Action, NotMade> {
    let (intents, view) = match (act, view) {
        (Act::Create(_), Some(_)) => return Err(NotMade::Exists),
        (Act::Create(document), None) => {
            return Ok(Action::Create {
                document: document.clone(),
                base: None,
            });
        }
        (_, None) => return Err(NotMade::Gone),
        (Act::Delete, Some(_)) => return Ok(Action::Delete { base }),
        (Act::Update(intents), Some(view)) => (intents, view),
    };
    let mut set = Document::new();
    for (name, intent) in intents {
        let value = intended(intent, view.get(name)).ok_or(NotMade::Invalid)?;
        set.insert(name.clone(), value);
    }
    let seen = |name: &String| (name.clone(), view.get(name).cloned().unwrap_or(Value::Null));
    let seen = with_base.then(|| set.keys().map(seen).collect());
    Ok(Action::Update { base, set, seen })
}

fn intended(intent: &Intent, shown: Option<&Value>) -> Option<Value> {
    let list = |items: Vec<Value>| Some(Value::List(items));
    match intent {
        Intent::Set(value) => Some(value.clone()),
        Intent::Increment(by) => {
            let total = whole(shown)?.checked_add((*by).into())?;
            of_same_type(shown.unwrap_or(&Value::Null), total)
        }
        Intent::Add(added) => {
            let shown = items(shown)?;
            let added = added.iter().filter(|item| !shown.contains(item));
            list(shown.iter().chain(added).cloned().collect())
        }
        Intent::Remove(removed) => {
            let left = items(shown)?.iter().filter(|item| !removed.contains(item));
            list(left.cloned().collect())
        }
    }
}
