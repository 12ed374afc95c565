//! Objects as callers see them: inputs and outputs.

use crate::{
    Body, DeleteIf, Lifetime, VersionId,
    words::{
        Attributes, BucketName, Conditions, Directive, ObjectAcl, ObjectKey, ObjectType,
        StorageClass,
    },
};

/// What a new object is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Creation {
    /// The stored headers.
    pub attributes: Attributes,
    /// Its ACL.
    pub acl: ObjectAcl,
    /// Its tags, in the order given.
    pub tags: Vec<(String, String)>,
    /// Its class; `None` takes the bucket's.
    pub storage_class: Option<StorageClass>,
    /// Whether its bytes are encrypted at rest.
    pub encrypted: bool,
}

/// What is known of an object without reading its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: ObjectKey,
    /// What made it.
    pub kind: ObjectType,
    /// Its length in bytes.
    pub length: u64,
    /// The CRC-64 of all of it.
    pub crc64: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// The MD5 of all of it, where it is known.
    pub md5: Option<[u8; 16]>,
    /// Last-Modified, in seconds since 1970; never goes back.
    pub last_modified: u64,
    /// The stored headers.
    pub attributes: Attributes,
    /// Its ACL.
    pub acl: ObjectAcl,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// Its class.
    pub storage_class: StorageClass,
    /// When it was sealed, in seconds since 1970.
    pub sealed_at: Option<u64>,
    /// What it points at, if it is a link.
    pub link_target: Option<ObjectKey>,
    /// Its version, in a bucket that has or had versions.
    pub version_id: Option<VersionId>,
    /// What happened to it beside its content.
    pub lifetime: Lifetime,
    /// Whether its bytes are encrypted at rest.
    pub encrypted: bool,
}

/// Puts an object, replacing what is there.
#[derive(Debug)]
pub struct PutInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// What the object is given.
    pub creation: Creation,
    /// Its bytes.
    pub body: Body,
    /// Refuse when an object is there.
    pub forbid_overwrite: bool,
}

/// An object was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutOutput {
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its MD5.
    pub md5: [u8; 16],
    /// Its CRC-64.
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

/// Appends to an object, or creates it.
#[derive(Debug)]
pub struct AppendInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// Where the body goes: the object's length.
    pub position: u64,
    /// What the object is given if this append creates it, ignored otherwise; `None` when the headers for it were invalid.
    pub creation: Option<Creation>,
    /// The ACL, applied whether or not this append creates the object.
    pub acl: Option<ObjectAcl>,
    /// The bytes.
    pub body: Body,
}

/// Bytes were appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendOutput {
    /// The object's length: where the next append goes.
    pub next_position: u64,
    /// The CRC-64 of bytes `0..next_position` (I8).
    pub crc64: u64,
    /// The ETag, without quotes.
    pub etag: String,
    /// Last-Modified, in seconds since 1970.
    pub last_modified: u64,
    /// Whether this append created the object.
    pub created: bool,
    /// The object's version, in a bucket that has or had versions.
    pub version_id: Option<VersionId>,
    /// Whether it is encrypted at rest, as its first append asked for.
    pub encrypted: bool,
}

/// Seals an appendable object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The object's length.
    pub position: u64,
}

/// The object is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealOutput {
    /// When it was first sealed, in seconds since 1970.
    pub sealed_at: u64,
    /// The ETag, without quotes.
    pub etag: String,
    /// The object's length in bytes.
    pub length: u64,
    /// The CRC-64 of all of it.
    pub crc64: u64,
}

/// An object or a version was deleted, or there was none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOutput {
    /// Whether there was one, and it was what it had to be. An object under a delete marker is none; a version is one.
    pub existed: bool,
    /// Whether a delete marker was made or removed.
    pub delete_marker: bool,
    /// The marker made, in a bucket that has or had versions; or the version that the request named, whether or not there was one.
    pub version_id: Option<VersionId>,
}

/// Deletes an object, or a version of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: ObjectKey,
    /// The version to remove for ever; `None` deletes the object, which leaves a delete marker where versions are kept.
    pub version: Option<VersionId>,
    /// What it must be; where it is not, nothing happens, and the answer is that of nothing there.
    pub only: DeleteIf,
}

/// Copies an object.
#[derive(Debug, Clone)]
pub struct CopyInput<'a> {
    /// The source's bucket.
    pub source_bucket: BucketName,
    /// The source's key.
    pub source_key: ObjectKey,
    /// The source's version; `None` for the current one.
    pub source_version: Option<VersionId>,
    /// The destination's bucket.
    pub bucket: BucketName,
    /// The destination's key.
    pub key: ObjectKey,
    /// Conditions that the source must meet.
    pub conditions: Conditions<'a>,
    /// Where the stored headers come from. A copy of an object onto itself always takes the request's.
    pub metadata_directive: Directive,
    /// The request's stored headers.
    pub attributes: Attributes,
    /// Where the tags come from.
    pub tagging_directive: Directive,
    /// The request's tags.
    pub tags: Vec<(String, String)>,
    /// The destination's ACL. `None`: default; a copy of an object onto itself keeps what it has.
    pub acl: Option<ObjectAcl>,
    /// The destination's class. `None`: the bucket's; a copy of an object onto itself keeps what it has.
    pub storage_class: Option<StorageClass>,
    /// Refuse when an object is there.
    pub forbid_overwrite: bool,
    /// Whether the destination is encrypted at rest; the source's encryption is not inherited.
    pub encrypt: Encrypt,
}

/// Whether a copy is encrypted at rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encrypt {
    /// It is not; a copy of an object onto itself stays as it is.
    #[default]
    No,
    /// It is, by what the bucket does; a copy of an object onto itself stays as it is.
    ByDefault,
    /// It is, since the request says so.
    Named,
}

/// An object was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOutput {
    /// The new object's ETag, without quotes.
    pub etag: String,
    /// Its CRC-64.
    pub crc64: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Last-Modified, in seconds since 1970.
    pub last_modified: u64,
    /// The new object's version, in a bucket that has or had versions.
    pub version_id: Option<VersionId>,
    /// The source's version, in a bucket that has or had versions.
    pub source_version_id: Option<VersionId>,
    /// Whether the new object is encrypted at rest.
    pub encrypted: bool,
}

/// Which objects to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListInput {
    /// The bucket.
    pub bucket: BucketName,
    /// Only keys that start with this.
    pub prefix: String,
    /// Rolls keys up to common prefixes; `None` or empty does not.
    pub delimiter: Option<String>,
    /// Only keys greater than this. One that is itself a common prefix skips everything below it.
    pub after: Option<String>,
    /// At most this many keys and prefixes together, 1 to 1,000.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOutput {
    /// Objects in ascending byte order of their keys.
    pub objects: Vec<ObjectInfo>,
    /// Common prefixes in ascending byte order, delimiter included.
    pub prefixes: Vec<String>,
    /// Whether there are more.
    pub truncated: bool,
    /// The greatest key or prefix of this page: the next page's `after`.
    pub last: Option<String>,
}
