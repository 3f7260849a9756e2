//! Trees of landings.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwether_fuzz::fuzz::tree(data));
