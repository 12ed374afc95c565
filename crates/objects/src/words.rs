//! The words of the protocol that this crate speaks, in one place.

pub use ossia_protocol::{
    attributes::{
        BucketAcl, Directive, ObjectAcl, ObjectType, StorageClass, StoredHeaders as Attributes,
    },
    conditions::{ConditionOutcome, Conditions},
    names::{BucketName, ObjectKey},
    xml::{DataRedundancyType as Redundancy, VersioningStatus as Versioning},
};

pub(crate) use ossia_protocol::{crc64, etag};
