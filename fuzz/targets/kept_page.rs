#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ctct_load::fuzzing::kept_page(bytes);
});
