//! All pairs of edits of small keyed lists: whatever the order of arrival, nothing is lost, doubled or brought back.

use std::{collections::BTreeMap, env};

use super::*;
use crate::{decide::work::Work, model::Model};

const MODEL: &str = r#"
extend schema @grant(scope: "all", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "all") { id: ID! items: [Item!] @key(field: "k") @merge(with: ITEMS) }
type Item { k: String! q: String }
"#;

/// Keys and contents.
type List = Vec<(char, String)>;

/// The lists that are one edit by `who` away.
fn edits(list: &List, who: char) -> Vec<List> {
    let mut edits = Vec::new();
    for i in 0..list.len() {
        let mut without = list.clone();
        let item = without.remove(i);
        let mut edited = list.clone();
        edited[i].1.push(who);
        edits.push(edited);
        for j in (0..list.len()).filter(|j| *j != i) {
            let mut moved = without.clone();
            moved.insert(j, item.clone());
            edits.push(moved);
        }
        edits.push(without);
    }
    for place in 0..=list.len() {
        for key in ['n', who] {
            if list.iter().all(|(known, _)| *known != key) {
                let mut added = list.clone();
                added.insert(place, (key, format!("0{who}")));
                edits.push(added);
            }
        }
    }
    edits
}

/// The lists that are one or two edits away.
fn two_edits(list: &List, who: char) -> Vec<List> {
    let one = edits(list, who);
    let two: Vec<List> = one.iter().flat_map(|list| edits(list, who)).collect();
    [one, two].concat()
}

fn value(list: &List) -> Value {
    let item = |(key, content): &(char, String)| {
        let fields = [("k", key.to_string()), ("q", content.clone())];
        Value::Object(
            fields
                .map(|(name, text)| (name.to_owned(), Value::String(text)))
                .into(),
        )
    };
    Value::List(list.iter().map(item).collect())
}

fn list(value: &Value) -> List {
    let Value::List(items) = value else {
        panic!("{value:?} is no list")
    };
    let item = |item: &Value| match item {
        Value::Object(item) => {
            let text = |name: &str| item[name].as_str().unwrap();
            (text("k").chars().next().unwrap(), text("q").to_owned())
        }
        other => panic!("{other:?} is no item"),
    };
    items.iter().map(item).collect()
}

/// The three sides of a merge, and its result.
struct Merged<'l> {
    base: &'l List,
    mine: &'l List,
    theirs: &'l List,
    result: List,
}

/// Merges lists of the model's one type.
struct Merger {
    model: Model,
}

impl Merger {
    fn merge(&self, [base, mine, theirs]: [&List; 3], mine_wins: bool) -> List {
        let work = Work::of_a_push();
        let context = MergeContext {
            model: &self.model,
            work: &work,
            overlap: Some(mine_wins),
            is_later: mine_wins,
            merges: true,
        };
        let [seen, mine, theirs] = [base, mine, theirs].map(value);
        let three = ThreeWay {
            seen: Some(&seen),
            mine: Some(&mine),
            theirs: Some(&theirs),
        };
        let merged = merge(&context, &self.model.types[0].fields[0], &three);
        list(&merged.unwrap().expect("one side wins"))
    }
}

fn contents(list: &List) -> BTreeMap<char, &str> {
    list.iter()
        .map(|(key, content)| (*key, &**content))
        .collect()
}

/// The keys of a list that are among `common`, in their order.
fn order(list: &List, common: &[char]) -> Vec<char> {
    let keys = list.iter().map(|(key, _)| *key);
    keys.filter(|key| common.contains(key)).collect()
}

impl Merged<'_> {
    /// The first promise that the merge breaks.
    fn fault(&self) -> Option<&'static str> {
        let Self {
            base,
            mine,
            theirs,
            result,
        } = self;
        let [b, m, t, r] = [base, mine, theirs, result].map(contents);
        if r.len() < result.len() {
            return Some("doubled");
        }
        let keys = b.keys().chain(m.keys()).chain(t.keys());
        let of_items = keys.copied().find_map(|key| {
            let [b, m, t, r] = [&b, &m, &t, &r].map(|side| side.get(&key).copied());
            match (b, m, t) {
                (Some(_), Some(_), Some(_)) if r.is_none() => Some("lost"),
                (None, ..) if (m.is_some() || t.is_some()) && r.is_none() => {
                    Some("an addition is lost")
                }
                (Some(_), None, _) if t == b && r.is_some() => Some("what mine removed came back"),
                (Some(_), _, None) if m == b && r.is_some() => {
                    Some("what theirs removed came back")
                }
                (Some(_), Some(_), Some(_)) if m == b && r != t => Some("theirs is overwritten"),
                (Some(_), Some(_), Some(_)) if t == b && r != m => Some("an edit is lost"),
                _ => None,
            }
        });
        of_items.or_else(|| self.fault_of_order())
    }

    fn fault_of_order(&self) -> Option<&'static str> {
        let sides = [self.mine, self.theirs, &self.result].map(contents);
        let keys = self.base.iter().map(|(key, _)| *key);
        let common = keys.filter(|key| sides.iter().all(|side| side.contains_key(key)));
        let common: Vec<char> = common.collect();
        let [b, m, t, r] =
            [self.base, self.mine, self.theirs, &self.result].map(|it| order(it, &common));
        match () {
            () if t == b && r != m => Some("my order is lost"),
            () if m == b && r != t => Some("their order is lost"),
            () => None,
        }
    }

    /// Whether both sides changed one item, so that one of them has to win.
    fn has_clash(&self) -> bool {
        let [b, m, t] = [self.base, self.mine, self.theirs].map(contents);
        let mut keys = b.keys().chain(m.keys()).chain(t.keys());
        keys.any(|key| {
            let [b, m, t] = [&b, &m, &t].map(|side| side.get(key));
            m != b && t != b && m != t
        })
    }
}

/// Merges all edits of the list by both sides, in both orders of arrival. Returns how many there were.
fn merge_all(base: &List, all_mine: &[List], all_theirs: &[List]) -> usize {
    let merger = Merger {
        model: Model::parse("model.graphql", MODEL).unwrap(),
    };
    let mut merges = 0;
    for theirs in all_theirs {
        for mine in all_mine {
            for mine_wins in [false, true] {
                merges += 1;
                let sides = |result| Merged {
                    base,
                    mine,
                    theirs,
                    result,
                };
                let merged = sides(merger.merge([base, mine, theirs], mine_wins));
                let shown = format!(
                    "{base:?} {mine:?} {theirs:?} {mine_wins} {:?}",
                    merged.result
                );
                assert_eq!(merged.fault(), None, "{shown}");
                let otherwise = merger.merge([base, theirs, mine], mine_wins);
                let is_the_same = contents(&otherwise) == contents(&merged.result);
                assert!(merged.has_clash() || is_the_same, "{shown} {otherwise:?}");
            }
        }
        let again = merger.merge([base, theirs, theirs], false);
        assert_eq!(again, *theirs, "a repeat");
    }
    merges
}

/// Two edits of each side, of lists of up to two items, and by `TIDEGATE_ITEM_MERGES=all` of three.
#[test]
fn merges_of_small_lists_lose_double_and_revive_nothing() {
    let all = env::var("TIDEGATE_ITEM_MERGES").is_ok_and(|merges| merges == "all");
    let mut merges = 0;
    for size in 0..=3 {
        let base: List = "abc"
            .chars()
            .take(size)
            .map(|key| (key, "0".to_owned()))
            .collect();
        let edited = |who| match size == 3 && !all {
            true => edits(&base, who),
            false => two_edits(&base, who),
        };
        merges += merge_all(&base, &edited('x'), &edited('y'));
    }
    assert!(merges > if all { 400_000 } else { 40_000 }, "{merges}");
}

#[cfg(feature = "mutants")]
#[test]
fn without_the_rule_what_is_removed_comes_back() {
    let merger = Merger {
        model: Model::parse("model.graphql", MODEL).unwrap(),
    };
    let (base, mine) = (vec![('a', "0".to_owned())], List::new());
    crate::mutant::switch(Some(Mutant::RemovedItemStays));
    let result = merger.merge([&base, &mine, &base], true);
    crate::mutant::switch(None);
    let merged = Merged {
        base: &base,
        mine: &mine,
        theirs: &base,
        result,
    };
    assert_eq!(merged.fault(), Some("what mine removed came back"));
}
