//! The specification, executable: what each operation does to an object, and what it must answer.
//!
//! Owns: the state of one object, the effect of each operation on it, and the replies. Must not know: HTTP, clocks, disks,
//! concurrency, or any line of the product but the protocol's checksum. It is test code: the object layer is compared with it
//! operation by operation, and the checker of histories asks it which orders of concurrent operations could have answered so.
//!
//! An operation is added here in one place, [`object`]: a variant of [`Step`], its arm in [`Object::step`], and, where it answers
//! something new, a variant of [`Reply`]; one that concerns uploads in [`upload`], [`UploadStep`] and [`Key::step`] alike. Those
//! who drive a server then learn to send it and to read its answer back.
//!
//! Left out on purpose: times (the time in an appendable's ETag too, see [`stable_etag`]), attributes, ACLs, classes, sizes beyond
//! the limits.

mod content;
pub mod object;
mod store;
pub mod upload;

pub use content::{Body, Content};
pub use object::{Info, Kind, Object, Refusal, Reply, Step, stable_etag};
pub use store::{Answer, Operation, Store};
pub use upload::{Key, Upload, UploadStep, joined};
