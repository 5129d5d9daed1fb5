//! What a disk does to a device, and how the device gets to know it (rules.md 1.18).
//!
//! A harmed device is judged by promises of its own until it says that it equals the server. Its user edits other
//! documents meanwhile: nobody means what a wrong document shows.

use std::{collections::BTreeSet, sync::Arc};

use tidegate_core::{
    entry::Entry,
    id::{DocumentKey, Scope, Version},
    value::Document,
};
use tidegate_testkit::client::Page;

use super::{World, device::Device};
use crate::{
    oracle::{self, Compared, Judged, Property, expect},
    people::{self, Edition},
    store::Moment,
};

/// The pulls that a device may need after a start: one that is compared, one that reads again, and a spare one.
const PULLS_MAX: usize = 3;

/// What a disk has done.
#[derive(Debug, Clone, Default)]
pub(super) struct Harm {
    documents: BTreeSet<DocumentKey>,
    scopes: BTreeSet<Scope>,
    /// Whether some of it was done while the app ran.
    is_unseen: bool,
}

impl Harm {
    /// Whether the document is lost or an earlier one.
    pub(super) fn is_of(&self, key: &DocumentKey) -> bool {
        self.documents.contains(key)
    }
}

impl World {
    /// The app ends and starts again. What was on its way to it is lost.
    fn start_app(&mut self, device: usize) {
        let starter = &mut self.devices[device];
        starter.hang_up();
        starter.useless = starter.pull;
        starter.pulled.clear();
        starter.answers.clear();
        starter.read_again.clear();
        starter.client.start();
        if let Some(harm) = &mut starter.harm {
            harm.is_unseen = false;
        }
    }

    /// The disk of a device loses a document, or gives an earlier version of it if there is one. The app may have ended
    /// before, and starts again.
    pub(super) fn harm(&mut self, device: usize, nth: usize, goes_back: bool, starts: bool) {
        if starts {
            self.start_app(device);
        }
        let client = &self.devices[device].client;
        let number = client.held.len().max(1);
        let Some((key, held)) = client.held.iter().nth(nth % number) else {
            return;
        };
        let (key, scope) = (key.clone(), held.scope.clone());
        let earlier = self.earlier(device, &key).filter(|_| goes_back);
        let harmed = &mut self.devices[device];
        match earlier {
            Some((version, body)) => harmed.client.go_back(&key, version, body),
            None => drop(harmed.client.held.remove(&key)),
        }
        let harm = harmed.harm.get_or_insert_default();
        harm.documents.insert(key);
        harm.scopes.insert(scope);
        harm.is_unseen |= !starts;
    }

    /// An earlier version of a document that the device holds, as it was there in the same scope.
    fn earlier(&self, device: usize, key: &DocumentKey) -> Option<(Version, Document)> {
        let Device { client, app, .. } = &self.devices[device];
        let held = client.held.get(key)?;
        let is_earlier =
            |entry: &&Arc<Entry>| entry.version < held.version && entry.scope == held.scope;
        self.store.look(|moments| {
            let of_epoch =
                |moment: &&Moment| Some(&moment.state.epoch) == client.page_epoch.as_ref();
            let mut states = moments.iter().rev().filter(of_epoch);
            let entry = states.find_map(|moment| moment.state.entry(key).filter(is_earlier))?;
            let body = people::shown(Edition::A, *app, &key.type_name, entry.body.as_ref()?)?;
            Some((entry.version, body))
        })
    }

    /// Judges what a device says of a page that it has taken. It asks once to read a scope again.
    pub(super) fn judge_compared(
        &mut self,
        device: usize,
        page: &Page,
        (requested, reread): (Option<u32>, BTreeSet<Scope>),
    ) -> Judged {
        let reader = &mut self.devices[device];
        let client = &reader.client;
        let compared = Compared {
            client,
            page,
            requested,
        };
        let harmed = reader.harm.as_ref().map(|harm| harm.scopes.clone());
        compared.judge_reports(&harmed.unwrap_or_default())?;
        compared.judge_equality()?;
        let read_again = reader.read_again.iter().chain(&reread);
        let doubted = read_again.filter(|scope| !compared.ends_doubt(scope));
        reader.read_again = doubted.cloned().collect();
        let asks_once = client.reread.is_disjoint(&reader.read_again);
        expect(asks_once, Property::Ends, || {
            format!("device {device} reads {:?} again and again", client.reread)
        })?;
        if client.equals {
            reader.harm = None;
        }
        Ok(())
    }

    /// A harmed device has lost what its checkpoint has passed.
    pub(super) fn judge_no_gap(&self, device: usize) -> Judged {
        let Device { client, harm, .. } = &self.devices[device];
        match harm {
            Some(_) => Ok(()),
            None => oracle::judge_no_gap(client, &self.store.now()),
        }
    }

    /// A device that started after its disk was harmed equals the server after the pulls that it makes by itself. One
    /// whose disk was harmed while it ran does so after its next start.
    pub(super) async fn mend(&mut self, device: usize) -> Judged {
        self.pull_as_due(device).await?;
        if matches!(&self.devices[device].harm, Some(harm) if harm.is_unseen) {
            self.start_app(device);
            self.pull_as_due(device).await?;
        }
        let Device { client, harm, .. } = &self.devices[device];
        expect(harm.is_none(), Property::Mended, || {
            format!(
                "device {device} reports {:?}, and lacks something of {harm:?}: {:?}",
                client.differing, client.held
            )
        })
    }

    /// The pulls that a device makes though nothing happens: to compare, and to read again.
    async fn pull_as_due(&mut self, device: usize) -> Judged {
        for _ in 0..PULLS_MAX {
            let client = &self.devices[device].client;
            if !client.must_compare && client.reread.is_empty() {
                return Ok(());
            }
            self.pull_all(device, device, 3).await?;
        }
        Ok(())
    }
}
