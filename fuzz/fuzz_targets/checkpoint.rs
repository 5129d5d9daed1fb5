#![no_main]

#[path = "../bodies/checkpoint.rs"]
mod checkpoint;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checkpoint::run(bytes));
