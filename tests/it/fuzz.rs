//! The findings and seeds of fuzzing, replayed without a fuzzer: each file of `fuzz/seeds/<target>/` and
//! `fuzz/crashes/<target>/`, and some random changes of them. `make fuzz` looks for more.

mod changes;
#[path = "../../fuzz/bodies/checkpoint.rs"]
mod checkpoint;
#[path = "../../fuzz/bodies/model.rs"]
mod model;
#[path = "../../fuzz/bodies/push.rs"]
mod push;
#[path = "../../fuzz/bodies/socket.rs"]
mod socket;
#[path = "../../fuzz/bodies/store.rs"]
mod store;

use std::{env, fs, panic::catch_unwind, path::Path};

use self::changes::Random;

#[test]
fn no_text_makes_a_model_without_an_api() {
    replay("model", model::run, 200);
}

#[test]
fn every_checkpoint_that_is_accepted_is_harmless() {
    replay("checkpoint", checkpoint::run, 10_000);
}

#[test]
fn no_push_makes_the_gateway_fail() {
    replay("push", push::run, 300);
}

#[test]
fn no_conversation_on_a_socket_leaves_the_protocol() {
    replay("socket", socket::run, 3_000);
}

#[test]
fn a_damaged_store_file_is_reported_or_read_and_never_ends_the_process() {
    replay("store", store::run, 30);
}

/// redb trusts the pages of a file that was closed in order, and panicked in the threads that read them.
#[test]
fn whichever_page_of_a_store_is_zeroed_its_answers_are_answers() {
    for page in (0..67_u32).step_by(3) {
        store::run(&[&[6, 0][..], &(page * 4096).to_be_bytes()].concat());
    }
}

/// A page in another's place shows its keys twice: a walk through all documents began again, without end.
#[test]
fn a_walk_through_a_damaged_store_ends() {
    const PAGE_21_TO_26: [u8; 6] = [5, 21, 0x00, 0x01, 0xa0, 0x00];
    store::run(&PAGE_21_TO_26);
}

/// Runs a target over its files and as many random changes of them. TIDEGATE_FUZZ_SEED selects other changes.
fn replay(target: &str, run: fn(&[u8]), changes: usize) {
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "{target} has seeds");
    for (name, bytes) in &inputs {
        catch_unwind(|| run(bytes)).unwrap_or_else(|_| panic!("{name} fails"));
    }
    let inputs: Vec<Vec<u8>> = inputs.into_iter().map(|(_, bytes)| bytes).collect();
    let seed = env::var("TIDEGATE_FUZZ_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut random = Random::new(seed);
    for number in 0..changes {
        let bytes = random.change(&inputs);
        catch_unwind(|| run(&bytes)).unwrap_or_else(|_| {
            let shown = bytes.escape_ascii();
            panic!("{target} fails with TIDEGATE_FUZZ_SEED={seed} at change {number}: {shown}")
        });
    }
}

/// The files of a target by their paths, in a stable order.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let directories = ["seeds", "crashes"].map(|kind| fuzz.join(kind).join(target));
    let files = directories.iter().filter_map(|one| fs::read_dir(one).ok());
    let paths = files.flatten().map(|file| file.unwrap().path());
    let read = |path: std::path::PathBuf| (path.display().to_string(), fs::read(path).unwrap());
    let mut inputs: Vec<_> = paths.map(read).collect();
    inputs.sort();
    inputs
}
