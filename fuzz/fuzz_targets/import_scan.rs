//! libFuzzer's entry to [`fuzz::import_scan`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::import_scan(data));
