//! libFuzzer with the target that the environment names in `OSSIA_FUZZ`: one program for all of them, so that it is linked once.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<ossia_fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("OSSIA_FUZZ").unwrap_or_default();
    match ossia_fuzz::target(&name) {
        Some(target) => target,
        None => {
            eprintln!("OSSIA_FUZZ={name} names no target");
            std::process::exit(2);
        }
    }
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
