//! XML bodies: what the server writes and reads, and what the client reads back.
//!
//! Owns the wire form of each document as a plain struct with a `to_xml` and, where somebody reads it, a `parse`. Knows
//! nothing of where the values come from. Times are Unix seconds and ETags bare; dates, quotes and escapes are put on here.
//!
//! Written documents keep to what the strictest SDK parsers take: a declaration, no `xmlns`, no attributes, exact root names,
//! dates that end in `.000Z`, quoted ETags, lower-case booleans, empty elements where an absent one makes a client throw.
//! Read documents are bounded in bytes, depth and number of elements, and never make the reader panic.

mod bucket;
pub mod config;
mod list;
mod multipart;
mod object;
mod reader;
mod writer;

pub use self::bucket::{
    AccessControlPolicy, AccessMonitorConfiguration, BucketInfo, BucketStat, BucketSummary,
    BucketsPage, ClassStat, CreateBucketConfiguration, DataRedundancyType, ListBucketsOutput,
    ListLiveChannelOutput, LocationConstraint, Owner, VersioningConfiguration, VersioningStatus,
};
pub use self::list::{
    ListObjectVersionsOutput, ListObjectsOutput, ListObjectsV2Output, ObjectSummary, VersionEntry,
};
pub use self::multipart::{
    COMPLETE_BYTES_MAX, COMPLETE_PARTS_MAX, ClientEncryption, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyPartOutput, InitiateMultipartUploadOutput,
    ListMultipartUploadsOutput, ListPartsOutput, PartSummary, UploadSummary,
};
pub use self::object::{
    CopyObjectOutput, DELETE_BYTES_MAX, DELETE_OBJECTS_MAX, DeleteObjectsInput,
    DeleteObjectsOutput, DeletedObject, ObjectIdentifier, PostObjectOutput,
};
pub use self::reader::{Element, Limits};
pub use self::writer::Writer;
use crate::error::OssError;
use crate::time;

/// Bounds of a small configuration document.
const SMALL: Limits = Limits { bytes: 64 * 1024, depth: 16, elements: 1024 };

/// Why a document could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// More bytes than the kind of document may have.
    #[error("the document is longer than {limit} bytes")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// Nested too deeply, or too many elements.
    #[error("the document has too many elements or nests too deeply")]
    TooComplex,
    /// Not UTF-8.
    #[error("the document is not UTF-8")]
    NotUtf8,
    /// Not well-formed.
    #[error("the document is not well-formed")]
    Malformed,
    /// A document type declaration, which could define entities.
    #[error("the document has a document type declaration")]
    DocType,
    /// An entity other than the five of XML and numeric ones.
    #[error("the document uses an unknown entity")]
    Entity,
    /// Another root element.
    #[error("the root element is not {expected}")]
    Root {
        /// The root expected.
        expected: &'static str,
    },
    /// A required element is absent or empty.
    #[error("the element {0} is missing")]
    Missing(&'static str),
    /// An element holds something that it cannot hold.
    #[error("the element {0} has an invalid value")]
    Value(&'static str),
    /// More repetitions of an element than allowed.
    #[error("more than {limit} elements {element}")]
    TooMany {
        /// The repeated element.
        element: &'static str,
        /// The bound.
        limit: usize,
    },
}

impl XmlError {
    /// The answer to a request with such a body: 400 `MalformedXML` with the EC of the operation.
    pub fn into_oss(self, ec: &'static str) -> OssError {
        OssError::malformed_xml(self.to_string()).with_ec(ec)
    }
}

/// A boolean child, false when absent or empty. Any case is taken: some writers capitalise.
fn read_bool(parent: &Element, name: &'static str) -> Result<bool, XmlError> {
    match parent.child_value(name) {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(XmlError::Value(name)),
    }
}

/// A decimal child.
fn read_number(parent: &Element, name: &'static str) -> Result<Option<u64>, XmlError> {
    match parent.child_value(name) {
        None => Ok(None),
        Some(value) => value.parse().map(Some).map_err(|_| XmlError::Value(name)),
    }
}

/// A date child in any ISO 8601 form, as Unix seconds.
fn read_date(parent: &Element, name: &'static str) -> Result<Option<i64>, XmlError> {
    match parent.child_value(name) {
        None => Ok(None),
        Some(value) => time::parse_iso8601(value).map(Some).ok_or(XmlError::Value(name)),
    }
}

#[cfg(test)]
mod tests;
