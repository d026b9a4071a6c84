#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lowmem_serve_fuzz::websocket::run(bytes));
