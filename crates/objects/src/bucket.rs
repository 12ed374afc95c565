//! Buckets as callers see them.

use std::collections::HashMap;

use crate::words::{BucketAcl, BucketName, Redundancy, StorageClass, Versioning};

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: BucketName,
    /// Its ACL.
    pub acl: BucketAcl,
    /// The class of objects that name none.
    pub storage_class: StorageClass,
    /// The redundancy type, a label.
    pub redundancy: Redundancy,
    /// Whether it keeps versions; `None` when that was never set.
    pub versioning: Option<Versioning>,
    /// When it was created, in seconds since 1970.
    pub created: u64,
}

/// What a new bucket should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateBucketInput {
    /// Its name.
    pub name: BucketName,
    /// Its ACL; `None` is private for a new bucket and leaves that of an existing one alone.
    pub acl: Option<BucketAcl>,
    /// Its class; `None` is Standard for a new bucket and agrees with whatever an existing one has.
    pub storage_class: Option<StorageClass>,
    /// Its redundancy; `None` as with the class.
    pub redundancy: Option<Redundancy>,
}

/// Which buckets to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListBucketsInput {
    /// Only names that start with this.
    pub prefix: String,
    /// Only names greater than this.
    pub marker: Option<String>,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
}

/// Buckets by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListBucketsOutput {
    /// In ascending order of name.
    pub buckets: Vec<Bucket>,
    /// Whether there are more.
    pub truncated: bool,
    /// The last name listed, when there are more.
    pub next_marker: Option<String>,
}

/// How much of one storage class a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassStat {
    /// Objects, older versions among them.
    pub object_count: u64,
    /// Their bytes.
    pub storage: u64,
}

/// How much a bucket holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketStat {
    /// All bytes.
    pub storage: u64,
    /// All objects, older versions among them; delete markers are none.
    pub object_count: u64,
    /// By class; one without objects is absent.
    pub classes: HashMap<StorageClass, ClassStat>,
    /// Unfinished multipart uploads.
    pub multipart_upload_count: u64,
    /// Parts of those.
    pub multipart_part_count: u64,
    /// Delete markers.
    pub delete_marker_count: u64,
    /// When this was counted, in seconds since 1970.
    pub gathered: u64,
}
