//! Gateways of two models on one store, and apps that follow them (rules.md section 9).

use std::{sync::Arc, time::Duration};

use tidegate::sync::{Accepted, LeadWatch};
use tidegate_core::{id::DocumentKey, model::Model};
use tokio::task::AbortHandle;

use super::{OFFICE, World, elsewhere::Disturbance};
use crate::{
    oracle::{Judged, Property, expect},
    people::{self, Edition},
    store::Access,
};

/// Longer than an older model waits before it leads.
const LEAD_PASSES: Duration = Duration::from_secs(70);

/// More pages than there are changes, asked of two gateways in turn.
const TURNS_MAX: usize = 400;

impl World {
    /// A document that people edit.
    pub(super) fn document(&self, number: u8) -> DocumentKey {
        people::document(number, !self.ends.is_empty())
    }

    pub(super) fn model_of(&self, gateway: usize) -> Arc<Model> {
        people::model(self.editions[gateway], self.rule)
    }

    /// A gateway registers its model, and watches over the lead. In a history with one model there is nothing to watch.
    pub(super) fn watch(&self, gateway: usize) -> AbortHandle {
        let model = self.model_of(gateway);
        let generation = self.store.serve(gateway, self.editions[gateway]);
        // An operator sees to it that a gateway that starts can take the lead, also if documents do not fit its model.
        let store = Access {
            may_fail: false,
            ..self.way(gateway, false)
        };
        let has_two = !self.ends.is_empty();
        let watch = LeadWatch::new(model, Arc::new(store), self.clock(), generation);
        let watch = watch.accepting(Accepted { withhold: true });
        watch.wake_subscribers_of(&self.gateways[gateway]);
        let run = async move {
            if has_two && watch.look().await.is_ok() {
                watch.run().await;
            }
        };
        tokio::spawn(run).abort_handle()
    }

    /// What an app or a gateway of this edition knows; nothing of either in a history with one model.
    pub(super) fn knows(&self, edition: Edition) -> Option<Edition> {
        (!self.ends.is_empty()).then_some(edition)
    }

    /// Gateways are stopped, and started with this model. The next number after the gateways stands for all of them.
    /// After that time passes, so that the model may take the lead.
    pub(super) async fn deploy(&mut self, gateway: u8, edition: Edition) -> Judged {
        match usize::from(gateway) % (OFFICE + 2) {
            one @ 0..=OFFICE => self.start(one, edition),
            _ => self.start_all(edition).await?,
        }
        self.settle().await
    }

    pub(super) async fn start_all(&mut self, edition: Edition) -> Judged {
        if self.editions == [edition; OFFICE + 1] && self.store.lead() == edition {
            return Ok(());
        }
        (0..=OFFICE).for_each(|gateway| self.start(gateway, edition));
        self.pass_time(LEAD_PASSES).await
    }

    pub(super) fn start(&mut self, gateway: usize, edition: Edition) {
        if self.editions[gateway] != edition {
            self.editions[gateway] = edition;
            self.crash(gateway);
        }
    }

    /// The app of a device is updated. Its next page brings what the app knows only now.
    pub(super) fn update(&mut self, device: usize) {
        let updated = &mut self.devices[device];
        if updated.app == Edition::A {
            updated.app = Edition::B;
            updated.ask_for(updated.client.types.clone());
            updated.client.refresh = people::changed_types();
        }
    }

    /// A gateway with one of the models leads while a device reads from it. No importer works meanwhile, so documents are
    /// still as the former lead left them.
    pub(super) async fn visit(
        &mut self,
        device: usize,
        gateway: usize,
        edition: Edition,
        limit: u8,
    ) -> Judged {
        let before = self.editions;
        self.store.stop_importers();
        match edition {
            // An older model leads only where no later one is left.
            Edition::A => self.start_all(edition).await?,
            Edition::B => self.start(gateway, edition),
        }
        self.settle().await?;
        self.pull_all(device, gateway, limit).await?;
        (0..=OFFICE).for_each(|gateway| self.start(gateway, before[gateway]));
        self.pass_time(LEAD_PASSES).await?;
        self.store.release_all();
        self.settle().await
    }

    /// A gateway with one of the models starts while an importer, or a push, is at work on a document.
    pub(super) async fn supersede(
        &mut self,
        gateway: u8,
        edition: Edition,
        disturbance: Disturbance,
    ) -> Judged {
        let Disturbance {
            calls,
            document,
            what,
            value,
        } = disturbance;
        if what.is_multiple_of(2) {
            let key = self.document(document);
            self.write_elsewhere(&key, what / 2, value);
            self.store.hold_importer_after(calls);
        } else {
            let device = self.device(value);
            self.edit(device, document, what / 2, value);
            self.store.hold_after(calls / 3);
            self.send_next(device, 1, value.into(), false)?;
        }
        self.pass_time(Duration::from_secs(3)).await?;
        let held = self.store.last_held();
        // The gateway that is held goes on.
        let gateway = usize::from(gateway) % (OFFICE + 1);
        if held != Some(gateway) {
            self.start(gateway, edition);
        }
        self.pass_time(LEAD_PASSES).await?;
        self.store.release_all();
        self.settle().await
    }

    /// Pages that a device asks of either gateway in turn come to an end.
    pub(super) async fn alternate(&mut self, device: usize) -> Judged {
        let mut ended = 0;
        for turn in 0..TURNS_MAX {
            let Some(more) = self.pull_one(device, turn, 3).await? else {
                return Ok(());
            };
            ended = if more { 0 } else { ended + 1 };
            if ended == 2 {
                return Ok(());
            }
        }
        expect(false, Property::Ends, || {
            format!("the pages of device {device} go round in circles between two gateways")
        })
    }
}
