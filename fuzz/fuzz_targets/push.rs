#![no_main]

#[path = "../bodies/push.rs"]
mod push;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| push::run(bytes));
