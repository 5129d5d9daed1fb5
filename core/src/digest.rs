//! Digests of scopes: which versions of which documents are live in a scope (rules.md 2.10).
//!
//! A store keeps the sums of each scope and changes them by difference as it commits. A page has their digests, and a
//! client computes the same from what it holds. The hashes are joined by XOR, so no order matters.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    fmt::{self, Display},
};

use sha2::{Digest as _, Sha256};

use crate::{
    entry::Entry,
    id::{DocumentKey, Scope, Seq, TypeName, Version},
    mutant::{Mutant, is_active},
    transaction::Writes,
};

/// The live documents of one type in a scope, as a number that differs if any of them differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TypeSum {
    /// How many there are. A difference may have fewer than none.
    pub count: i64,
    /// The hashes of their ids and versions, joined by XOR.
    pub bits: u128,
}

impl TypeSum {
    /// The sum of one document.
    fn of(key: &DocumentKey, version: Version) -> Self {
        Self {
            count: 1,
            bits: hash(&format!("{}\0{}", key.id, version.0)),
        }
    }

    fn negated(self) -> Self {
        Self {
            count: -self.count,
            ..self
        }
    }

    fn is_of_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// The live documents of a scope by their types' stored names. Types without any are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeSums(BTreeMap<TypeName, TypeSum>);

impl ScopeSums {
    /// Adds a live document.
    pub fn add(&mut self, key: &DocumentKey, version: Version) {
        self.join(key.type_name.clone(), TypeSum::of(key, version));
    }

    /// Takes a document away that was added.
    pub fn remove(&mut self, key: &DocumentKey, version: Version) {
        self.join(key.type_name.clone(), TypeSum::of(key, version).negated());
    }

    /// Adds all that another one has.
    pub fn add_all(&mut self, other: &Self) {
        for (type_name, sum) in other.iter() {
            self.join(type_name.clone(), sum);
        }
    }

    /// Takes away all that another one has.
    pub fn remove_all(&mut self, other: &Self) {
        for (type_name, sum) in other.iter() {
            self.join(type_name.clone(), sum.negated());
        }
    }

    /// Adds a sum to that of a type.
    pub fn join(&mut self, type_name: TypeName, sum: TypeSum) {
        match self.0.entry(type_name) {
            btree_map::Entry::Vacant(place) if !sum.is_of_nothing() => drop(place.insert(sum)),
            btree_map::Entry::Vacant(_) => {}
            btree_map::Entry::Occupied(mut place) => {
                let joined = place.get_mut();
                joined.count = joined.count.wrapping_add(sum.count);
                joined.bits ^= sum.bits;
                if joined.is_of_nothing() {
                    place.remove();
                }
            }
        }
    }

    /// The sums by type.
    pub fn iter(&self) -> impl Iterator<Item = (&TypeName, TypeSum)> {
        self.0.iter().map(|(type_name, sum)| (type_name, *sum))
    }

    /// Keeps only these types.
    pub fn retain(&mut self, types: &BTreeSet<TypeName>) {
        self.0.retain(|type_name, _| types.contains(type_name));
    }

    /// The digest. `name` says what the answer calls a type.
    pub fn digest(&self, name: impl Fn(&TypeName) -> String) -> ScopeDigest {
        let hashes = self.iter().map(|(of, TypeSum { count, bits })| {
            hash(&format!("{}\0{count}\0{}", name(of), ScopeDigest(bits)))
        });
        ScopeDigest(hashes.fold(0, |joined, hash| joined ^ hash))
    }
}

/// What a page says of a scope. As text it has 32 digits, base 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeDigest(pub u128);

impl Display for ScopeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a store keeps of a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptSums {
    /// If there is one, the sums have only what was written since this seq. Otherwise they are complete.
    pub since: Option<Seq>,
    /// The sums.
    pub sums: ScopeSums,
}

impl KeptSums {
    /// Sums of a scope of which the store had none, at its present head. They become complete later.
    pub fn begun_at(head: Seq) -> Self {
        Self {
            since: (head > Seq::START).then_some(head),
            sums: ScopeSums::default(),
        }
    }

    /// Completes sums that were begun at `since`. `missing` is what they lacked at any moment since then. Returns whether
    /// these were the sums.
    pub fn complete(&mut self, since: Seq, missing: &ScopeSums) -> bool {
        let is_same = self.since == Some(since);
        if is_same {
            self.since = None;
            self.sums.add_all(missing);
        }
        is_same
    }
}

/// What a commit changes in the sums of scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SumChanges(BTreeMap<Scope, ScopeSums>);

impl SumChanges {
    /// The changes of a commit. `before` finds the present entries of the documents that it writes.
    pub fn of<'e>(writes: &Writes, before: impl Fn(&DocumentKey) -> Option<&'e Entry>) -> Self {
        let mut changes = Self::default();
        for entry in &writes.entries {
            let before = before(&entry.key).filter(|before| !before.is_deleted());
            changes.replace(before.map(|before| (&before.scope, before.version)), entry);
        }
        changes
    }

    /// A document that was live before in this scope and version, or was not, becomes `entry`.
    pub fn replace(&mut self, before: Option<(&Scope, Version)>, entry: &Entry) {
        let left = before
            .filter(|(scope, _)| **scope == entry.scope || !is_active(Mutant::SumsKeptByMoves));
        if let Some((scope, version)) = left {
            let sums = self.0.entry(scope.clone()).or_default();
            sums.remove(&entry.key, version);
        }
        let is_live = !entry.is_deleted();
        if is_live || (entry.withheld && is_active(Mutant::WithheldSummed)) {
            let sums = self.0.entry(entry.scope.clone()).or_default();
            sums.add(&entry.key, entry.version);
        }
    }

    /// Applies to the sums of a scope what changes there.
    pub fn apply(&self, scope: &Scope, sums: &mut ScopeSums) {
        if let Some(changes) = self.0.get(scope) {
            sums.add_all(changes);
        }
    }
}

/// The first 16 bytes of SHA-256 over the text in UTF-8, as one number.
fn hash(text: &str) -> u128 {
    let hash = Sha256::digest(text.as_bytes());
    let (first, _) = hash.split_at(size_of::<u128>());
    u128::from_be_bytes(first.try_into().expect("it has 16 bytes"))
}
