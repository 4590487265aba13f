//! libFuzzer's entry to [`fuzz::pickle_read`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::pickle_read(data));
