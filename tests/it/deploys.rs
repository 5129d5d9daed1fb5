//! Three gateways are deployed again and again with one of three models, while they are killed, stopped and cut off,
//! devices with old and new apps move between them, and another service writes: all devices end with the collections.
//!
//! `TIDEGATE_DEPLOYS_STEPS` asks for so many random steps, and `TIDEGATE_DEPLOYS_SEED` repeats those of a run. The binary
//! that `TIDEGATE_DEPLOYS_BEFORE` names serves the first model.

mod device;
mod foreign;
mod judge;
mod kinds;
mod stage;

use std::{
    env,
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use mongodb::bson::doc;
use tidegate_testkit::Random;
use tokio::{sync::watch, time::sleep};

use self::{
    device::{Device, Person},
    foreign::Foreign,
    judge::judge,
    kinds::{App, Model},
    stage::{SLOTS, Stage},
};

const PEOPLE: [(Person, App); 5] = [
    (
        Person {
            user: "alice",
            teams: &["red"],
            lists: &["x"],
            staff: &["red"],
            subscribes: false,
            counts: true,
            updates: false,
        },
        App::Old,
    ),
    (
        Person {
            user: "bob",
            teams: &["red", "blue"],
            lists: &["x", "y"],
            staff: &[],
            subscribes: true,
            counts: true,
            updates: true,
        },
        App::Old,
    ),
    (
        Person {
            user: "carol",
            teams: &["red"],
            lists: &["y"],
            staff: &["red"],
            subscribes: false,
            counts: true,
            updates: false,
        },
        App::New,
    ),
    // A membership that the other service writes opens more to him.
    (
        Person {
            user: "dave",
            teams: &["blue"],
            lists: &["y"],
            staff: &[],
            subscribes: false,
            counts: false,
            updates: true,
        },
        App::Old,
    ),
    (
        Person {
            user: "erin",
            teams: &["red", "blue"],
            lists: &["x"],
            staff: &[],
            subscribes: true,
            counts: true,
            updates: false,
        },
        App::Old,
    ),
];

/// What happens while all work.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Gateways with this model take the place of so many others, one after the other.
    Deploy(Model, usize),
    /// The third model takes all places and keeps most of them. What only it can read is written from now on.
    Grow,
    /// Gateways with this model are killed while they start, and then one of them takes the place of another.
    Crash(Model),
    /// A gateway is killed, and a while later another one with its model takes its place.
    Kill,
    /// A gateway with the latest model stands still for so many seconds.
    Stop(usize),
    Election,
    CutStreams,
    LoseHistory,
    Rest(usize),
}

/// The steps of `make test`: each fault once, at a random moment.
const STEPS: [Step; 11] = [
    Step::Rest(2),
    Step::Crash(Model::B),
    Step::Election,
    Step::Deploy(Model::B, 1),
    Step::Stop(5),
    Step::CutStreams,
    Step::Deploy(Model::B, SLOTS),
    Step::Deploy(Model::A, 1),
    Step::Kill,
    Step::Crash(Model::C),
    Step::Kill,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_equal_the_collections_after_deploys_of_several_models_and_faults() {
    let seed = number("TIDEGATE_DEPLOYS_SEED");
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(()) % 1_000_000);
    println!("TIDEGATE_DEPLOYS_SEED={seed} repeats the steps and what all write");
    let mut random = Random::new(seed);
    let (nodes, steps) = match number("TIDEGATE_DEPLOYS_STEPS") {
        Some(steps) => (3, random_steps(&mut random, steps)),
        None => (1, STEPS.to_vec()),
    };
    let stage = Arc::new(Stage::new(nodes).await);
    let mut foreign = Foreign::new(&stage, seed);
    foreign.fill().await;
    for slot in 0..SLOTS {
        stage.replace(slot, Model::A, false);
    }
    let (stop, stopped) = watch::channel(false);
    let writing = tokio::spawn(foreign.write_until(stopped.clone()));
    let working = PEOPLE
        .into_iter()
        .enumerate()
        .map(|(number, (person, app))| {
            let device = Device::new(&stage, person, app, seed.wrapping_add(1 + number as u64));
            tokio::spawn(device.work_until(stopped.clone()))
        });
    let working: Vec<_> = working.collect();
    let mut last = Model::A;
    for step in steps {
        let began = Instant::now();
        last = take(&stage, step, last, &mut random).await;
        println!("{step:?}: {:?}, {:?}", began.elapsed(), stage.models());
        let failed = working.iter().find(|device| device.is_finished());
        assert!(failed.is_none(), "a device has failed");
    }
    // The new apps need the second model.
    let has_grown = stage.has_grown.load(Ordering::Relaxed);
    let end = match has_grown || last == Model::C {
        true => Step::Grow,
        false => Step::Deploy(Model::B, SLOTS),
    };
    let last = take(&stage, end, last, &mut random).await;
    sleep(Duration::from_secs(2)).await;
    stop.send_replace(true);
    writing.await.unwrap();
    let devices = join_all(working).await.into_iter();
    let devices: Vec<Device> = devices.map(Result::unwrap).collect();
    let of_all = |count: fn(&Device) -> usize| devices.iter().map(count).sum::<usize>();
    println!(
        "{} pushes, of which {} were answered as repetitions",
        of_all(|it| it.ledger.pushes),
        of_all(|it| it.ledger.repetitions)
    );
    judge(&stage, last, devices).await;
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().expect("it is a number"))
}

/// In every other run the third model stays from the middle on.
fn random_steps(random: &mut Random, count: u64) -> Vec<Step> {
    let stays = random.once_in(2);
    let mut steps = vec![Step::Rest(1)];
    for number in 0..count {
        let is_late = stays && number > count / 2;
        let model = match (is_late, random.below(7)) {
            (true, 0) => Model::B,
            (true, _) | (false, 0 | 1) => Model::C,
            (false, 2 | 3) => Model::A,
            (false, _) => Model::B,
        };
        let slots = match is_late && model == Model::B {
            true => 1,
            false => 1 + random.below(SLOTS),
        };
        if stays && number == count / 2 {
            steps.push(Step::Grow);
            continue;
        }
        steps.push(match random.below(14) {
            0..=4 => Step::Deploy(model, slots),
            5..=7 => Step::Crash(model),
            8 | 9 => Step::Kill,
            10 => Step::Stop(5 + random.below(65)),
            11 => Step::Election,
            12 if random.once_in(2) => Step::CutStreams,
            12 => Step::LoseHistory,
            // An earlier model leads again after a minute.
            _ => Step::Rest(65),
        });
    }
    steps
}

/// Takes a step. Returns the model of the last deploy.
async fn take(stage: &Arc<Stage>, step: Step, last: Model, random: &mut Random) -> Model {
    let moment = |random: &mut Random, ms: usize| Duration::from_millis(random.below(ms) as u64);
    match step {
        Step::Deploy(model, slots) => {
            let first = place(stage, model, random);
            for slot in (first..first + slots).map(|slot| slot % SLOTS) {
                stage.replace(slot, model, random.once_in(2));
                sleep(moment(random, 2_000)).await;
            }
            return model;
        }
        Step::Grow => {
            for slot in 0..SLOTS {
                stage.replace(slot, Model::C, random.once_in(2));
            }
            stage.has_grown.store(true, Ordering::Relaxed);
            return Model::C;
        }
        Step::Crash(model) => {
            for _ in 0..1 + random.below(3) {
                let after = moment(random, 2_500);
                stage.start_and_kill(model, after).await;
            }
            stage.replace(place(stage, model, random), model, true);
            return model;
        }
        Step::Kill => {
            let slot = random.below(SLOTS);
            let model = stage.models()[slot].expect("all run");
            stage.kill(slot);
            sleep(moment(random, 6_000)).await;
            stage.replace(slot, model, true);
        }
        Step::Stop(seconds) => {
            let models = stage.models();
            let latest = models.iter().max().expect("there are gateways");
            let slot = models.iter().position(|model| model == latest).unwrap();
            stage.signal(slot, "STOP");
            sleep(Duration::from_secs(seconds as u64)).await;
            stage.signal(slot, "CONT");
        }
        Step::Election => {
            stage.set.step_down().await;
            // Later faults are set on the new primary.
            sleep(Duration::from_secs(2)).await;
            stage.set.primary().await;
        }
        Step::CutStreams => {
            let how = doc! {"failCommands": ["getMore", "aggregate"], "closeConnection": true};
            stage.set.fail_gateways(4, how).await;
        }
        Step::LoseHistory => {
            let how = doc! {"failCommands": ["getMore"], "errorCode": 286};
            stage.set.fail_gateways(4, how).await;
        }
        Step::Rest(seconds) => sleep(Duration::from_secs(seconds as u64)).await,
    }
    last
}

/// Where to put a gateway with this model. Once only the third model can read all values, others get one place.
fn place(stage: &Stage, model: Model, random: &mut Random) -> usize {
    let is_outgrown = model < Model::C && stage.has_grown.load(Ordering::Relaxed);
    match is_outgrown {
        true => 0,
        false => random.below(SLOTS),
    }
}
