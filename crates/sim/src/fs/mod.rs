//! A file system in memory, mounted through FUSE, that knows what was synced and what was not.
//!
//! On command, or at a call chosen before, the power goes: every call from then on hangs, so that nothing that comes later can be
//! acknowledged. Once the process on it has been killed, [`SimFs::cut`] leaves of what was not synced what a lawful disk may leave,
//! and the file system is there again. It also fails, slows and falsifies calls ([`Fault`]), and it can be full
//! ([`SimFs::set_capacity`]).
//!
//! What is promised is what POSIX and Linux promise, and no more: a sync of a file makes its bytes and its length durable, a sync
//! of a folder its names; a rename is done or not done, and either folder's sync makes it durable; sectors of 512 bytes are not
//! torn. Nothing is cached by the kernel. Not modelled: shared writable maps, extended attributes, access times, and sectors that
//! rot by themselves ([`SimFs::flip`] is for that).
//!
//! The seed of a cut repeats what survives of a given list of changes. What a server has done by then also hangs on how the system
//! schedules its threads: a seed repeats a run's plan exactly, and its course nearly.

mod content;
mod disk;
mod faults;
mod mount;

pub use disk::CutReport;
pub use faults::{Call, Counts, CutPoint, Effect, Fault};
pub use mount::{SimFs, SimOptions};
