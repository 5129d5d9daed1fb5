//! Compiled operations: what stands at the root of an answer, and how each root field is answered. Operations that ask for
//! the same share one, and with it the text of a change that goes to all of them.

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

/// The most compiled operations that are kept for operations that come again.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// How every answer begins.
pub(super) const BEGINNING: &[u8] = b"{\"data\":";

/// A compiled operation.
pub(super) struct OperationPlan {
    pub(super) roots: Vec<PlannedRoot>,
    /// What stands behind the last root field.
    pub(super) end: Vec<u8>,
}

/// A root field that is answered.
pub(super) struct PlannedRoot {
    /// Which of the operation's fields it is.
    pub(super) index: usize,
    pub(super) key: Key,
    /// Whether the whole answer is null where the field is.
    pub(super) is_required: bool,
    pub(super) plan: RootPlan,
    /// What stands before its value, since the value of the root field before it.
    pub(super) lead_in: Vec<u8>,
}

/// Compiles operations, and keeps those that it has compiled. The oldest goes where there are too many.
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

    /// The plan of what an operation selects. Subscribers that sent the same document also share its selection.
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
