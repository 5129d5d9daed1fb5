//! Everybody and everything of a history, and what each operation does to them.
//!
//! Requests run as tasks on one thread whose clock stands still, so that a history is the same each time it is told.
//! What they bring is judged first and then left on its way to the device.

mod device;
mod edits;
mod hasty;
mod rest;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tidegate::{
    store::Store,
    sync::{Caller, SyncError, SyncLimits, SyncService},
    webhook::Webhooks,
};
use tidegate_core::{
    change::Submission,
    collect,
    entry::Record,
    grant::Grants,
    id::{ClientKey, DocumentKey, Epoch},
    model::Model,
    mutant,
    push::PushOutcome,
    transaction::{Loaded, Reads},
    value::Timestamp,
};

use self::{
    device::{Arrival, Device, Heard, Parcel, Request},
    hasty::Hasty,
};
use crate::{
    mutants::Fault,
    op::Op,
    oracle::{self, Judged, Known, Ledger, Property, Sent, Sight, Violation, expect},
    people::{self, TEAMS, USERS},
    store::{Access, SimStore, State, epoch},
    story::Story,
};

/// The gateways of the devices.
const GATEWAYS: usize = 2;

/// The gateway, always well, of those who number nothing.
const OFFICE: usize = GATEWAYS;

/// Each operation takes a second of the gateways' clock.
const OP_MS: i64 = 1_000;

/// Longer than a request waits for the store.
const GIVEN_UP: Duration = Duration::from_secs(31);

/// How much a history did: one that does nothing proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Changes that took effect.
    pub applied: usize,
    /// Changes that conflicted or were rejected.
    pub refused: usize,
    /// Pages that arrived.
    pub pages: usize,
    /// Of them, those that began anew.
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

/// Tells a history to its end.
///
/// # Errors
/// The first promise that was not kept.
pub fn tell(story: &Story) -> Result<Tally, Violation> {
    let told = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime of one thread needs nothing");
        runtime.block_on(async {
            let mut world = World::new(story);
            for op in &story.ops {
                world.happen(*op).await?;
            }
            world.rest().await
        })
    }));
    told.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Violation {
            property: Property::NoPanic,
            text: text.unwrap_or_default(),
        })
    })
}

struct World {
    model: Arc<Model>,
    store: Arc<SimStore>,
    limits: SyncLimits,
    gateways: Vec<Arc<SyncService>>,
    /// Raised with each crash: answers of an earlier one reach nobody.
    lives: [u32; GATEWAYS + 1],
    clock: Arc<AtomicI64>,
    devices: Vec<Device>,
    /// The teams that a user's next token names.
    teams: [BTreeSet<&'static str>; USERS.len()],
    heard: Arc<Mutex<Vec<Heard>>>,
    ledger: Ledger,
    backup: Option<(Arc<State>, Ledger)>,
    /// Of each edit, by its number: what was known when it was made.
    known: Vec<Known>,
    hasty: Hasty,
    tick: u32,
    epochs: u32,
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
        let store = SimStore::new(GATEWAYS + 1, story.seed, broken);
        let mut world = Self {
            model: people::model(story.rule),
            store,
            limits: SyncLimits {
                page_bytes: story.page_records,
                ..SyncLimits::default()
            },
            gateways: Vec::new(),
            lives: [0; GATEWAYS + 1],
            clock: Arc::new(AtomicI64::new(people::start().ms())),
            devices: (0..story.devices)
                .map(|number| Device::new(number, slip))
                .collect(),
            teams: [TEAMS.into(), [TEAMS[0]].into()],
            heard: Arc::default(),
            ledger: Ledger::default(),
            backup: None,
            known: Vec::new(),
            hasty: Hasty::default(),
            tick: 0,
            epochs: 1,
            tally: Tally::default(),
        };
        world.gateways = (0..=OFFICE).map(|number| world.gateway(number)).collect();
        world
    }

    fn gateway(&self, number: usize) -> Arc<SyncService> {
        let clock = Arc::clone(&self.clock);
        let now =
            move || Timestamp::from_ms(clock.load(Ordering::Relaxed)).expect("histories are short");
        let access: Arc<dyn Store> = Arc::new(self.access(number));
        SyncService::start(
            self.model.clone(),
            access,
            Arc::new(now),
            self.limits,
            Webhooks::none(),
        )
    }

    fn access(&self, gateway: usize) -> Access {
        Access {
            store: Arc::clone(&self.store),
            gateway,
            may_fail: gateway != OFFICE,
        }
    }

    async fn happen(&mut self, op: Op) -> Judged {
        self.tick += 1;
        self.clock.fetch_add(OP_MS, Ordering::Relaxed);
        self.act(op).await?;
        self.settle().await
    }

    async fn act(&mut self, op: Op) -> Judged {
        match op {
            Op::Edit {
                device,
                document,
                what,
                value,
            } => {
                self.edit(self.device(device), document, what, value);
            }
            Op::Send {
                device,
                gateway,
                count,
                atomic,
                policy,
                lost,
            } => {
                let sending = edits::sending(count, atomic, policy);
                self.send_next(self.device(device), sending, gateway.into(), lost);
            }
            Op::Retry { device, gateway } => self.retry(self.device(device), gateway.into()),
            Op::Replay {
                device,
                gateway,
                nth,
            } => {
                self.replay(self.device(device), nth.into(), gateway.into());
            }
            Op::Hear { device, nth, again } => {
                self.hear(self.device(device), nth.into(), again)?;
            }
            Op::LoseAnswers { device } => self.device_mut(device).answers.clear(),
            Op::Pull {
                device,
                gateway,
                limit,
            } => {
                self.pull(self.device(device), gateway.into(), limit);
            }
            Op::Arrive { device } => self.arrive(self.device(device))?,
            Op::LosePage { device } => self.device_mut(device).pulled = None,
            Op::PullAll {
                device,
                gateway,
                limit,
            } => {
                self.pull_all(self.device(device), gateway.into(), limit)
                    .await?;
            }
            Op::Subscribe {
                device,
                gateway,
                limit,
            } => {
                self.subscribe(self.device(device), gateway.into(), limit);
            }
            Op::Listen { device } => self.listen(self.device(device))?,
            Op::HangUp { device } => self.device_mut(device).hang_up(),
            Op::Types { device, what } => self.device_mut(device).ask_for(edits::types(what)),
            Op::Token { user, team } => self.renew_token(user, team),
            Op::Member { user, team, what } => self.change_membership(user, team, what),
            Op::Stranger {
                document,
                what,
                value,
            } => self.edit_as_stranger(document, what, value),
            Op::Hurry => self.hurry().await?,
            Op::Collect { ticks } => self.collect(ticks),
            Op::Rotate => self.rotate(),
            Op::Backup => self.back_up().await?,
            Op::Restore => self.restore().await?,
            Op::Crash { gateway } => self.crash(usize::from(gateway) % GATEWAYS),
            Op::Hold { calls } => self.store.hold_after(calls),
            Op::Release { nth, fails } => self.store.release(nth.into(), fails),
            Op::Lag { gateway } => self.store.lag(usize::from(gateway) % GATEWAYS),
            Op::CatchUp { gateway, events } => {
                let events = Some(usize::from(events)).filter(|events| *events > 0);
                self.store.catch_up(usize::from(gateway) % GATEWAYS, events);
            }
            Op::Restart { gateway } => self.store.restart_tail(usize::from(gateway) % GATEWAYS),
            Op::RunTwice => self.store.run_twice(),
            Op::Wait => tokio::time::sleep(GIVEN_UP).await,
        }
        Ok(())
    }

    /// Lets everything run that can, and judges what it brought: a clock that stands still only goes on when nobody has
    /// anything to do.
    async fn settle(&mut self) -> Judged {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let heard = std::mem::take(&mut *lock(&self.heard));
        heard.into_iter().try_for_each(|heard| self.judge(heard))
    }

    fn judge(&mut self, heard: Heard) -> Judged {
        match heard {
            Heard::Answer {
                request,
                parcel,
                answer,
            } => self.answered(&request, parcel, answer),
            Heard::Page {
                request,
                arrival,
                pull,
            } => {
                let asked = request.asked;
                self.judge_page(&request, &arrival, asked)?;
                self.tally.pages += 1;
                let device = &mut self.devices[request.device];
                if device.pull == pull {
                    device.pulled = Some(arrival);
                }
                Ok(())
            }
            Heard::Live {
                request,
                page,
                socket,
            } => {
                let arrival = self.devices[request.device].live(page, socket);
                let Some(arrival) = arrival else {
                    return Ok(());
                };
                self.tally.pages += 1;
                // Since when its grants were looked at is not known from outside.
                self.judge_page(&request, &arrival, 0)
            }
        }
    }

    fn judge_page(&self, request: &Request, arrival: &Arrival, since: usize) -> Judged {
        let page = &arrival.page;
        let from = arrival.from.as_deref().map(oracle::read);
        self.store.look(|moments| {
            request.sight.judge_page(&page.changes, moments, since)?;
            let possible: Vec<bool> = moments[request.asked..]
                .iter()
                .map(|moment| oracle::is_continuous(from.as_ref(), &page.checkpoint, &moment.state))
                .collect();
            let pulled = arrival.requested.is_some();
            let right = possible.contains(&!page.reset) || !pulled && !page.reset;
            expect(right, Property::Reset, || format!("{page:?} from {from:?}"))
        })?;
        expect(
            !page.has_more || !page.changes.is_empty(),
            Property::Ends,
            || format!("an empty page, and more to come: {page:?}"),
        )?;
        match from.filter(|_| !page.reset) {
            Some(from) => oracle::judge_monotone(&from, &page.checkpoint, &page.revoked),
            None => Ok(()),
        }
    }

    fn answered(
        &mut self,
        request: &Request,
        parcel: Parcel,
        answer: Result<PushOutcome, SyncError>,
    ) -> Judged {
        if let Ok(outcome) = &answer {
            self.enter(request, &parcel, outcome)?;
        }
        let answer = match answer {
            Ok(outcome) => Ok(outcome),
            Err(SyncError::Push(refusal)) => Err(refusal),
            // A fault: it is sent again.
            Err(_) => return Ok(()),
        };
        if request.device == self.hasty_device() {
            self.hasty.answer = Some(answer);
            return Ok(());
        }
        let alive = request.life == self.lives[request.gateway];
        if let Some(device) = self.devices.get_mut(request.device).filter(|_| alive) {
            device.answers.push((parcel.push, answer));
        }
        Ok(())
    }

    fn enter(&mut self, request: &Request, parcel: &Parcel, answer: &PushOutcome) -> Judged {
        let push = &parcel.push;
        let by = push.client.as_ref().map(|client| ClientKey {
            user: request.sight.user.clone(),
            client: client.id.clone(),
        });
        let items = push
            .changes
            .iter()
            .zip(&parcel.numbers)
            .zip(&answer.outcomes);
        let mut failed = BTreeSet::new();
        for ((item, number), outcome) in items {
            let Ok(change) = item.change.clone() else {
                continue;
            };
            let sent = Sent {
                number: *number,
                change,
                known: self.known[*number as usize],
                by: by.clone(),
                mutation: outcome.mutation,
                policy: push.policy,
                excused: push.atomic || failed.contains(&change_key(item)),
            };
            let key = sent.change.key.clone();
            if sent.is_create() && !oracle::took(outcome) {
                failed.insert(Some(key.clone()));
            }
            self.ledger.enter(sent, outcome, answer.duplicate)?;
            if oracle::took(outcome)
                && let Some(version) = outcome.version
            {
                self.tally.applied += 1;
                if !answer.duplicate {
                    let client = by.as_ref().map(|by| &by.client);
                    self.store.look(|moments| {
                        request.sight.judge_write(client, (&key, version), moments)
                    })?;
                }
            } else {
                self.tally.refused += 1;
            }
            if let Some(entry) = &outcome.document {
                let record = Record::Entry(Arc::clone(entry));
                self.store
                    .look(|moments| request.sight.judge_record(&record, moments))?;
            }
        }
        Ok(())
    }

    fn collect(&mut self, ticks: u8) {
        let now = self.clock.load(Ordering::Relaxed) - OP_MS * i64::from(ticks);
        let before = self.store.now();
        let Ok(limit) = Timestamp::from_ms(now) else {
            return;
        };
        // Operators have a way to the store that nobody holds up.
        self.store
            .commit_now(&collect::reads(limit, usize::MAX), &collect::decide);
        self.ledger.collect(&before, &self.store.now());
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        epoch(self.epochs)
    }

    fn rotate(&mut self) {
        let name = self.next_epoch();
        let decide = move |_: &Loaded| collect::rotate(name.clone());
        self.store.commit_now(&Reads::default(), &decide);
    }

    /// What is on its way to the store arrives before it is backed up or put back: whoever restores stops the gateways.
    async fn quiesce(&mut self) -> Judged {
        self.store.release_all();
        self.settle().await
    }

    async fn back_up(&mut self) -> Judged {
        self.quiesce().await?;
        self.backup = Some((self.store.now(), self.ledger.clone()));
        Ok(())
    }

    async fn restore(&mut self) -> Judged {
        self.quiesce().await?;
        if let Some((state, ledger)) = self.backup.take() {
            let name = self.next_epoch();
            self.store.restore(&state, name);
            self.ledger = std::mem::take(&mut self.ledger).restored(ledger, &state);
        }
        Ok(())
    }

    fn crash(&mut self, number: usize) {
        self.lives[number] += 1;
        self.store.fail_those_of(number);
        for device in &mut self.devices {
            device.lose(number);
        }
        self.gateways[number] = self.gateway(number);
    }

    fn renew_token(&mut self, user: u8, team: u8) {
        let (user, team) = (
            usize::from(user) % USERS.len(),
            TEAMS[usize::from(team) % TEAMS.len()],
        );
        if !self.teams[user].remove(team) {
            self.teams[user].insert(team);
        }
    }

    /// The caller with the token that the user gets now.
    fn caller(&self, user: usize) -> (Caller, Sight) {
        let teams: Vec<&str> = self.teams[user].iter().copied().collect();
        let identity = people::identity(USERS[user], &teams);
        let sight = Sight {
            user: identity.user.clone(),
            claimed: people::claimed(&self.model, &identity),
        };
        let caller = self.gateways[0]
            .caller(identity)
            .expect("two teams are few scopes");
        (caller, sight)
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

fn change_key(item: &Submission) -> Option<DocumentKey> {
    item.change.as_ref().ok().map(|change| change.key.clone())
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
