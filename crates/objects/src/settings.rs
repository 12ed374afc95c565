//! What can be set.

use std::time::Duration;

use crate::{Lifecycle, Scrub};

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
    /// The longest body of one put or of one part of an upload, in bytes. Default 5 GiB as OSS.
    pub put_max_bytes: u64,
    /// The shortest part of an upload but for its last, in bytes; looked at when it is completed. Default 100 KiB as OSS.
    pub part_min_bytes: u64,
    /// How many parts one transaction of a completion deals with, 1 to 224: each takes four keys. Default 224.
    pub part_batch: usize,
    /// Whether an appendable object may be the source of a copy. Default `false`: refused.
    pub copy_appendable: bool,
    /// The longest source of a copy between buckets, in bytes. Default 5 GiB as OSS.
    pub copy_max_bytes: u64,
    /// The longest source of a copy that changes the storage class, in bytes. Default 1 GiB as OSS.
    pub copy_class_change_max_bytes: u64,
    /// How many buckets there may be. Default 100.
    pub buckets_max: u32,
    /// How many buckets are remembered, so that an operation need not look its bucket up. Default 1,024. 0 where another process
    /// may change the same store: its changes would go unnoticed.
    pub buckets_known_max: usize,
    /// How long a write waits for a bucket whose deletion is being decided before it answers [`crate::Failure::Busy`].
    /// Default 2 s.
    pub closing_wait: Duration,
    /// How often the reaper looks for content that was let go, besides being woken. Default 60 s.
    pub reap_interval: Duration,
    /// How many extents the reaper removes in one transaction, 1 to 256. Default 128.
    pub reap_batch: usize,
    /// The largest piece of a body that a read hands out, in bytes. Default 256 KiB. A reader holds at most two.
    pub read_piece_bytes: usize,
    /// How long a restore takes. Default 5 s.
    pub restore_delay: Duration,
    /// Encrypts every new object at rest, whether or not it asks for it. Default `false`.
    pub encrypt_all: bool,
    /// How runs of small appends are folded into blobs.
    pub packing: Packing,
    /// How everything stored is read in turn.
    pub scrub: Scrub,
    /// How the rules of buckets are followed.
    pub lifecycle: Lifecycle,
}

/// When runs of small appends are folded into blobs, and how gently.
///
/// A run is a row of small appends of one object with no large one between. It is packed when any of these holds; the point is few,
/// large blobs for logs that grow fast, and little left over in those that rest:
/// - it has `run_bytes_full`;
/// - it has `run_bytes`, or `run_appends` and `rest_bytes`, and `spacing` has passed since it began or since the last one was packed;
/// - nothing has been added for `quiet`, and it has `rest_bytes` or `run_appends`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    /// Whether anything is packed. Default `true`.
    pub enabled: bool,
    /// A run of so many bytes is packed at once. Default 8 MiB.
    pub run_bytes_full: u64,
    /// A run of so many bytes is worth packing while its object grows, or of a 64th of the object up to `run_bytes_full` if that is
    /// more: what a read spends on opening files then stays small beside the bytes. Default 256 KiB.
    pub run_bytes: u64,
    /// So is one of so many appends, 2 or more. Default 2,048.
    pub run_appends: u64,
    /// A run with fewer bytes and fewer than `run_appends` stays as it is, also at rest: it reads well enough, and a file of its
    /// own would cost more. Default 64 KiB.
    pub rest_bytes: u64,
    /// The shortest time from the begin of a run, or from the last one of its object, until it is packed, unless it has
    /// `run_bytes_full`. Default 1 s.
    pub spacing: Duration,
    /// An object to which nothing has been added for so long is at rest. Default 10 s.
    pub quiet: Duration,
    /// The most bytes in one blob, 1 or more. Default 64 MiB.
    pub blob_bytes_max: u64,
    /// The most appends in one blob, 2 to 65,536: what packing holds in memory, some 150 bytes each. Default 65,536.
    pub blob_appends_max: usize,
    /// How many appends one transaction replaces, 2 to 450. Default 256.
    pub batch: usize,
    /// Packing pauses so many times as long as it works. Default 3: a quarter of one core at most.
    pub pause_factor: u32,
    /// With more bytes than this waiting it no longer pauses. Default 256 MiB.
    pub backlog_bytes: u64,
    /// For how many objects it is remembered what has been added, some 100 bytes each. Default 65,536. Those forgotten are found
    /// again by the walk.
    pub objects_max: usize,
    /// How often all buckets are walked for runs that nobody remembers: `quiet` after a start, then whenever some have been
    /// forgotten, but no more often than this. Default 6 h.
    pub walk_interval: Duration,
    /// The pause of a walk after each 512 records. Default 20 ms.
    pub walk_pause: Duration,
}

impl Default for Packing {
    fn default() -> Self {
        Self {
            enabled: true,
            run_bytes_full: 8 << 20,
            run_bytes: 256 << 10,
            run_appends: 2_048,
            rest_bytes: 64 << 10,
            spacing: Duration::from_secs(1),
            quiet: Duration::from_secs(10),
            blob_bytes_max: 64 << 20,
            blob_appends_max: 65_536,
            batch: 256,
            pause_factor: 3,
            backlog_bytes: 256 << 20,
            objects_max: 65_536,
            walk_interval: Duration::from_secs(6 * 3_600),
            walk_pause: Duration::from_millis(20),
        }
    }
}

impl Packing {
    fn clamped(mut self) -> Self {
        self.run_appends = self.run_appends.max(2);
        self.blob_bytes_max = self.blob_bytes_max.max(1);
        self.blob_appends_max = self.blob_appends_max.clamp(2, 65_536);
        self.batch = self.batch.clamp(2, 450);
        self.pause_factor = self.pause_factor.min(1_000);
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inline_bytes_max: 128 << 10,
            append_max_bytes: FIVE_GIB,
            put_max_bytes: FIVE_GIB,
            part_min_bytes: 100 << 10,
            part_batch: 224,
            copy_appendable: false,
            copy_max_bytes: FIVE_GIB,
            copy_class_change_max_bytes: 1 << 30,
            buckets_max: 100,
            buckets_known_max: 1_024,
            closing_wait: Duration::from_secs(2),
            reap_interval: Duration::from_secs(60),
            reap_batch: 128,
            read_piece_bytes: 256 << 10,
            restore_delay: Duration::from_secs(5),
            encrypt_all: false,
            packing: Packing::default(),
            scrub: Scrub::default(),
            lifecycle: Lifecycle::default(),
        }
    }
}

impl Settings {
    /// Brings every value into its range.
    pub(crate) fn clamped(mut self) -> Self {
        self.inline_bytes_max = self.inline_bytes_max.min(1 << 20);
        self.append_max_bytes = self.append_max_bytes.min(50_000 << 30);
        self.reap_batch = self.reap_batch.clamp(1, 256);
        self.part_batch = self.part_batch.clamp(1, 224);
        self.read_piece_bytes = self.read_piece_bytes.clamp(1 << 10, 4 << 20);
        self.packing = self.packing.clamped();
        self.lifecycle = self.lifecycle.clamped();
        self.reap_interval = self.reap_interval.max(Duration::from_millis(10));
        self
    }
}
