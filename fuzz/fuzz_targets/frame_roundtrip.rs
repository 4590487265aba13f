//! libFuzzer's entry to [`fuzz::frame_roundtrip`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::frame_roundtrip(data));
