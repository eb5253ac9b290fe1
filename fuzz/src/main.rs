//! One binary for all targets: `METERLAKE_FUZZ` names the one to run, the arguments are libFuzzer's. `run` does both.
#![no_main]

// What is fuzzed. It needs nothing of the other modules, so that it is compiled here in a minute, and not with DataFusion.
#[allow(dead_code, unused_imports)]
#[path = "../../src/base/mod.rs"]
mod base;
#[allow(dead_code, unused_imports)]
#[path = "../../src/decode/mod.rs"]
mod decode;
#[allow(dead_code, unused_imports)]
#[path = "../../src/schema/mod.rs"]
mod schema;

mod built;
mod input;
mod keys;
mod object;
mod pack;
mod plans;
mod raw;
mod seeds;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::abort;
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;

/// What is done with an input.
type Target = fn(&[u8]);

/// Inputs that are objects as they come, and inputs from which objects are made.
const TARGETS: [(&str, Target); 11] = [
    ("realtime", raw::realtime),
    ("standard", raw::standard),
    ("parquet", raw::parquet),
    ("json", raw::json),
    ("text", raw::text),
    ("own", raw::own),
    ("unpack", built::unpack),
    ("envelope", built::envelope),
    ("failed", built::failed),
    ("template", built::template),
    ("keys", keys::keys),
];

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("METERLAKE_FUZZ").unwrap_or_default();
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let Some((_, target)) = found else {
        let known = TARGETS.map(|(known, _)| known).join(", ");
        panic!("METERLAKE_FUZZ names no target: it is one of {known}")
    };
    *target
});

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fn initialize() {
    // The hook of libfuzzer-sys ends the process at every panic; but those of the Parquet library are caught by `decode`.
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = panic.to_string();
        }
    }));
    if let Some(folder) = std::env::var_os("METERLAKE_FUZZ_SEEDS") {
        seeds::write(folder.as_ref()).expect("the seeds can be written");
        std::process::exit(0);
    }
}

fuzz_target!(init: initialize(), |data: &[u8]| {
    if catch_unwind(AssertUnwindSafe(|| TARGET(data))).is_err() {
        eprintln!("{}", LAST_PANIC.lock().map(|last| last.clone()).unwrap_or_default());
        abort();
    }
});
