//! The master keys of a server, and what is sealed under them.
//!
//! Master keys stand in a file of their own, outside the data folder, so that whoever has the data folder alone (a disk that was sent
//! back, a backup) can read nothing that was sealed. They seal small things only: AccessKey secrets, tokens, the data keys of
//! objects. What is large is encrypted under a data key, elsewhere.
//!
//! This crate knows no store, no objects and no clock. It blocks (files are small) and has no async.

mod file;
mod keys;
mod seal;

pub use file::KeyFileError;
pub use keys::{KEYS_MAX, KeyId, MasterKeys, Reloaded};
pub use seal::{OVERHEAD, Purpose, SealError, Secret, random, sealed_with};
