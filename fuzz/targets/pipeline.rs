#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ctct_pipeline::fuzzing::pipeline(bytes);
});
