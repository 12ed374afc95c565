//! The engine's settings.

use std::path::PathBuf;

use ossia_store::{KEY_BYTES_MAX, PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX};

use crate::OpenError;

/// One transaction's bytes at most, with room for its keys and framing.
pub(crate) const TRANSACTION_BYTES_MAX: usize =
    PAYLOAD_BYTES_MAX + RECORD_BYTES_MAX + 1_024 * (KEY_BYTES_MAX + 64);

/// The shortest segment.
const SEGMENT_BYTES_MIN: u64 = 16 << 10;
/// A shard's journal has room for at least so many.
const SEGMENTS_MIN: u64 = 8;
/// The most shards of a store.
pub(crate) const SHARDS_MAX: usize = 64;

/// How a [`crate::LocalEngine`] uses its machine. Whether writes are synced is not a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// The data folder; made when absent. One process at a time.
    pub data: PathBuf,
    /// Length of a journal segment in bytes, a multiple of 4,096, at least 16 KiB. Default 64 MiB.
    ///
    /// Each is filled with zeros once, ahead of its use, so a store with any write in it takes at least one of these. The first
    /// of a new store is at most 4 MiB long, so that a start is quick.
    pub segment_bytes: u64,
    /// How long the journal may grow, all shards together, in bytes. Default 1 GiB; for each shard at least 8 segments.
    ///
    /// When it is more than half full, what its oldest segment still holds moves to the value log, and the segment is used again.
    /// When it is full, only deletes and that work are accepted.
    pub journal_bytes: u64,
    /// How many shards a new store gets: journals, indexes and commit threads that work side by side, 1 to 64. Default 0: one for
    /// each two processors, at most 8. An existing store keeps its own.
    pub shards: usize,
    /// How large the index's in-memory part grows before it is written out, in bytes. Default 32 MiB.
    pub memtable_bytes: u64,
    /// How many bytes of journal may lie behind the last checkpoint; bounds what a start replays. Default 256 MiB.
    pub checkpoint_bytes: u64,
    /// Cache of the index's blocks, in bytes. Default 16 MiB.
    pub cache_bytes: u64,
    /// The most bytes of transactions that are accepted and not yet answered; more wait. Default 64 MiB.
    pub queue_bytes_max: usize,
    /// A group takes no further transaction once it has this many bytes. Default 8 MiB.
    pub group_bytes_max: usize,
    /// Writes are refused as full when the medium has fewer free bytes than this; deletes go on. Default 192 MiB.
    pub reserve_bytes: u64,
    /// How many reads may be at the disk at once. Default 64.
    pub disk_reads_max: usize,
    /// After this long without a write, in milliseconds, the in-memory part of the index is written out and its memory given
    /// back. Default 10,000.
    pub idle_flush_ms: u64,
    /// How long admission lets a write wait for its turn before it answers busy, in milliseconds. Default 10,000.
    pub admission_wait_ms: u64,
}

impl EngineOptions {
    /// The defaults, on this data folder.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            segment_bytes: 64 << 20,
            journal_bytes: 1 << 30,
            shards: 0,
            memtable_bytes: 32 << 20,
            checkpoint_bytes: 256 << 20,
            cache_bytes: 16 << 20,
            queue_bytes_max: 64 << 20,
            group_bytes_max: 8 << 20,
            reserve_bytes: 192 << 20,
            disk_reads_max: 64,
            idle_flush_ms: 10_000,
            admission_wait_ms: 10_000,
        }
    }

    /// How many shards a store gets that is made now.
    pub(crate) fn shards_of_new_store(&self) -> usize {
        const AUTOMATIC_MAX: usize = 8;
        match self.shards {
            0 => {
                let processors = std::thread::available_parallelism().map_or(1, usize::from);
                (processors / 2).clamp(1, AUTOMATIC_MAX)
            }
            wanted => wanted,
        }
    }

    /// What of this one shard among so many may use.
    pub(crate) fn of_shard(&self, shards: usize) -> Self {
        let shards = shards.max(1) as u64;
        let journal_bytes = self.journal_bytes / shards;
        let segment_bytes = (journal_bytes / SEGMENTS_MIN / 4_096 * 4_096).max(SEGMENT_BYTES_MIN);
        Self {
            journal_bytes: journal_bytes.max(SEGMENT_BYTES_MIN * SEGMENTS_MIN),
            segment_bytes: self.segment_bytes.min(segment_bytes),
            memtable_bytes: (self.memtable_bytes / shards).max(1),
            checkpoint_bytes: (self.checkpoint_bytes / shards).max(1),
            cache_bytes: self.cache_bytes / shards,
            ..self.clone()
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`OpenError::Setting`] names the field.
    pub fn check(&self) -> Result<(), OpenError> {
        let refuse = |name, reason| Err(OpenError::Setting { name, reason });
        if !self.segment_bytes.is_multiple_of(4_096) || self.segment_bytes < SEGMENT_BYTES_MIN {
            return refuse("segment_bytes", "not a multiple of 4,096, or below 16 KiB");
        }
        if self.segment_bytes > 1 << 31 {
            return refuse("segment_bytes", "above 2 GiB");
        }
        if self.shards > SHARDS_MAX {
            return refuse("shards", "above 64");
        }
        if self.queue_bytes_max < TRANSACTION_BYTES_MAX {
            return refuse("queue_bytes_max", "cannot hold the largest transaction");
        }
        if self.queue_bytes_max > 1 << 30 {
            return refuse("queue_bytes_max", "above 1 GiB");
        }
        if self.group_bytes_max == 0 || self.group_bytes_max > 64 << 20 {
            return refuse("group_bytes_max", "zero, or above 64 MiB");
        }
        if self.memtable_bytes == 0 || self.checkpoint_bytes == 0 {
            return refuse("memtable_bytes", "it and checkpoint_bytes must be above zero");
        }
        if self.disk_reads_max == 0 {
            return refuse("disk_reads_max", "zero");
        }
        Ok(())
    }
}
