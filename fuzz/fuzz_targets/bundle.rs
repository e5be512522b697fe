#![no_main]

aido_fuzz::fuzz_target!(|bytes: &[u8]| aido_fuzz::stored("bundle", bytes));
