//! What users see: each of their increments once, however messages cross (rules.md 1.8).

use std::collections::BTreeMap;

use tidegate_core::{
    change::Action,
    id::{DocumentKey, Epoch, Version},
    value::Document,
};
use tidegate_testkit::client::Edit;

use super::{
    World,
    meant::{count, difference},
};
use crate::oracle::{Judged, Property, expect};

/// The counts under a device's edits of each document since the oldest of its edits in view was sent: those that it held,
/// and those of its own creates.
pub(super) type Counts = BTreeMap<DocumentKey, Vec<Counted>>;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Counted {
    epoch: Option<Epoch>,
    version: Version,
    count: i32,
}

impl World {
    /// Judges what a device shows of all documents, after anything has happened to it.
    pub(super) fn judge_views(&mut self, device: usize) -> Judged {
        let keys = [self.document(0), self.document(1)];
        let tasks = keys.iter().filter(|key| key.type_name.as_str() == "Task");
        tasks
            .into_iter()
            .try_for_each(|key| self.judge_view(device, key))
    }

    fn judge_view(&mut self, device: usize, key: &DocumentKey) -> Judged {
        let client = &self.devices[device].client;
        let edits = client.lingering().chain(client.unanswered());
        let edits: Vec<Edit> = edits
            .filter(|edit| edit.change.key == *key)
            .cloned()
            .collect();
        let created = edits.iter().rev().find_map(|edit| {
            let version = self.version_of(device, edit.number, key);
            Some((version.unwrap_or_default(), created(edit)?))
        });
        let held = client.held.get(key);
        // A document that comes back is still shown with what was sent before.
        let Some((version, body)) = created.or(held.map(|held| (held.version, &held.body))) else {
            return Ok(());
        };
        let now = Counted {
            epoch: client.page_epoch.clone(),
            version,
            count: count(body),
        };
        let view = client.view(key);
        let viewer = &mut self.devices[device];
        let counts = viewer.counts.entry(key.clone()).or_default();
        if !edits.iter().any(Edit::is_sent) {
            counts.clear();
        }
        if counts.last() != Some(&now) {
            counts.push(now);
        }
        let counts = counts.clone();
        let Some(view) = view else { return Ok(()) };
        let epoch = Some(self.store.now().epoch.clone());
        let is_plain = edits.iter().all(is_plain_update);
        let is_harmed = self.devices[device].harm.is_some();
        if !is_plain || is_harmed || counts.iter().any(|counted| counted.epoch != epoch) {
            return Ok(());
        }
        let possible: Vec<[i32; 2]> = counts
            .iter()
            .map(|counted| self.possible_counts(device, key, counted, &edits))
            .collect();
        let shown = count(&view);
        let is_right = possible.iter().flatten().any(|count| *count == shown);
        expect(is_right, Property::Exact, || {
            format!(
                "device {device} shows {shown} of {key} and not {possible:?}: {counts:?}, {edits:?}"
            )
        })
    }

    /// A held count with the increments of the edits in view that are not in it; and with those of answered edits that
    /// the device has not got back, or without.
    fn possible_counts(
        &self,
        device: usize,
        key: &DocumentKey,
        counted: &Counted,
        edits: &[Edit],
    ) -> [i32; 2] {
        let is_within = |number: u32| {
            let version = self.version_of(device, number, key);
            version.is_some_and(|version| version <= counted.version)
        };
        let outside = edits.iter().filter(|edit| !is_within(edit.number));
        let shown = outside.filter(|edit| !edit.hides("count"));
        let in_view = shown.filter_map(difference).sum::<i32>();
        let is_in_view = |number: u32| edits.iter().any(|edit| edit.number == number);
        let answered = self.devices[device].made.iter().filter_map(|number| {
            let (of, by) = self.meant.increments.get(number)?;
            let is_missing = of == key && !is_in_view(*number) && !is_within(*number);
            let took = self.version_of(device, *number, key).is_some();
            (is_missing && took).then_some(*by)
        });
        let without = counted.count + in_view;
        [without, without + answered.sum::<i32>()]
    }

    /// Once all is settled, a user sees what the device holds, and nothing else.
    pub(super) fn judge_view_at_rest(&self, device: usize) -> Judged {
        let client = &self.devices[device].client;
        let lingering: Vec<u32> = client.lingering().map(|edit| edit.number).collect();
        expect(lingering.is_empty(), Property::Convergence, || {
            format!("edits {lingering:?} of device {device} linger")
        })?;
        let shown: BTreeMap<&DocumentKey, Option<Document>> = client
            .held
            .keys()
            .map(|key| (key, client.view(key)))
            .collect();
        let is_it = |(key, view): (&&DocumentKey, &Option<Document>)| {
            view.as_ref() == Some(&client.held[*key].body)
        };
        expect(shown.iter().all(is_it), Property::Convergence, || {
            format!("device {device} shows {shown:#?}")
        })
    }
}

/// The document of a create.
fn created(edit: &Edit) -> Option<&Document> {
    match &edit.change.action {
        Action::Create { document, .. } => Some(document),
        Action::Update { .. } | Action::Delete { .. } => None,
    }
}

/// Whether the edit changes a count by a difference, or no count.
fn is_plain_update(edit: &Edit) -> bool {
    match &edit.change.action {
        Action::Update { set, .. } => !set.contains_key("count") || difference(edit).is_some(),
        Action::Create { .. } | Action::Delete { .. } => false,
    }
}
