//! What servers under test are set to.

use crate::random::Random;

/// Settings with a name, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What it is called in the log.
    pub name: &'static str,
    /// The paths and values for `--set`.
    pub values: &'static [&'static str],
}

/// Background work never rests: segments, memtables and journal are so small that each is used up at every turn, and every few
/// appends are worth packing.
pub const RESTLESS: Settings = Settings { name: "restless", values: &RESTLESS_VALUES };
/// The same in two shards.
pub const RESTLESS_TWO: Settings = Settings { name: "restless2", values: &RESTLESS_TWO_VALUES };
/// As shipped.
pub const DEFAULT: Settings = Settings { name: "default", values: &[] };

const RESTLESS_VALUES: [&str; 15] = restless("engine.shards=1");
const RESTLESS_TWO_VALUES: [&str; 15] = restless("engine.shards=2");

const fn restless(shards: &'static str) -> [&'static str; 15] {
    [
        shards,
        "engine.segment_bytes=262144",
        "engine.journal_bytes=2097152",
        "engine.memtable_bytes=16384",
        "engine.checkpoint_bytes=524288",
        "engine.group_bytes=131072",
        "engine.cache_bytes=65536",
        "engine.idle_flush_ms=20",
        "engine.reserve_bytes=8388608",
        "packing.run_bytes_full=65536",
        "packing.run_bytes=4096",
        "packing.run_appends=16",
        "packing.rest_bytes=1",
        "packing.spacing_ms=1",
        "packing.quiet_ms=10",
    ]
}

impl Settings {
    /// Restless ones mostly, the shipped ones now and then.
    pub fn choose(random: &mut Random) -> Settings {
        match random.below(10) {
            0..5 => RESTLESS_TWO,
            5..9 => RESTLESS,
            _ => DEFAULT,
        }
    }

    /// The arguments of `ossia serve`.
    pub fn arguments(&self) -> Vec<String> {
        self.values.iter().flat_map(|value| ["--set".to_owned(), (*value).to_owned()]).collect()
    }
}
