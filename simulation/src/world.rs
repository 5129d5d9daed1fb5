//! Everything in a history, and what each operation does to it.
//!
//! Requests run as tasks on one thread whose clock stands still, so that each run of a history is the same. Their
//! results are judged first and then queued for the device.

mod deploying;
mod device;
mod edits;
mod elsewhere;
mod events;
mod greedy;
mod hand;
mod harm;
mod hasty;
mod judging;
mod meant;
mod operators;
mod overtaken;
mod requests;
mod rest;
mod socket;
mod viewing;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use tidegate::{
    limits::Limits,
    store::Store,
    sync::{Caller, Clock, Importer, SyncService},
    webhook::Webhooks,
};
use tidegate_core::{grant::Grants, id::Epoch, mutant, value::Timestamp};
use tokio::task::AbortHandle;

use self::{
    device::{Device, Heard},
    hasty::Hasty,
    meant::Meant,
};
use crate::{
    mutants::Fault,
    op::Op,
    oracle::{Judged, Known, Ledger, Property, Sight, Violation},
    people::{self, Edition, TEAMS, USERS},
    store::{Access, Backup, SimStore, epoch},
    story::Story,
    traces::{Recorder, Recording},
};

/// The gateways of the devices.
const GATEWAYS: usize = 2;

/// The gateway for clients that number nothing. It never fails.
const OFFICE: usize = GATEWAYS;

/// The number of a user's clients whose last push is remembered. Clients that follow the rules need fewer.
const CLIENTS_MAX: usize = 60;

/// The most changes of a push, for each gateway. What one refuses, the other may take.
const PUSH_CHANGES: [usize; GATEWAYS + 1] = [2, 3, 1_000];

/// Each operation takes a second of the gateways' clock.
const OP_MS: i64 = 1_000;

/// Longer than a request waits for the store.
const GIVEN_UP: Duration = Duration::from_secs(31);

/// How much a history did. One that does nothing proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Changes that took effect.
    pub applied: usize,
    /// Changes that conflicted or were rejected.
    pub refused: usize,
    /// Pages that arrived.
    pub pages: usize,
    /// Of them, those that were resets.
    pub resets: usize,
}

impl Tally {
    /// Adds another history's.
    pub fn add(&mut self, other: Self) {
        self.applied += other.applied;
        self.refused += other.refused;
        self.pages += other.pages;
        self.resets += other.resets;
    }
}

/// Runs a history to its end.
///
/// # Errors
/// The first broken promise.
pub fn tell(story: &Story) -> Result<Tally, Violation> {
    run(story, false).map(|(tally, _)| tally)
}

/// Runs a history of gateways with one model, and records what happens to each device.
///
/// # Errors
/// The first broken promise.
pub fn record(story: &Story) -> Result<Vec<Recording>, Violation> {
    run(story, true).map(|(_, recordings)| recordings)
}

fn run(story: &Story, records: bool) -> Result<(Tally, Vec<Recording>), Violation> {
    let reported = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime of one thread needs nothing");
        runtime.block_on(async {
            let mut world = World::new(story);
            for device in &mut world.devices {
                device.recorder = records.then(Recorder::default);
            }
            let ops = story.ops.iter().filter(|op| !records || op.is_of_traces());
            for op in ops {
                world.happen(*op).await?;
            }
            world.rest().await?;
            Ok((world.tally, world.recordings()))
        })
    }));
    reported.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Violation {
            property: Property::NoPanic,
            text: text.unwrap_or_default(),
        })
    })
}

struct World {
    /// The conflict rule of tasks.
    rule: &'static str,
    /// The models of all gateways at the end; empty in a history with one model.
    ends: &'static [Edition],
    /// The models of the gateways.
    editions: [Edition; GATEWAYS + 1],
    store: Arc<SimStore>,
    limits: Limits,
    gateways: Vec<Arc<SyncService>>,
    /// The importers of the gateways that may fail.
    importers: Vec<AbortHandle>,
    /// The watches over the lead.
    watches: Vec<AbortHandle>,
    /// Rises with each crash. Answers of an earlier life arrive nowhere.
    lives: [u32; GATEWAYS + 1],
    clock: Arc<AtomicI64>,
    devices: Vec<Device>,
    /// The teams that a user's next token names.
    teams: [BTreeSet<&'static str>; USERS.len()],
    heard: Arc<Mutex<Vec<Heard>>>,
    ledger: Ledger,
    backup: Option<(Backup, Ledger)>,
    /// For each edit, by its number: what was known when it was made.
    known: Vec<Known>,
    meant: Meant,
    hasty: Hasty,
    /// The last moment whose imports are in the ledger.
    noted: usize,
    /// How many clients have come in crowds.
    crowded: usize,
    tick: u32,
    epochs: Arc<AtomicU32>,
    tally: Tally,
}

impl Drop for World {
    fn drop(&mut self) {
        mutant::switch(None);
    }
}

impl World {
    fn new(story: &Story) -> Self {
        let broken = match story.fault {
            Some(Fault::Store(fault)) => Some(fault),
            _ => None,
        };
        let slip = match story.fault {
            Some(Fault::Client(slip)) => Some(slip),
            _ => None,
        };
        if let Some(Fault::Gateway(mutant)) = story.fault {
            mutant::switch(Some(mutant));
        }
        let store = SimStore::new(GATEWAYS + 1, story.seed, story.rule, broken, story.on_file);
        let mut world = Self {
            rule: story.rule,
            ends: story.ends,
            editions: [Edition::A; GATEWAYS + 1],
            store,
            limits: Limits {
                page_bytes: story.page_records,
                user_clients: CLIENTS_MAX,
                ..Limits::default()
            },
            gateways: Vec::new(),
            importers: Vec::new(),
            watches: Vec::new(),
            lives: [0; GATEWAYS + 1],
            clock: Arc::new(AtomicI64::new(people::start().ms())),
            devices: (0..story.devices)
                .map(|number| Device::new(number, &people::model(Edition::B, story.rule), slip))
                .collect(),
            teams: [TEAMS.into(), [TEAMS[0]].into()],
            heard: Arc::default(),
            ledger: Ledger::default(),
            backup: None,
            known: Vec::new(),
            meant: Meant::default(),
            hasty: Hasty::default(),
            noted: 0,
            crowded: 0,
            tick: 0,
            epochs: Arc::new(AtomicU32::new(1)),
            tally: Tally::default(),
        };
        let first = world.store.serve(OFFICE, Edition::A);
        world.store.lead_first(first);
        world.gateways = (0..=OFFICE).map(|number| world.gateway(number)).collect();
        world.importers = (0..GATEWAYS).map(|number| world.import(number)).collect();
        world.watches = (0..=OFFICE).map(|number| world.watch(number)).collect();
        world
    }

    fn gateway(&self, number: usize) -> Arc<SyncService> {
        SyncService::start(
            self.model_of(number),
            self.access(number, false),
            self.clock(),
            Limits {
                push_changes: PUSH_CHANGES[number],
                ..self.limits.clone()
            },
            Webhooks::none(),
        )
    }

    /// Starts the importer of a gateway. A store that others cannot write to needs none.
    fn import(&self, gateway: usize) -> AbortHandle {
        let epochs = Arc::clone(&self.epochs);
        let importer = Importer::new(
            self.model_of(gateway),
            self.access(gateway, true),
            self.clock(),
            Arc::new(move || next_epoch(&epochs)),
        );
        let run = async move {
            if let Some(importer) = importer {
                importer.run().await;
            }
        };
        tokio::spawn(run).abort_handle()
    }

    fn clock(&self) -> Clock {
        let clock = Arc::clone(&self.clock);
        let now =
            move || Timestamp::from_ms(clock.load(Ordering::Relaxed)).expect("histories are short");
        Arc::new(now)
    }

    fn access(&self, gateway: usize, imports: bool) -> Arc<dyn Store> {
        Arc::new(self.way(gateway, imports))
    }

    fn way(&self, gateway: usize, imports: bool) -> Access {
        Access {
            store: Arc::clone(&self.store),
            gateway,
            edition: self.editions[gateway],
            may_fail: gateway != OFFICE,
            imports,
        }
    }

    async fn happen(&mut self, op: Op) -> Judged {
        self.tick += 1;
        self.clock.fetch_add(OP_MS, Ordering::Relaxed);
        self.act(op).await?;
        self.settle().await
    }

    /// Lets all tasks run that can, and judges the results. A clock that stands still advances only when no task can
    /// run.
    async fn settle(&mut self) -> Judged {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let heard = std::mem::take(&mut *lock(&self.heard));
        heard.into_iter().try_for_each(|heard| self.judge(heard))?;
        self.store.judge_leads()?;
        self.note_imports()
    }

    /// The caller with the token that the user gets now.
    fn caller(&self, user: usize) -> (Caller, Sight) {
        let teams: Vec<&str> = self.teams[user].iter().copied().collect();
        let identity = people::identity(USERS[user], &teams);
        let sight = Sight {
            user: identity.user.clone(),
            claimed: people::claimed(&people::model(Edition::A, self.rule), &identity),
        };
        let caller = self.gateways[0]
            .caller(identity)
            .expect("two teams are few scopes");
        (caller, sight)
    }

    fn recordings(&mut self) -> Vec<Recording> {
        let devices = self.devices.iter_mut();
        let recordings = devices.filter_map(|device| {
            let steps = device.recorder.take()?.steps;
            let folds = device.client.folds;
            Some(Recording { folds, steps })
        });
        recordings.collect()
    }

    fn grants(&self, user: usize) -> Grants {
        self.caller(user).1.grants(&self.store.now())
    }

    fn device(&self, number: u8) -> usize {
        usize::from(number) % self.devices.len()
    }

    fn device_mut(&mut self, number: u8) -> &mut Device {
        let number = self.device(number);
        &mut self.devices[number]
    }
}

/// The next epoch. Operators and importers begin them.
fn next_epoch(last: &AtomicU32) -> Epoch {
    epoch(last.fetch_add(1, Ordering::Relaxed) + 1)
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
