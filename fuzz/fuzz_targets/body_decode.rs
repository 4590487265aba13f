//! libFuzzer's entry to [`fuzz::body_decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::body_decode(data));
