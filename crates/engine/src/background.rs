//! Background work on the index: flushing, compaction, and giving memory back. It changes no visible byte (I10).
//!
//! Two threads, so that a long compaction does not hold up a flush. Both end at the first failure, which poisons the store (I5).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{shared::Shared, tree::TreeFailed};

/// How often a full medium is looked at.
const ROOM_LOOKED_AT: Duration = Duration::from_millis(250);
/// A flush needs the room of what it writes, filters and manifests included.
const FLUSH_MORE_BYTES: u64 = 256 << 10;

/// Runs a piece of work on the tree, whose crate panics on some failures; `None` after one, and once the store is poisoned: what
/// the tree has in memory may no longer be what its files say, and further work would write over those.
fn attempt(
    shared: &Shared,
    name: &str,
    work: impl FnOnce() -> Result<bool, TreeFailed>,
) -> Option<bool> {
    if shared.condition.poisoned().is_some() {
        return None;
    }
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(changed)) => return Some(changed),
        Ok(Err(failed)) => shared.poison(format!("{name} of the index failed: {failed}")),
        Err(_) => shared.poison(format!("{name} of the index panicked")),
    }
    None
}

/// Waits until so many bytes are free: a failed write of the tree is final, and a full medium need not be. `None` at the end.
fn wait_for_room(shared: &Shared, name: &str, bytes: u64) -> Option<()> {
    let mut told = false;
    while !shared.condition.has_free(bytes) && shared.condition.poisoned().is_none() {
        let what = format!("{name} of the index needs {bytes} bytes");
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(what, "background work waits for room on the medium");
        }
        shared.condition.found_full(what);
        if !shared.chores.pause(ROOM_LOOKED_AT) {
            return None;
        }
    }
    Some(())
}

/// The flushing thread.
pub(crate) fn flusher(shared: &Shared) {
    let next = || {
        shared.chores.wait(|asked| {
            let (flush, trim) = (asked.flush, asked.trim);
            (asked.flush, asked.trim) = (false, false);
            (flush || trim).then_some((flush, trim))
        })
    };
    while let Some((flush, trim)) = next() {
        if trim {
            shared.index.trim(shared.snapshots.watermark());
        }
        if flush && flush_sealed(shared).is_none() {
            return;
        }
    }
}

fn flush_sealed(shared: &Shared) -> Option<()> {
    // The tree seals first and the view follows, so every memtable seen here is one that this flush writes.
    let before = shared.snapshots.view();
    let sealed = &before.sealed;
    if sealed.is_empty() {
        return Some(());
    }
    let bytes: u64 = sealed.iter().map(|memtable| memtable.size()).sum();
    wait_for_room(shared, "a flush", bytes.saturating_add(bytes / 4) + FLUSH_MORE_BYTES)?;
    attempt(shared, "a flush", || shared.index.flush(shared.snapshots.watermark()))?;
    let told = before.told_after(sealed);
    shared.snapshots.change_view(|view| view.flushed(sealed, told));
    shared.span.flushed(sealed.iter().map(|memtable| memtable.id()));
    drop(before);
    shared.renew_copies();
    shared.index.count_tables(&shared.counters);
    shared.measure_pressure();
    // The versions before this flush hold its memtables until the commit thread has published past it.
    shared.queue.nudge();
    shared.chores.ask(|asked| asked.compact = true);
    Some(())
}

/// The compacting thread.
pub(crate) fn compactor(shared: &Shared) {
    while shared.chores.wait(|asked| std::mem::take(&mut asked.compact).then_some(())).is_some() {
        let mut any = false;
        while !shared.chores.is_stopped() {
            // How much it writes is known only to the tree; half of the reserve is far more than it mostly is.
            if wait_for_room(shared, "a compaction", shared.options.reserve_bytes / 2).is_none() {
                return;
            }
            let work = || shared.index.compact(shared.snapshots.watermark());
            match attempt(shared, "a compaction", work) {
                Some(true) => any = true,
                Some(false) => break,
                None => return,
            }
            shared.renew_copies();
            shared.index.count_tables(&shared.counters);
            shared.measure_pressure();
        }
        if any {
            shared.queue.nudge();
        }
    }
}
