#![no_main]

#[path = "../bodies/store.rs"]
mod store;

// libFuzzer ends the process at every panic. Here a panic that the store catches is no failure; one that it does not
// catch still is.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |bytes: &[u8]| store::run(bytes));
