//! Many subscribers: how fast the changes of one scope reach thousands of them, and what subscribers cost to which
//! nothing is sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{Bench, Pusher, new_documents};
use crate::{
    client::{Device, User},
    figure::{Bar, Row},
    gateway::Gateway,
    load::{self, work},
    swarm::Swarm,
};

/// Changes delivered per second, to all subscribers together.
const MESSAGES_BAR: Bar = Bar::AtLeast(400_000.0);

/// How much more a push may cost or take beside subscribers of other scopes: the difference between two equal
/// measurements.
const UNTOUCHED_BAR: Bar = Bar::AtMost(1.2);

/// More than half of the sockets a user may have.
const SOCKETS_A_USER: usize = 500;

/// Scopes that one user may write to here; they stand in the token.
const SCOPES_A_WRITER: usize = 500;

/// Of the pushes that write to all scopes.
const CHANGES_A_PUSH: usize = 100;

const WRITERS: usize = 16;

/// The number of windows in a round with one scope. Thousands of subscribers have the first change after half a window,
/// and the last change half a window late.
const WINDOWS: u32 = 4;

/// How many changes may not have reached all subscribers when the next one is pushed: a quarter of how far a subscriber
/// may be behind.
const AHEAD: usize = 64;

/// Subscribers of one scope.
pub(super) async fn crowd(bench: &Bench, gateway: &Gateway) -> Swarm {
    let teams = ["crowd".to_owned()];
    let user = |i: usize| gateway.user(&format!("listener-{}", i / SOCKETS_A_USER), &teams);
    Swarm::open((0..bench.subscribers).map(user).collect()).await
}

/// Subscribers of a scope each.
pub(super) async fn strangers(bench: &Bench, gateway: &Gateway) -> Swarm {
    let user = |i: usize| gateway.user(&format!("stranger-{i}"), &[stranger(i)]);
    Swarm::open((0..bench.subscribers).map(user).collect()).await
}

fn stranger(number: usize) -> String {
    format!("s{number}")
}

pub(super) async fn rows(bench: &mut Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    if bench.wants("subscribers of one scope") {
        rows.extend(of_one_scope(bench).await);
    }
    if bench.wants("subscribers to none") {
        rows.extend(of_many_scopes(bench).await);
    }
    rows
}

/// Some clients push one change after the other. Every subscriber must get every change.
async fn of_one_scope(bench: &mut Bench) -> Vec<Row> {
    let gateway = bench.gateway();
    let swarm = Arc::new(crowd(bench, &gateway).await);
    let spoken = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for writer in 0..WRITERS {
        let user = gateway.user(&format!("speaker-{writer}"), &["crowd".to_owned()]);
        let device = Device::new(&user, "team:crowd").await;
        clients.push(Speaker {
            pusher: Pusher::new(device, 1, bench.numbers()),
            swarm: Arc::clone(&swarm),
            spoken: Arc::clone(&spoken),
        });
    }
    let (mut changes, mut messages) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let before = (swarm.changes(), swarm.messages());
        let began = Instant::now();
        let (worked, done) = work(clients, WINDOWS * bench.window).await;
        clients = worked;
        let all = before.0 + (done.items * swarm.size) as u64;
        let seconds = (swarm.received(all).await - began).as_secs_f64();
        changes.push((swarm.changes() - before.0) as f64 / seconds);
        messages.push((swarm.messages() - before.1) as f64 / seconds);
    }
    drop(clients);
    let received = Arc::into_inner(swarm).unwrap().end();
    assert!(received.iter().all(|changes| *changes == received[0]));
    let name = format!("{} subscribers of one scope", bench.subscribers);
    vec![
        Row::alone(name, "changes/s", changes)
            .bar(MESSAGES_BAR)
            .headline(),
        Row::alone("the same, joined into pages", "pages/s", messages),
    ]
}

/// A writer that waits for its subscribers.
struct Speaker {
    pusher: Pusher<Device>,
    swarm: Arc<Swarm>,
    /// The changes of all writers.
    spoken: Arc<AtomicUsize>,
}

impl load::Client for Speaker {
    async fn step(&mut self) -> usize {
        let changes = self.pusher.step().await;
        let spoken = self.spoken.fetch_add(changes, Ordering::AcqRel) + changes;
        let heard = spoken.saturating_sub(AHEAD) * self.swarm.size;
        self.swarm.received(heard as u64).await;
        changes
    }
}

/// The same pushes before and after thousands subscribe to scopes that they do not touch, and then pushes that touch
/// all.
async fn of_many_scopes(bench: &mut Bench) -> Vec<Row> {
    let gateway = bench.gateway();
    let user = gateway.user("untouching", &[]);
    let device = Device::new(&user, "user:untouching").await;
    let mut clients = vec![Pusher::new(device, 1, bench.numbers())];
    let writers = writers(bench, &gateway);
    let mut costs = [Vec::new(), Vec::new()];
    let mut waits = [Vec::new(), Vec::new()];
    let mut each = [Vec::new(), Vec::new()];
    let mut swarm = None;
    for stage in 0..2 {
        if stage == 1 {
            swarm = Some(strangers(bench, &gateway).await);
        }
        for _ in 0..bench.rounds {
            let before = gateway.processor_ms();
            let (worked, done) = work(clients, bench.window).await;
            clients = worked;
            costs[stage].push((gateway.processor_ms() - before) / done.count() as f64);
            waits[stage].push(done.percentile_ms(50.0));
            each[stage].push(write_to_each(bench, &gateway, &writers, swarm.as_ref()).await);
        }
    }
    let received = swarm.unwrap().end();
    let expected = bench.rounds as u64;
    assert!(received.iter().all(|changes| *changes == expected));
    let pairs = |[without, with]: [Vec<f64>; 2]| without.into_iter().zip(with).collect::<Vec<_>>();
    let row = |what: &str, rounds: &[(f64, f64)]| {
        let name = format!("{what}, {} subscribers to none", bench.subscribers);
        Row::compared(name, "ms", rounds)
    };
    vec![
        row("CPU of a push elsewhere", &pairs(costs)).bar(UNTOUCHED_BAR),
        row("p50 of a push elsewhere", &pairs(waits)).bar(UNTOUCHED_BAR),
        row("CPU of a change to each", &pairs(each)),
    ]
}

fn writers(bench: &Bench, gateway: &Gateway) -> Vec<User> {
    let writer = |i: usize| {
        let scopes = i * SCOPES_A_WRITER..(i + 1) * SCOPES_A_WRITER;
        let teams: Vec<String> = scopes.map(stranger).collect();
        gateway.user(&format!("writer-{i}"), &teams)
    };
    (0..bench.subscribers / SCOPES_A_WRITER)
        .map(writer)
        .collect()
}

/// Writes one document to each of the scopes. Returns the processor time of a document, up to the end of its delivery.
async fn write_to_each(
    bench: &mut Bench,
    gateway: &Gateway,
    writers: &[User],
    swarm: Option<&Swarm>,
) -> f64 {
    let before = gateway.processor_ms();
    let received = swarm.map_or(0, Swarm::changes);
    for (i, writer) in writers.iter().enumerate() {
        let mut device = Device::new(writer, "").await;
        let (first, last) = (i * SCOPES_A_WRITER, (i + 1) * SCOPES_A_WRITER);
        for some in (first..last).step_by(CHANGES_A_PUSH) {
            let edits = new_documents(bench.numbers(), CHANGES_A_PUSH);
            let scopes = some..some + CHANGES_A_PUSH;
            let scopes: Vec<_> = scopes
                .map(|scope| format!("team:{}", stranger(scope)))
                .collect();
            let changes = edits.iter().zip(scopes.iter().map(String::as_str));
            device.push_to(changes).await;
        }
    }
    if let Some(swarm) = swarm {
        swarm.received(received + swarm.size as u64).await;
    }
    (gateway.processor_ms() - before) / bench.subscribers as f64
}
