//! The two narrow contracts that every engine keeps, and nothing else.
//!
//! - [`Index`]: ordered keys in partitions, changed by serialisable transactions that are durable when they answer.
//! - [`Blobs`]: immutable byte strings, durable before anything may name them.
//!
//! [`MemoryStore`] is the reference: small enough to be read as the specification, and with a hostile mode that does everything
//! which the contract permits an engine to do. With the feature `conformance` the suite that every engine runs stands in
//! `conformance`.
//!
//! This crate must not know HTTP, OSS's words, objects, files or Ceph. The words for a write are *accepted, written, durable,
//! visible*, in this order; `visible <= durable <= written` (I3).

mod blobs;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod index;
mod memory;
pub mod mutants;
mod transaction;

use std::{future::Future, pin::Pin};

pub use blobs::{BlobId, BlobReader, BlobWriter, Blobs, FinishedBlob, StagedBlob};
pub use error::{BlobError, ReadError, Rejection, StoreError};
pub use index::{
    Fold, Index, Item, KEY_BYTES_MAX, Page, Partition, PayloadPlace, PayloadRef, Record,
    SCAN_LIMIT_MAX, Scan, Settled, successor,
};
pub use memory::{Hostility, MemoryOptions, MemoryStore};
pub use transaction::{
    Body, Change, Decision, KEYS_MAX, NotBrought, PAYLOAD_BYTES_MAX, Payload, RECORD_BYTES_MAX,
    Token, Transaction, View, Writes, transact,
};

/// A boxed future that may move between threads; what the object-safe traits return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether a store takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Reads and writes are served.
    Open,
    /// Writes are refused until room returns; reads and deletes go on.
    Full(String),
    /// A sync or a write of the engine's own files failed: nothing is acknowledged until the store has been opened anew (I5).
    Poisoned(String),
    /// [`Store::shutdown`] has been called.
    Closed,
}

/// An engine as the object layer holds it.
pub trait Store: Index + Blobs {
    /// What the store is able to do at this moment.
    fn health(&self) -> Health;

    /// Stops background work, makes everything accepted durable and releases the data folder. Later calls answer
    /// [`Rejection::Closed`]. Safe to call twice.
    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}
