//! Records of multipart uploads: the upload, its parts, and what is left of one that is over.

use super::{
    Stored,
    bucket::{class_from_wire, class_to_wire},
    head::{
        AttributesWire, PairWire, acl_from_wire, acl_to_wire, attributes_from_wire,
        attributes_to_wire, tags_from_wire, tags_to_wire,
    },
};
use crate::{
    keys::ContentId,
    words::{Attributes, ObjectAcl, StorageClass},
};

/// An upload under way. Everything that the object will be given but its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) initiated_ms: u64,
    pub(crate) attributes: Attributes,
    /// Named at the start; one named at the end wins.
    pub(crate) acl: Option<ObjectAcl>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) storage_class: StorageClass,
    /// Parts must come one after another; then `last` is the greatest so far.
    pub(crate) sequential: bool,
    pub(crate) last: u16,
    /// The content that is being made of the parts, or was until the completion stopped. Not before all of it has been taken back
    /// is another one begun.
    pub(crate) staged: Option<ContentId>,
    /// A part has come since: the content is no longer what a completion believes it to be.
    pub(crate) stale: bool,
    /// The data key that parts are encrypted under, and the object will be.
    pub(crate) key: Option<ContentId>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UploadWire {
    #[prost(uint64, tag = "1")]
    initiated_ms: u64,
    #[prost(message, optional, tag = "2")]
    attributes: Option<AttributesWire>,
    /// The ACL and one, absent when none was named.
    #[prost(uint32, tag = "3")]
    acl: u32,
    #[prost(message, repeated, tag = "4")]
    tags: Vec<PairWire>,
    #[prost(uint32, tag = "5")]
    storage_class: u32,
    #[prost(bool, tag = "6")]
    sequential: bool,
    #[prost(uint32, tag = "7")]
    last: u32,
    #[prost(bytes = "vec", tag = "8")]
    staged: Vec<u8>,
    #[prost(bool, tag = "9")]
    stale: bool,
    #[prost(bytes = "vec", tag = "10")]
    data_key: Vec<u8>,
}

impl Stored for Upload {
    const NAME: &'static str = "upload";
    type Wire = UploadWire;
    const NEWEST: u8 = super::FORMAT_SEALED;

    fn format(&self) -> u8 {
        if self.key.is_some() { super::FORMAT_SEALED } else { super::FORMAT }
    }

    fn to_wire(&self) -> UploadWire {
        UploadWire {
            initiated_ms: self.initiated_ms,
            attributes: attributes_to_wire(&self.attributes),
            acl: self.acl.map_or(0, |acl| acl_to_wire(acl) + 1),
            tags: tags_to_wire(&self.tags),
            storage_class: class_to_wire(self.storage_class),
            sequential: self.sequential,
            last: self.last.into(),
            staged: content_to_wire(self.staged),
            stale: self.stale,
            data_key: content_to_wire(self.key),
        }
    }

    fn from_wire(wire: UploadWire) -> Result<Self, &'static str> {
        Ok(Self {
            initiated_ms: wire.initiated_ms,
            attributes: wire.attributes.map(attributes_from_wire).unwrap_or_default(),
            acl: wire.acl.checked_sub(1).map(acl_from_wire).transpose()?,
            tags: tags_from_wire(wire.tags),
            storage_class: class_from_wire(wire.storage_class)?,
            sequential: wire.sequential,
            last: wire.last.try_into().map_err(|_| "no part number")?,
            staged: content_from_wire(&wire.staged)?,
            stale: wire.stale,
            key: content_from_wire(&wire.data_key)?,
        })
    }
}

/// A part. Its bytes are one extent of a content of their own, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) content: ContentId,
    pub(crate) length: u64,
    pub(crate) md5: [u8; 16],
    pub(crate) crc64: u64,
    pub(crate) modified_s: u64,
    /// Where a second extent for the same bytes ends, in the content that is being made.
    pub(crate) staged_end: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PartWire {
    #[prost(bytes = "vec", tag = "1")]
    content: Vec<u8>,
    #[prost(uint64, tag = "2")]
    length: u64,
    #[prost(bytes = "vec", tag = "3")]
    md5: Vec<u8>,
    #[prost(fixed64, tag = "4")]
    crc64: u64,
    #[prost(uint64, tag = "5")]
    modified_s: u64,
    #[prost(uint64, optional, tag = "6")]
    staged_end: Option<u64>,
}

impl Stored for Part {
    const NAME: &'static str = "part";
    type Wire = PartWire;

    fn to_wire(&self) -> PartWire {
        PartWire {
            content: self.content.0.to_vec(),
            length: self.length,
            md5: self.md5.to_vec(),
            crc64: self.crc64,
            modified_s: self.modified_s,
            staged_end: self.staged_end,
        }
    }

    fn from_wire(wire: PartWire) -> Result<Self, &'static str> {
        Ok(Self {
            content: content_from_wire(&wire.content)?.ok_or("no content id")?,
            length: wire.length,
            md5: wire.md5.try_into().map_err(|_| "not an MD5")?,
            crc64: wire.crc64,
            modified_s: wire.modified_s,
            staged_end: wire.staged_end,
        })
    }
}

/// An upload that is over, but whose parts the reaper still has to clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) when_ms: u64,
    /// The content that was being made of its parts, or was made.
    pub(crate) content: Option<ContentId>,
    /// Whether that is an object's now: its extents stay, and what they were made from goes.
    pub(crate) kept: bool,
    /// The data key of what is not kept.
    pub(crate) key: Option<ContentId>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LeftoverWire {
    #[prost(uint64, tag = "1")]
    when_ms: u64,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
    #[prost(bool, tag = "3")]
    kept: bool,
    #[prost(bytes = "vec", tag = "4")]
    data_key: Vec<u8>,
}

impl Stored for Leftover {
    const NAME: &'static str = "finished upload";
    type Wire = LeftoverWire;

    fn to_wire(&self) -> LeftoverWire {
        LeftoverWire {
            when_ms: self.when_ms,
            content: content_to_wire(self.content),
            kept: self.kept,
            data_key: content_to_wire(self.key),
        }
    }

    fn from_wire(wire: LeftoverWire) -> Result<Self, &'static str> {
        let content = content_from_wire(&wire.content)?;
        if wire.kept && content.is_none() {
            return Err("nothing to keep");
        }
        let key = content_from_wire(&wire.data_key)?;
        Ok(Self { when_ms: wire.when_ms, content, kept: wire.kept, key })
    }
}

/// Stands under the id of a content for as long as it is being made of parts: no head names it yet, and others must leave it alone.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Making {
    /// The upload's id.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) upload: bytes::Bytes,
}

impl Stored for Making {
    const NAME: &'static str = "content in the making";
    type Wire = Self;

    fn to_wire(&self) -> Self {
        self.clone()
    }

    fn from_wire(wire: Self) -> Result<Self, &'static str> {
        Ok(wire)
    }
}

fn content_to_wire(content: Option<ContentId>) -> Vec<u8> {
    content.map_or_else(Vec::new, |content| content.0.to_vec())
}

fn content_from_wire(bytes: &[u8]) -> Result<Option<ContentId>, &'static str> {
    match bytes {
        [] => Ok(None),
        id => Ok(Some(ContentId::from_slice(id).ok_or("not a content id")?)),
    }
}
