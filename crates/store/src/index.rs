//! The index contract: ordered keys in partitions.

use bytes::Bytes;

use crate::{BoxFuture, ReadError, StoreError, Token, Transaction};

/// The longest key, in bytes: an object key of 1,023 bytes twice escaped by a marker, plus the object layer's own prefix.
pub const KEY_BYTES_MAX: usize = 1_280;

/// The most items one [`Scan`] may ask for.
pub const SCAN_LIMIT_MAX: usize = 1_024;

/// The unit of atomicity: transactions on one partition are serialisable, transactions on two are unrelated.
///
/// Partitions exist without being created; one without keys costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u64);

/// Where an engine keeps a payload; opaque to everyone else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PayloadPlace(pub [u64; 3]);

/// A payload as the index names it: read it with [`Index::payloads`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PayloadRef {
    /// The payload's length in bytes, never 0.
    pub length: u32,
    /// Where the engine that made it looks for it.
    pub place: PayloadPlace,
}

/// The value under a key, and its payload if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record itself, never empty.
    pub value: Bytes,
    /// Bytes that were written along with the record and are read on demand.
    pub payload: Option<PayloadRef>,
}

/// One page of a partition, in ascending byte order of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The first key that may appear.
    pub start: Bytes,
    /// The first key that may not; `None` reads to the partition's end.
    pub end: Option<Bytes>,
    /// At most this many items, 1 to [`SCAN_LIMIT_MAX`].
    pub limit: usize,
    /// Rolls keys up into common prefixes.
    pub fold: Option<Fold>,
}

/// Rolls up keys that share everything up to the first delimiter found at or after byte `at`.
///
/// The engine seeks past each common prefix, so that the cost follows the items and not the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// Where in the key the search for the delimiter begins.
    pub at: usize,
    /// Never empty.
    pub delimiter: Bytes,
}

/// One item of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A key and its record.
    Record(Bytes, Record),
    /// A common prefix, delimiter included; told once, whatever stands below it.
    Prefix(Bytes),
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In ascending order of key or prefix.
    pub items: Vec<Item>,
    /// Where the next scan starts (inclusive; past the group when the last item is a prefix), or `None` at the end of the range.
    /// A page may hold fewer items than the limit and still have a `resume`: engines bound their work, too.
    pub resume: Option<Bytes>,
}

/// What became of a transaction whose outcome was unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It happened, and is durable.
    Committed,
    /// It did not happen and never will.
    Absent,
}

/// Ordered keys in partitions, changed by transactions.
///
/// What every engine promises:
/// - *Serialisable*: transactions on one partition take effect in one order, each on the state that the one before left.
/// - *Durable when answered* (I1, I4): when [`Index::submit`] returns `Ok`, what the body's last run wrote, and everything that
///   it read, is on stable storage. That holds for bodies that write nothing, too, so a refusal may reveal what it saw.
/// - *Visible after durable* (I3): [`Index::get`] and [`Index::scan`] answer from durable state only, and from all of what was
///   answered before they were called.
/// - *Bounded* (I7): each call does bounded work and ends in bounded time.
pub trait Index: Send + Sync + 'static {
    /// Over how many partitions a new bucket should spread, at least 1. The caller keeps the number with the bucket.
    fn partitions_per_bucket(&self) -> u16;

    /// Runs a transaction's body until its reads are at hand, and commits what its last run returned.
    ///
    /// The body may run any number of times before the answer and never after it. Use [`crate::transact`], which carries the
    /// body's answer and settles unknown outcomes.
    ///
    /// # Errors
    /// [`StoreError::Rejected`]: nothing happened. [`StoreError::Unknown`]: ask [`Index::settle`] with the same token.
    fn submit(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Tells what became of a transaction, and makes sure that it stays so: after [`Settled::Absent`] it can no longer commit.
    /// Defined for tokens whose `submit` answered [`StoreError::Unknown`] less than ten minutes ago.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] while it still cannot be told; [`StoreError::Rejected`] when this store can no longer tell.
    fn settle(
        &self,
        partition: Partition,
        token: Token,
    ) -> BoxFuture<'_, Result<Settled, StoreError>>;

    /// The record under a key, or `None`.
    ///
    /// # Errors
    /// [`ReadError::Damaged`], [`ReadError::Io`], [`ReadError::Closed`].
    fn get(
        &self,
        partition: Partition,
        key: Bytes,
    ) -> BoxFuture<'_, Result<Option<Record>, ReadError>>;

    /// One page of a range. Each page is one consistent state; two pages may show two states.
    ///
    /// # Errors
    /// As [`Index::get`].
    fn scan(&self, partition: Partition, scan: Scan) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            let mut pages = self.scans(partition, vec![scan]).await?;
            Ok(pages.pop().unwrap_or_default())
        })
    }

    /// A page of each of several ranges, in the order asked, all of one consistent state: what moves from one range to another at
    /// that moment is in exactly one of the pages, unless the page that it belongs to ends before it. A handful, since a page is
    /// held for each.
    ///
    /// # Errors
    /// As [`Index::get`].
    fn scans(
        &self,
        partition: Partition,
        scans: Vec<Scan>,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>>;

    /// The payloads of records that were read from `partition`, in the order asked; each verified against its checksum.
    ///
    /// A payload may be moved between the read of its record and this call: the engine follows it through its key.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when a record no longer stands or has another payload; else as [`Index::get`].
    fn payloads(
        &self,
        partition: Partition,
        wanted: Vec<(Bytes, PayloadRef)>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ReadError>>;
}

/// The first key after every key that starts with `prefix`; `None` when there is none (all bytes 0xFF, or empty).
///
/// ```
/// assert_eq!(ossia_store::successor(b"a/").as_deref(), Some(&b"a0"[..]));
/// assert_eq!(ossia_store::successor(b"a\xff").as_deref(), Some(&b"b"[..]));
/// assert_eq!(ossia_store::successor(b"\xff"), None);
/// ```
pub fn successor(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next.into())
}
