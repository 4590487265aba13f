//! libFuzzer's entry to [`fuzz::minify`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::minify(data));
