#![no_main]

#[path = "../bodies/socket.rs"]
mod socket;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| socket::run(bytes));
