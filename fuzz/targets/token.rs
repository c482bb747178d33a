#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ctct_extract::fuzzing::token(bytes);
});
