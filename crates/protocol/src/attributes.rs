//! What a request's headers say about the object or bucket to be made.
//!
//! Owns the vocabularies (classes, ACLs, types) and one small parser per group of headers, so that an operation reads just the
//! groups that apply to it: a later append ignores most of them, even where they are invalid. [`ObjectAttributes::parse`] reads
//! all groups of a put. Knows nothing of operations, permissions or what the store keeps.
//!
//! Header values are bytes: metadata in UTF-8 or Latin-1 comes back exactly as it was sent.
//!
//! | file | owns |
//! |---|---|
//! | `kinds.rs` | storage classes, ACLs, object types |
//! | `stored.rs` | headers that are kept and sent back, metadata, persistent headers |
//! | `tagging.rs` | object tags in a header |
//! | `transfer.rs` | digests, overwriting, copy source, directives, traffic limit, what is refused |

mod kinds;
mod stored;
mod tagging;
mod transfer;

pub use self::kinds::{BucketAcl, ObjectAcl, ObjectType, StorageClass};
pub use self::stored::{
    DEFAULT_CONTENT_TYPE, METADATA_BYTES_MAX, StoredHeaders, persistent_headers, user_metadata,
};
pub use self::tagging::{OBJECT_TAGS_MAX, Tag, Tags};
pub use self::transfer::{
    CopySource, Directive, TRAFFIC_LIMIT_BITS, content_md5, encryption, forbid_overwrite,
    hash_crc64, metadata_directive, refuse_conditions, tagging_directive, traffic_limit,
};
use crate::auth::Headers;
use crate::error::OssError;

/// Everything that PutObject, the first append and a replacing copy take from the request's headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectAttributes {
    /// Headers that are sent back on GET and HEAD.
    pub headers: StoredHeaders,
    /// The class asked for; `None` means that of the bucket.
    pub storage_class: Option<StorageClass>,
    /// The ACL asked for; `None` means `default`.
    pub acl: Option<ObjectAcl>,
    /// The tags asked for.
    pub tags: Option<Tags>,
    /// Whether encryption at rest was asked for.
    pub encrypted: bool,
}

impl ObjectAttributes {
    /// Reads every group.
    ///
    /// # Errors
    /// 400, as each group's own function says.
    pub fn parse(headers: &dyn Headers) -> Result<Self, OssError> {
        Ok(Self {
            encrypted: encryption(headers)?,
            storage_class: storage_class(headers)?,
            acl: object_acl(headers)?,
            tags: Tags::from_headers(headers)?,
            headers: StoredHeaders::parse(headers)?,
        })
    }
}

/// `x-oss-storage-class`.
///
/// # Errors
/// 400 `InvalidArgument` for an unknown class.
pub fn storage_class(headers: &dyn Headers) -> Result<Option<StorageClass>, OssError> {
    word(headers, "x-oss-storage-class", StorageClass::from_name, |name, value| {
        OssError::invalid_argument(name, value, "No such object storage class exists.")
    })
}

/// `x-oss-object-acl`.
///
/// # Errors
/// 400 `InvalidArgument` for an unknown ACL.
pub fn object_acl(headers: &dyn Headers) -> Result<Option<ObjectAcl>, OssError> {
    word(headers, "x-oss-object-acl", ObjectAcl::from_name, |name, value| {
        OssError::invalid_argument(name, value, "no such object access control exists")
    })
}

/// `x-oss-acl`, the ACL of a bucket.
///
/// # Errors
/// 400 `InvalidArgument` for an unknown ACL.
pub fn bucket_acl(headers: &dyn Headers) -> Result<Option<BucketAcl>, OssError> {
    word(headers, "x-oss-acl", BucketAcl::from_name, |name, value| {
        OssError::invalid_argument(name, value, "no such bucket access control exists")
            .with_ec("0015-00000204")
    })
}

/// A header that holds one word of a vocabulary.
fn word<T>(
    headers: &dyn Headers,
    name: &'static str,
    known: impl Fn(&str) -> Option<T>,
    refusal: impl Fn(&'static str, String) -> OssError,
) -> Result<Option<T>, OssError> {
    let Some(value) = headers.first(name) else {
        return Ok(None);
    };
    let value = value.trim_ascii();
    match std::str::from_utf8(value).ok().and_then(known) {
        Some(known) => Ok(Some(known)),
        None => Err(refusal(name, lossy(value))),
    }
}

/// A value as text, for an error message.
fn lossy(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests;
