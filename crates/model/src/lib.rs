//! The specification, executable: what each operation does to an object, and what it must answer.
//!
//! Owns: the state of one object, the effect of each operation on it, and the replies. Must not know: HTTP, clocks, disks,
//! concurrency, or any line of the product but the protocol's checksum. It is test code: the object layer is compared with it
//! operation by operation, and the checker of histories asks it which orders of concurrent operations could have answered so.
//!
//! An operation is added here in one place. What it does to an object's bytes is in [`object`]: a variant of [`Step`], its arm in
//! [`Object::step`], and, where it answers something new, a variant of [`Reply`]. What concerns versions, retention, restores or the
//! lifecycle is in [`key`], uploads in [`upload`], what a whole bucket is set to in [`bucket`]. Those who drive a server then learn
//! to send it and to read its answer back.
//!
//! Left out on purpose: times that are answered (the time in an appendable's ETag too, see [`stable_etag`]), attributes, ACLs,
//! classes but for whether they ask for a restore, sizes beyond the limits.

pub mod bucket;
mod content;
pub mod key;
pub mod object;
mod store;
pub mod upload;

pub use bucket::{Bucket, NULL, Policy, Rules, Setting, Versioning};
pub use content::{Body, Content};
pub use key::{Key, Retention, Version};
pub use object::{Info, Kind, ListedVersion, Object, Refusal, Reply, Step, stable_etag};
pub use store::{Answer, Operation, Store};
pub use upload::{Upload, UploadStep, joined};
