//! Compiled operations: the root of an answer, and how each root field is answered. Operations with the same selection
//! share one, and with it the text of a change that goes to all of them.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

use super::{
    execution::RootPlan,
    render::Key,
    request::{OperationKind, SelectedField, Selection},
    roots::RootRow,
};

/// The most compiled operations that are kept.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// The beginning of every answer.
pub(super) const BEGINNING: &[u8] = b"{\"data\":";

/// A compiled operation.
pub(super) struct OperationPlan {
    pub(super) roots: Vec<PlannedRoot>,
    /// The text after the last root field.
    pub(super) end: Vec<u8>,
}

/// A root field that is answered.
pub(super) struct PlannedRoot {
    /// The index of the operation's field.
    pub(super) index: usize,
    pub(super) key: Key,
    /// Whether the whole answer is null if the field is.
    pub(super) is_required: bool,
    pub(super) plan: RootPlan,
    /// The text before its value, since the value of the root field before it.
    pub(super) lead_in: Vec<u8>,
}

/// Compiles operations and keeps the results. If there are too many, the oldest goes.
pub(super) struct Planner {
    rows: Vec<RootRow>,
    known: Mutex<LruCache<Arc<Selection>, Arc<OperationPlan>>>,
}

impl Planner {
    pub(super) fn new(rows: Vec<RootRow>) -> Self {
        Self {
            rows,
            known: Mutex::new(LruCache::new(KNOWN_MAX)),
        }
    }

    /// The plan of an operation's selection. Subscribers that sent the same document also share its selection.
    pub(super) fn plan(&self, selection: Arc<Selection>) -> (Arc<Selection>, Arc<OperationPlan>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((equal, plan)) = known.get_key_value(&selection) {
            let selection = match equal.has_places_of(&selection) {
                true => Arc::clone(equal),
                false => selection,
            };
            return (selection, Arc::clone(plan));
        }
        let plan = Arc::new(self.compile(&selection));
        known.put(Arc::clone(&selection), Arc::clone(&plan));
        (selection, plan)
    }

    fn compile(&self, selection: &Selection) -> OperationPlan {
        let mut roots = Vec::new();
        let mut text = BEGINNING.to_vec();
        text.push(b'{');
        for (index, field) in selection.fields.iter().enumerate() {
            let key = Key::new(&field.key);
            if index > 0 {
                text.push(b',');
            }
            key.append_to(&mut text);
            if field.name == "__typename" {
                text.extend(format!("\"{}\"", selection.kind.root_type()).bytes());
                continue;
            }
            let (is_required, plan) = self.root(selection.kind, field);
            roots.push(PlannedRoot {
                index,
                key,
                is_required,
                plan,
                lead_in: std::mem::take(&mut text),
            });
        }
        text.push(b'}');
        OperationPlan { roots, end: text }
    }

    fn root(&self, kind: OperationKind, field: &SelectedField) -> (bool, RootPlan) {
        let mut rows = self.rows.iter();
        match rows.find(|row| row.kind == kind && *field.name == *row.name) {
            Some(row) => (row.is_required(), row.compile(field)),
            None => (field.name == "__schema", RootPlan::Introspection),
        }
    }
}
