//! libFuzzer's entry to [`fuzz::config_literal`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::config_literal(data));
