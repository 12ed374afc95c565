//! What can be set.

use std::time::Duration;

/// 5 GiB, OSS's limit for one upload and for an appendable object.
const FIVE_GIB: u64 = 5 << 30;

/// The settings of the object layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bodies up to this many bytes are written with their record, in one sync; larger ones become a blob, which costs a file, two
    /// syncs and a rename before the record's own sync. Default 128 KiB, at most 1 MiB.
    ///
    /// In between lies a trade: a record's body is written about 2.5 times before it rests, a blob's once, so blobs win by bandwidth
    /// from a few hundred KiB on; but two more syncs cost as much time as writing some hundred KiB. 128 KiB also bounds what a
    /// waiting transaction holds in memory, and stays well below the 4 MiB that one transaction may carry.
    pub inline_bytes_max: usize,
    /// The longest appendable object, in bytes. Default 5 GiB as OSS; at most 48.8 TiB.
    pub append_max_bytes: u64,
    /// The longest body of one put, in bytes. Default 5 GiB as OSS.
    pub put_max_bytes: u64,
    /// Whether an appendable object may be the source of a copy. Default `false`: refused.
    pub copy_appendable: bool,
    /// The longest source of a copy between buckets, in bytes. Default 5 GiB as OSS.
    pub copy_max_bytes: u64,
    /// The longest source of a copy that changes the storage class, in bytes. Default 1 GiB as OSS.
    pub copy_class_change_max_bytes: u64,
    /// How many buckets there may be. Default 100.
    pub buckets_max: u32,
    /// How long a write waits for a bucket whose deletion is being decided before it answers [`crate::Failure::Busy`].
    /// Default 2 s.
    pub closing_wait: Duration,
    /// How often the reaper looks for content that was let go, besides being woken. Default 60 s.
    pub reap_interval: Duration,
    /// How many extents the reaper removes in one transaction, 1 to 256. Default 128.
    pub reap_batch: usize,
    /// The largest piece of a body that a read hands out, in bytes. Default 256 KiB. A reader holds at most two.
    pub read_piece_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inline_bytes_max: 128 << 10,
            append_max_bytes: FIVE_GIB,
            put_max_bytes: FIVE_GIB,
            copy_appendable: false,
            copy_max_bytes: FIVE_GIB,
            copy_class_change_max_bytes: 1 << 30,
            buckets_max: 100,
            closing_wait: Duration::from_secs(2),
            reap_interval: Duration::from_secs(60),
            reap_batch: 128,
            read_piece_bytes: 256 << 10,
        }
    }
}

impl Settings {
    /// Brings every value into its range.
    pub(crate) fn clamped(mut self) -> Self {
        self.inline_bytes_max = self.inline_bytes_max.min(1 << 20);
        self.append_max_bytes = self.append_max_bytes.min(50_000 << 30);
        self.reap_batch = self.reap_batch.clamp(1, 256);
        self.read_piece_bytes = self.read_piece_bytes.clamp(1 << 10, 4 << 20);
        self.reap_interval = self.reap_interval.max(Duration::from_millis(10));
        self
    }
}
