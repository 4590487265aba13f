//! libFuzzer's entry to [`fuzz::python_lexer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::python_lexer(data));
