//! How the allocator behaves.

use std::{env, os::unix::process::CommandExt as _, process::Command};

/// mimalloc's own variable: after how many milliseconds a freed page goes back to the system.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

/// Makes the allocator give freed pages back at once.
///
/// By default it does so some time later, and only while it is asked for more: a server at rest would keep hundreds of MiB that it
/// used under load. At once costs nothing that the bench of appends shows. mimalloc reads its settings from the environment before
/// `main`, and otherwise by numbers that change with its version; so the program puts itself in its own place, as the same process,
/// with the variable set. Whoever has set it is left alone; where that cannot be done the server runs without.
pub(crate) fn give_memory_back_at_once() {
    if env::var_os(PURGE_DELAY).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    // Returns only if it failed.
    let error = Command::new(program).args(env::args_os().skip(1)).env(PURGE_DELAY, "0").exec();
    eprintln!("ossia: the allocator keeps its defaults: {error}");
}
