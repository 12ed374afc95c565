//! Power cuts and failing disks under the real server: a file system in memory that knows what was synced, a supervisor of the
//! unmodified binary on it, and histories of what clients saw, judged by a checker.
//!
//! Owns: what a hostile but lawful disk may do, and what clients may then find. Must not know: the engine or the object layer;
//! it sees the binary's command line, its files as bytes, and its answers over HTTP.

pub mod cuts;
pub mod expiring;
pub mod fs;
pub mod history;
pub mod kept;
pub mod owned;
pub mod random;
pub mod scenarios;
pub mod server;
pub mod settings;
