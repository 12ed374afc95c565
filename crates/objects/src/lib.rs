//! Object semantics: buckets, objects, append, seal, copy, list, and what becomes of content that was let go.
//!
//! This is the one place where it is decided what an operation does. It must not know HTTP, OSS's error codes, signatures, or
//! which engine runs: it holds an `Arc<dyn Store>` and speaks the words of `ossia-protocol`.
//!
//! How an object lies in the index is drawn in `keys`; what the records say in `records`. The rules that everything here keeps:
//!
//! - Every change is one transaction of the object's partition, whose body is a pure function of what it reads (ids and times are
//!   captured), because an engine runs it many times and on stale views first. Each reads the bucket's record in its partition, so
//!   that deleting a bucket and writing into it are ordered.
//! - What an answer reveals is durable (I4): bodies and [`ossia_store::Index::get`] see nothing else.
//! - A content id is never used twice. Content is let go by one tombstone in the transaction that lets go of it, and is
//!   reclaimed by the reaper once nobody reads it (I9). Nothing else deletes content.
//! - Runs of small appends are packed into blobs in the background. That moves bytes and changes none (I10).
//! - A large body lies in a staged blob before the transaction that names it; a crash in between leaves a staged blob that
//!   no record names, which the sweep of the next start removes.
//! - Loops are bounded, bodies stream, and no lock is held while a client is waited for (I7).

mod append;
mod background;
mod body;
mod bucket;
mod buckets;
mod check;
mod clock;
mod config;
mod copy;
mod core;
mod delete;
mod edit;
mod error;
mod extents;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod intake;
mod keys;
mod known;
mod lifecycle;
mod list;
mod multipart;
mod object;
mod objects;
mod pack;
mod packer;
mod put;
mod read;
mod readers;
mod reaper;
mod records;
mod restore;
mod retention;
mod rewrap;
mod scrub;
mod sealing;
mod settings;
mod stat;
mod sweep;
mod symlink;
mod usage;
mod version;
mod version_id;
mod versioning;
pub mod words;

pub use body::{Body, BodyError, ByteStream};
pub use bucket::{
    Bucket, BucketStat, ClassStat, CreateBucketInput, ListBucketsInput, ListBucketsOutput,
};
pub use check::{CheckOptions, Checked, Finding, StoreCheck};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{BucketRules, CONFIGURATION_BYTES_MAX, ConfigEntries, ConfigError, ConfigKind};
pub use edit::EditOutput;
pub use error::{
    AppendError, BucketError, BucketSetting, CopyError, CreateBucketError, DeleteBucketError,
    DeleteError, Failure, ListError, OpenError, PutError, ReadObjectError, SealError,
};
pub use lifecycle::{Expiration, Lifecycle, LifecycleFigures};
pub use list::{ListVersionsInput, ListVersionsOutput, VersionInfo};
pub use multipart::{
    AbortUploadInput, ChosenParts, CompleteUploadError, CompleteUploadInput, CompleteUploadOutput,
    CopyRange, InitiateUploadError, InitiateUploadInput, ListPartsInput, ListPartsOutput,
    ListUploadsInput, ListUploadsOutput, PART_NUMBER_MAX, PartInfo, PartOutput, UploadError,
    UploadId, UploadInfo, UploadPartCopyError, UploadPartCopyInput, UploadPartCopyOutput,
    UploadPartError, UploadPartInput,
};
pub use object::{
    AppendInput, AppendOutput, CopyInput, CopyOutput, Creation, DeleteInput, DeleteOutput, Encrypt,
    ListInput, ListOutput, ObjectInfo, PutInput, PutOutput, SealInput, SealOutput,
};
pub use objects::{KeptBlobs, Objects};
pub use ossia_store::Health;
pub use read::{Download, OpenObject};
pub use restore::{RestoreError, RestoreInput, RestoreOutput, RestoreState, RestoreTier};
pub use retention::{
    BucketWorm, DefaultRetention, Lifetime, ObjectRetention, ObjectWormRules, RETENTION_DAYS_MAX,
    RetentionChange, RetentionError, RetentionMode, RetentionPeriod, WormError,
};
pub use rewrap::{KeyFigures, keys_in_use};
pub use scrub::{Scrub, ScrubFigures};
pub use settings::{Packing, Settings};
pub use symlink::{PutSymlinkInput, PutSymlinkOutput};
pub use usage::{BucketUsage, usage};
pub use version_id::VersionId;
pub use versioning::DeleteIf;
pub use words::Directive;

#[cfg(test)]
mod tests;
