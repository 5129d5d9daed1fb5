//! What fuzzing has found and what it starts from, replayed without a fuzzer: each file of `fuzz/seeds/<target>/` and
//! `fuzz/crashes/<target>/`. Looking for more is `make fuzz`.

#[path = "../../fuzz/bodies/checkpoint.rs"]
mod checkpoint;
#[path = "../../fuzz/bodies/model.rs"]
mod model;
#[path = "../../fuzz/bodies/push.rs"]
mod push;
#[path = "../../fuzz/bodies/store.rs"]
mod store;

use std::{fs, panic::catch_unwind, path::Path};

#[test]
fn no_text_makes_a_model_without_an_api() {
    replay("model", model::run);
}

#[test]
fn every_checkpoint_that_is_accepted_is_harmless() {
    replay("checkpoint", checkpoint::run);
}

#[test]
fn no_push_makes_the_gateway_fail() {
    replay("push", push::run);
}

#[test]
fn a_damaged_store_file_is_told_or_read_but_never_ends_the_process() {
    replay("store", store::run);
}

/// redb trusts the pages of a file that was closed in order, and panicked in the threads that read them.
#[test]
fn whichever_page_of_a_store_is_zeroed_its_answers_are_answers() {
    for page in (0..67_u32).step_by(3) {
        store::run(&[&[6, 0][..], &(page * 4096).to_be_bytes()].concat());
    }
}

/// A page in another's place shows its keys twice: whoever walked through all documents began again, without end.
#[test]
fn a_walk_through_a_damaged_store_ends() {
    const PAGE_21_TO_26: [u8; 6] = [5, 21, 0x00, 0x01, 0xa0, 0x00];
    store::run(&PAGE_21_TO_26);
}

fn replay(target: &str, run: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut replayed = 0;
    for kind in ["seeds", "crashes"] {
        let Ok(files) = fs::read_dir(fuzz.join(kind).join(target)) else {
            continue;
        };
        for file in files {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            catch_unwind(|| run(&bytes)).unwrap_or_else(|_| panic!("{} fails", path.display()));
            replayed += 1;
        }
    }
    assert!(replayed > 0, "{target} has seeds");
}
