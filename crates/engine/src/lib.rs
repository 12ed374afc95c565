//! Ossia's embedded engine: a journal, an index over it, and blob files, in one folder of one machine.
//!
//! Open a store with [`LocalEngine::open`]; it keeps the contracts of `ossia-store`. What a write goes through, in order:
//! *accepted* by admission, *written* to the journal with its group, *durable* after the group's one sync, *visible* to readers,
//! answered. The parts:
//!
//! - `journal`: segment files, frames, recovery. What Ossia promises stands or falls here.
//! - `commit`: the one thread that owns order.
//! - `tree`: the `lsm-tree` crate, and what it takes to use it safely.
//! - `evacuate`, `span`, `values`: which segments are in use, and how they come to be used again.
//! - `blobs`: immutable files beside the journal.
//! - `inspect`, `hold`: looking at a store without changing it, and keeping its files while a backup copies them.
//! - `disk`: every file access of this crate (the tree has its own), so that faults can be put in.
//!
//! This crate must not know OSS's rules, objects, or HTTP. The bytes on the disk are drawn in `docs/FORMAT.md`.

mod background;
mod blobs;
mod buffers;
mod codec;
mod commit;
mod counters;
pub mod disk;
mod engine;
mod error;
mod evacuate;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hold;
mod inspect;
mod journal;
mod layout;
mod open;
mod options;
mod overlay;
mod payloads;
mod queue;
mod scan;
mod shared;
mod span;
mod submit;
mod tree;
mod values;

pub use counters::EngineMetrics;
pub use engine::LocalEngine;
pub use error::OpenError;
pub use hold::{AtRest, HeldBytes, HeldFile, Hold, identify};
pub use inspect::{FileFinding, Inspection, JournalCounts, TableCounts};
pub use options::EngineOptions;
