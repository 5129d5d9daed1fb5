//! Which writes of a commit can make one another succeed or fail: those that take or release one value of a unique
//! index.
//!
//! If that is unknown, because an index may not be listed or a collation compares the values, the writes count as
//! related. Only the database knows whether it refuses one.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::TryStreamExt;
use mongodb::{
    IndexModel,
    bson::{Bson, Document, RawDocument, raw::RawBsonRef},
};

use super::ProbedWrite;
use crate::store::mongo::{MongoContext, error::MongoError, write::StatementKind};

/// The groups of related writes, each in the order of the commit.
pub(super) async fn related(context: &MongoContext, writes: &[ProbedWrite]) -> Vec<Vec<usize>> {
    let collections: HashSet<&str> = writes
        .iter()
        .map(|write| write.collection.as_str())
        .collect();
    let mut groups = Groups::of(writes.len());
    for collection in collections {
        let of_collection = |(place, write): (usize, &ProbedWrite)| {
            (write.collection == collection).then_some(place)
        };
        let places = writes.iter().enumerate().filter_map(of_collection);
        let places: Vec<usize> = places.collect();
        match unique_indexes(context, collection).await {
            Ok(indexes) => {
                let indexes = indexes.iter();
                indexes.for_each(|index| groups.join_by(index, writes, &places));
            }
            Err(_) => groups.join_all(&places),
        }
    }
    groups.into_lists()
}

async fn unique_indexes(
    context: &MongoContext,
    collection: &str,
) -> Result<Vec<Index>, MongoError> {
    let collection = context.database.collection::<Document>(collection);
    let indexes = context.in_time(async { collection.list_indexes().await?.try_collect().await });
    let indexes: Vec<IndexModel> = indexes.await?;
    Ok(indexes.iter().filter_map(Index::of).collect())
}

/// A unique index, as far as it shows which documents it cannot hold together.
struct Index {
    /// The fields that it compares whole. Paths into fields are left out, which only relates more writes.
    fields: Vec<String>,
    is_collated: bool,
    /// It holds only documents that have all of these fields.
    required: Vec<String>,
}

impl Index {
    fn of(index: &IndexModel) -> Option<Self> {
        let options = index.options.clone().unwrap_or_default();
        let is_of_ids = index.keys.keys().eq(["_id"]);
        if options.unique != Some(true) && !is_of_ids {
            return None;
        }
        let fields: Vec<String> = index
            .keys
            .keys()
            .filter(|path| !path.contains('.'))
            .cloned()
            .collect();
        let filter = options.partial_filter_expression.unwrap_or_default();
        let mut required: Vec<String> = fields.clone();
        let is_sparse = options.sparse == Some(true) && index.keys.len() == 1;
        required.retain(|field| is_sparse || filter.get(field).is_some_and(excludes_absent));
        Some(Self {
            fields,
            is_collated: options.collation.is_some(),
            required,
        })
    }

    /// The value for which the index cannot hold two documents; `None` if that may be any.
    fn value<'d>(&self, field: impl Fn(&str) -> Option<RawBsonRef<'d>>) -> Option<Vec<String>> {
        let fields = self.fields.iter();
        fields.map(|name| self.comparable(field(name))).collect()
    }

    fn comparable(&self, value: Option<RawBsonRef<'_>>) -> Option<String> {
        let number = |number: f64| Some(format!("{:?}", number + 0.0));
        match value {
            None | Some(RawBsonRef::Null | RawBsonRef::Undefined) => Some("null".to_owned()),
            Some(RawBsonRef::String(text)) => (!self.is_collated).then(|| format!("{text:?}")),
            Some(RawBsonRef::Int32(value)) => number(value.into()),
            // Large ones that differ may share this. They are then related without need.
            Some(RawBsonRef::Int64(value)) => number(value.to_string().parse().ok()?),
            Some(RawBsonRef::Double(value)) => number(value),
            Some(
                value @ (RawBsonRef::Boolean(_)
                | RawBsonRef::DateTime(_)
                | RawBsonRef::ObjectId(_)
                | RawBsonRef::Binary(_)),
            ) => Some(format!("{value:?}")),
            Some(_) => None,
        }
    }

    fn excludes<'d>(&self, field: impl Fn(&str) -> Option<RawBsonRef<'d>>) -> bool {
        self.required.iter().any(|name| field(name).is_none())
    }
}

/// Whether a document that lacks the field never meets the condition of a partial index.
fn excludes_absent(condition: &Bson) -> bool {
    let Some(condition) = condition.as_document() else {
        return false;
    };
    let exists = condition.get_bool("$exists").unwrap_or_default();
    exists || condition.contains_key("$type") || condition.contains_key("$gt")
}

/// The document before and after a write: the fields of each, by name.
fn states(write: &ProbedWrite) -> Option<Vec<IndexFields<'_>>> {
    let before = write.before.as_deref();
    match write.verb {
        StatementKind::Insert => Some(vec![IndexFields::of(&write.raw)]),
        StatementKind::Delete => Some(vec![IndexFields::of(before?)]),
        StatementKind::Update | StatementKind::Move => {
            let before = before?;
            let update = write.raw.get_document("u").ok()?;
            let after = IndexFields {
                document: before,
                set: update.get_document("$set").ok(),
                unset: update.get_document("$unset").ok(),
            };
            Some(vec![IndexFields::of(before), after])
        }
    }
}

struct IndexFields<'w> {
    document: &'w RawDocument,
    set: Option<&'w RawDocument>,
    unset: Option<&'w RawDocument>,
}

impl<'w> IndexFields<'w> {
    fn of(document: &'w RawDocument) -> Self {
        Self {
            document,
            set: None,
            unset: None,
        }
    }

    fn get(&self, name: &str) -> Option<RawBsonRef<'w>> {
        let of = |document: &'w RawDocument| document.get(name).ok().flatten();
        match self.set.and_then(of) {
            Some(value) => Some(value),
            None if self.unset.and_then(of).is_some() => None,
            None => of(self.document),
        }
    }
}

/// Writes by their groups (union-find): each points to another of its group, or to itself.
struct Groups {
    parents: Vec<usize>,
}

impl Groups {
    fn of(writes: usize) -> Self {
        Self {
            parents: (0..writes).collect(),
        }
    }

    fn root(&mut self, mut write: usize) -> usize {
        while self.parents[write] != write {
            self.parents[write] = self.parents[self.parents[write]];
            write = self.parents[write];
        }
        write
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    fn join_all(&mut self, writes: &[usize]) {
        for pair in writes.windows(2) {
            self.join(pair[0], pair[1]);
        }
    }

    /// Joins the writes that this index may not hold together. One with an unknown value is joined with all others.
    fn join_by(&mut self, index: &Index, writes: &[ProbedWrite], places: &[usize]) {
        let mut held = Vec::new();
        let mut by_value: HashMap<Vec<String>, usize> = HashMap::new();
        let mut may_be_any = false;
        for &place in places {
            let Some(states) = states(&writes[place]) else {
                may_be_any = true;
                held.push(place);
                continue;
            };
            for state in states {
                if index.excludes(|name| state.get(name)) {
                    continue;
                }
                held.push(place);
                match index.value(|name| state.get(name)) {
                    Some(value) => {
                        let first = *by_value.entry(value).or_insert(place);
                        self.join(first, place);
                    }
                    None => may_be_any = true,
                }
            }
        }
        if may_be_any {
            self.join_all(&held);
        }
    }

    fn into_lists(mut self) -> Vec<Vec<usize>> {
        let mut lists: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for write in 0..self.parents.len() {
            lists.entry(self.root(write)).or_default().push(write);
        }
        lists.into_values().collect()
    }
}
