//! Uploads as callers see them: inputs and outputs.

use super::UploadId;
use crate::{
    Body, Creation, VersionId,
    words::{Attributes, BucketName, Conditions, ObjectAcl, ObjectKey, StorageClass},
};

/// The greatest number of a part; the least is 1.
pub const PART_NUMBER_MAX: u16 = 10_000;

/// Starts an upload. No object is made, and one that exists stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitiateUploadInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key of the object to be.
    pub key: ObjectKey,
    /// What the object will be given; its ACL is not looked at.
    pub creation: Creation,
    /// The object's ACL, if one is named already.
    pub acl: Option<ObjectAcl>,
    /// Parts must come one after another.
    pub sequential: bool,
    /// Refuse when an object is there.
    pub forbid_overwrite: bool,
}

/// Sends a part, in place of an earlier one with the same number.
#[derive(Debug)]
pub struct UploadPartInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: UploadId,
    /// 1 to [`PART_NUMBER_MAX`].
    pub number: u16,
    /// Its bytes.
    pub body: Body,
}

/// A part was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartOutput {
    /// Its ETag, without quotes: that of an object put with the same bytes.
    pub etag: String,
    /// Its MD5.
    pub md5: [u8; 16],
    /// Its CRC-64.
    pub crc64: u64,
    /// Its length in bytes.
    pub length: u64,
    /// When it was stored, in seconds since 1970.
    pub last_modified: u64,
    /// Whether it is encrypted at rest, as its upload is.
    pub encrypted: bool,
}

/// Which bytes of the source a part is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyRange {
    /// All.
    Whole,
    /// From the first on, to the last, both included; to the end without one.
    Bytes {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte, included.
        last: Option<u64>,
    },
}

/// Makes a part of an object's bytes.
#[derive(Debug, Clone)]
pub struct UploadPartCopyInput<'a> {
    /// The source's bucket.
    pub source_bucket: BucketName,
    /// The source's key.
    pub source_key: ObjectKey,
    /// The source's version; `None` for the current one.
    pub source_version: Option<VersionId>,
    /// Which of its bytes.
    pub range: CopyRange,
    /// Conditions that the source must meet.
    pub conditions: Conditions<'a>,
    /// The bucket.
    pub bucket: BucketName,
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: UploadId,
    /// 1 to [`PART_NUMBER_MAX`].
    pub number: u16,
}

/// A part was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPartCopyOutput {
    /// The part.
    pub part: PartOutput,
    /// The first byte and the last, included, where a range was asked for.
    pub range: Option<(u64, u64)>,
    /// The source's length in bytes.
    pub source_length: u64,
    /// The source's version, in a bucket that has or had versions.
    pub source_version_id: Option<VersionId>,
}

/// Which parts make the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChosenParts {
    /// Every one, in the order of their numbers.
    All,
    /// These numbers with these ETags, in whatever form. Others are discarded.
    Listed(Vec<(u64, String)>),
}

/// Makes an object of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteUploadInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: UploadId,
    /// Its parts.
    pub parts: ChosenParts,
    /// The object's ACL; `None` takes the one named at the start, or the default.
    pub acl: Option<ObjectAcl>,
    /// Refuse when an object is there.
    pub forbid_overwrite: bool,
}

/// An upload became an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteUploadOutput {
    /// The object's ETag, without quotes.
    pub etag: String,
    /// The CRC-64 of all of it.
    pub crc64: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Last-Modified, in seconds since 1970.
    pub last_modified: u64,
    /// Its version, in a bucket that has or had versions.
    pub version_id: Option<VersionId>,
    /// Whether it is encrypted at rest.
    pub encrypted: bool,
}

/// Gives an upload up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbortUploadInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: UploadId,
}

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadInfo {
    /// The key of the object to be.
    pub key: ObjectKey,
    /// Its name.
    pub id: UploadId,
    /// When it was started, in seconds since 1970.
    pub initiated: u64,
    /// The class of the object to be.
    pub storage_class: StorageClass,
    /// The ACL named at the start.
    pub acl: Option<ObjectAcl>,
    /// Whether tags were named at the start.
    pub tagged: bool,
    /// The stored headers of the object to be.
    pub attributes: Attributes,
    /// Whether the object will be encrypted at rest.
    pub encrypted: bool,
}

/// Which uploads to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListUploadsInput {
    /// The bucket.
    pub bucket: BucketName,
    /// Only keys that start with this.
    pub prefix: String,
    /// Rolls keys up to common prefixes; `None` or empty does not.
    pub delimiter: Option<String>,
    /// Only keys greater than this. One that is itself a common prefix skips everything below it.
    pub after_key: Option<String>,
    /// Also uploads of `after_key` itself whose id is greater than this; means nothing without.
    pub after_upload: Option<String>,
    /// At most this many uploads and prefixes together, 1 to 1,000.
    pub limit: usize,
}

/// A page of uploads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListUploadsOutput {
    /// By key, then by id.
    pub uploads: Vec<UploadInfo>,
    /// Common prefixes in ascending byte order, delimiter included.
    pub prefixes: Vec<String>,
    /// Whether there are more.
    pub truncated: bool,
    /// The last key or prefix of this page.
    pub last_key: Option<String>,
    /// The last upload of this page, unless it ends with a prefix.
    pub last_upload: Option<UploadId>,
}

/// Which parts to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPartsInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: UploadId,
    /// Only numbers greater than this.
    pub after: u16,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// Its number.
    pub number: u16,
    /// When it was stored, in seconds since 1970.
    pub last_modified: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its CRC-64.
    pub crc64: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// A page of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPartsOutput {
    /// The upload.
    pub upload: UploadInfo,
    /// By number.
    pub parts: Vec<PartInfo>,
    /// Whether there are more.
    pub truncated: bool,
}
