//! Compiled operations: the root of an answer, and how each root field is answered. Operations with the same selection
//! share one, and with it the text of a change that goes to all of them.

use std::{num::NonZeroUsize, sync::Arc};

use super::{
    execution::RootPlan,
    render::Key,
    request::{BoundedCache, OperationKind, SelectedField, Selection},
    roots::RootRow,
};

/// The most compiled operations that are kept.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// The most bytes that they take.
const KNOWN_BYTES_MAX: usize = 16 << 20;

/// What a selected field takes with its plan: some 520 KB were measured for 700 fields.
const FIELD_BYTES: usize = 750;

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

/// What an operation asks for, compiled.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) selection: Arc<Selection>,
    pub(super) plan: Arc<OperationPlan>,
    /// What it holds that it does not share with others.
    pub(super) bytes: usize,
}

/// Compiles operations and keeps the results. If there are too many, the oldest goes.
pub(super) struct Planner {
    rows: Vec<RootRow>,
    known: BoundedCache<Arc<Selection>, Planned>,
}

impl Planner {
    pub(super) fn new(rows: Vec<RootRow>) -> Self {
        Self {
            rows,
            known: BoundedCache::new(KNOWN_MAX, KNOWN_BYTES_MAX),
        }
    }

    /// The plan of an operation's selection. Subscribers that sent the same document also share its selection.
    pub(super) fn plan(&self, selection: Arc<Selection>) -> Planned {
        if let Some(known) = self.known.get(&*selection) {
            if known.selection.has_places_of(&selection) {
                return known;
            }
            return Planned {
                bytes: selection.fields_in_all() * FIELD_BYTES,
                plan: known.plan,
                selection,
            };
        }
        let bytes = selection.fields_in_all() * FIELD_BYTES;
        let plan = Arc::new(self.compile(&selection));
        let planned = |bytes| Planned {
            selection: Arc::clone(&selection),
            plan: Arc::clone(&plan),
            bytes,
        };
        self.known.insert(Arc::clone(&selection), planned(0), bytes);
        planned(bytes)
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
