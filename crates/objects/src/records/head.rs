//! The record of one version of an object.

use bytes::Bytes;

use super::{
    Stored,
    bucket::{class_from_wire, class_to_wire},
    retention::{Life, LifeWire, format_of},
};
use crate::{
    Lifetime, ObjectInfo, VersionId,
    keys::ContentId,
    sealing::Salt,
    words::{Attributes, ObjectAcl, ObjectKey, ObjectType, StorageClass, etag},
};

/// What a head is, and what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal {
        md5: [u8; 16],
    },
    /// Made of the parts of an upload.
    Multipart {
        etag: String,
        /// Of the whole, where the parts came one after the other and not too much of them.
        md5: Option<[u8; 16]>,
    },
    Appendable {
        /// The second that the ETag is made with: that of the last append.
        etag_s: u64,
        /// When it was sealed.
        sealed_s: Option<u64>,
        /// Reserved: the lowest fence that may append.
        fence: u64,
    },
    /// A link; no bytes of its own.
    Symlink {
        etag: String,
        target: ObjectKey,
    },
    /// Says that the object is deleted; nothing but a time.
    DeleteMarker,
}

/// Where the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The head's own payload; of length 0 there is none.
    Inline,
    /// Extents.
    Extents(ContentId),
}

/// How an object is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadSealing {
    /// Names its data key.
    pub(crate) key: ContentId,
    /// Of the run that its inline body is; extents have their own.
    pub(crate) salt: Option<Salt>,
}

/// A head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) length: u64,
    /// The CRC-64 of bytes `0..length` (I8).
    pub(crate) crc64: u64,
    pub(crate) content: Content,
    /// Last-Modified; never goes back under one key.
    pub(crate) modified_s: u64,
    pub(crate) attributes: Attributes,
    pub(crate) acl: ObjectAcl,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) storage_class: StorageClass,
    /// Orders the versions of a key, instead of a clock. Grows with each.
    pub(crate) order: u64,
    pub(crate) version_id: VersionId,
    /// What the current version knows of those that it stands on.
    pub(crate) below: Below,
    /// Since when another is current, in seconds: when that one was made. `None` of the current version.
    pub(crate) noncurrent_s: Option<u64>,
    /// What happens to it beside its content.
    pub(crate) life: Life,
    /// How its bytes are encrypted, if they are. Lengths and checksums are those of the plain ones.
    pub(crate) sealing: Option<HeadSealing>,
}

/// What a key's current version knows of its older ones. Nothing, in a bucket that never had versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Below {
    /// There may be some; where it is false there is none.
    pub(crate) any: bool,
    /// The order of the one that is `null`.
    pub(crate) null: Option<u64>,
    /// The greatest order of a newer one that was deleted: none comes twice while any version stands.
    pub(crate) past: u64,
}

impl Head {
    /// The ETag, without quotes.
    pub(crate) fn etag(&self) -> String {
        match &self.kind {
            Kind::Normal { md5 } => etag::from_md5(md5),
            Kind::Appendable { etag_s, .. } => {
                etag::appendable(self.crc64, i64::try_from(*etag_s).unwrap_or(i64::MAX))
            }
            Kind::Multipart { etag, .. } | Kind::Symlink { etag, .. } => etag.clone(),
            Kind::DeleteMarker => String::new(),
        }
    }

    pub(crate) fn is_marker(&self) -> bool {
        self.kind == Kind::DeleteMarker
    }

    pub(crate) fn object_type(&self) -> ObjectType {
        match self.kind {
            // A marker is no object, and is shown as none.
            Kind::Normal { .. } | Kind::DeleteMarker => ObjectType::Normal,
            Kind::Multipart { .. } => ObjectType::Multipart,
            Kind::Appendable { .. } => ObjectType::Appendable,
            Kind::Symlink { .. } => ObjectType::Symlink,
        }
    }

    /// The extents' content, if the bytes are there.
    pub(crate) fn content_id(&self) -> Option<ContentId> {
        match self.content {
            Content::Inline => None,
            Content::Extents(content) => Some(content),
        }
    }

    /// As callers see it; `versioned`: in a bucket that has or had versions.
    pub(crate) fn info(self, key: ObjectKey, versioned: bool) -> ObjectInfo {
        ObjectInfo {
            etag: self.etag(),
            kind: self.object_type(),
            key,
            length: self.length,
            crc64: self.crc64,
            md5: match self.kind {
                Kind::Normal { md5 } => Some(md5),
                Kind::Multipart { md5, .. } => md5,
                _ => None,
            },
            last_modified: self.modified_s,
            sealed_at: match self.kind {
                Kind::Appendable { sealed_s, .. } => sealed_s,
                _ => None,
            },
            link_target: match self.kind {
                Kind::Symlink { target, .. } => Some(target),
                _ => None,
            },
            attributes: self.attributes,
            acl: self.acl,
            tags: self.tags,
            storage_class: self.storage_class,
            version_id: versioned.then_some(self.version_id),
            lifetime: Lifetime(self.life),
            encrypted: self.sealing.is_some(),
        }
    }
}

const NORMAL: u32 = 1;
const MULTIPART: u32 = 2;
const APPENDABLE: u32 = 3;
const SYMLINK: u32 = 4;
const DELETE_MARKER: u32 = 5;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HeadWire {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint64, tag = "2")]
    length: u64,
    #[prost(fixed64, tag = "3")]
    crc64: u64,
    #[prost(bytes = "vec", tag = "4")]
    md5: Vec<u8>,
    #[prost(string, tag = "5")]
    etag: String,
    #[prost(uint64, tag = "6")]
    etag_s: u64,
    #[prost(uint64, tag = "7")]
    modified_s: u64,
    #[prost(uint64, optional, tag = "8")]
    sealed_s: Option<u64>,
    #[prost(uint64, tag = "9")]
    fence: u64,
    #[prost(uint64, tag = "10")]
    order: u64,
    #[prost(string, optional, tag = "11")]
    version_id: Option<String>,
    #[prost(bytes = "vec", tag = "12")]
    content: Vec<u8>,
    #[prost(uint32, tag = "13")]
    acl: u32,
    #[prost(uint32, tag = "14")]
    storage_class: u32,
    #[prost(message, repeated, tag = "15")]
    tags: Vec<PairWire>,
    #[prost(message, optional, tag = "16")]
    attributes: Option<AttributesWire>,
    /// Of a link: the key of its target.
    #[prost(string, tag = "20")]
    target: String,
    #[prost(bool, tag = "30")]
    older: bool,
    #[prost(uint64, optional, tag = "31")]
    null_order: Option<u64>,
    #[prost(uint64, tag = "32")]
    order_past: u64,
    #[prost(uint64, optional, tag = "33")]
    noncurrent_s: Option<u64>,
    #[prost(message, optional, tag = "40")]
    life: Option<LifeWire>,
    #[prost(bytes = "vec", tag = "50")]
    data_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "51")]
    salt: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PairWire {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// Stored headers: values are bytes as they came.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AttributesWire {
    /// Absent for the default.
    #[prost(bytes = "bytes", optional, tag = "1")]
    content_type: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    cache_control: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    content_disposition: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    content_encoding: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    content_language: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    expires: Option<Bytes>,
    #[prost(message, repeated, tag = "7")]
    metadata: Vec<FieldWire>,
    #[prost(message, repeated, tag = "8")]
    persistent: Vec<FieldWire>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FieldWire {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

impl Stored for Head {
    const NAME: &'static str = "head";
    type Wire = HeadWire;
    const NEWEST: u8 = super::FORMAT_SEALED;

    fn format(&self) -> u8 {
        match self.sealing {
            Some(_) => super::FORMAT_SEALED,
            None => format_of(self.life.is_retained()),
        }
    }

    fn to_wire(&self) -> HeadWire {
        let mut wire = HeadWire {
            length: self.length,
            crc64: self.crc64,
            modified_s: self.modified_s,
            order: self.order,
            version_id: self.version_id.to_record(),
            older: self.below.any,
            null_order: self.below.null,
            order_past: self.below.past,
            noncurrent_s: self.noncurrent_s,
            content: match self.content {
                Content::Inline => Vec::new(),
                Content::Extents(content) => content.0.to_vec(),
            },
            acl: acl_to_wire(self.acl),
            storage_class: class_to_wire(self.storage_class),
            tags: tags_to_wire(&self.tags),
            attributes: attributes_to_wire(&self.attributes),
            life: self.life.to_wire(),
            data_key: self.sealing.map_or_else(Vec::new, |sealing| sealing.key.0.to_vec()),
            salt: self.sealing.and_then(|s| s.salt).map_or_else(Vec::new, |salt| salt.to_vec()),
            ..HeadWire::default()
        };
        match &self.kind {
            Kind::Normal { md5 } => {
                wire.kind = NORMAL;
                wire.md5 = md5.to_vec();
            }
            Kind::Multipart { etag, md5 } => {
                wire.kind = MULTIPART;
                wire.etag.clone_from(etag);
                wire.md5 = md5.map(|md5| md5.to_vec()).unwrap_or_default();
            }
            Kind::Appendable { etag_s, sealed_s, fence } => {
                wire.kind = APPENDABLE;
                wire.etag_s = *etag_s;
                wire.sealed_s = *sealed_s;
                wire.fence = *fence;
            }
            Kind::Symlink { etag, target } => {
                wire.kind = SYMLINK;
                wire.etag.clone_from(etag);
                wire.target = target.as_str().to_owned();
            }
            Kind::DeleteMarker => wire.kind = DELETE_MARKER,
        }
        wire
    }

    fn from_wire(wire: HeadWire) -> Result<Self, &'static str> {
        let kind = match wire.kind {
            NORMAL => Kind::Normal { md5: wire.md5.try_into().map_err(|_| "not an MD5")? },
            MULTIPART => Kind::Multipart {
                etag: wire.etag,
                md5: match wire.md5.as_slice() {
                    [] => None,
                    md5 => Some(md5.try_into().map_err(|_| "not an MD5")?),
                },
            },
            APPENDABLE => {
                Kind::Appendable { etag_s: wire.etag_s, sealed_s: wire.sealed_s, fence: wire.fence }
            }
            SYMLINK => Kind::Symlink {
                etag: wire.etag,
                target: ObjectKey::new(&wire.target).map_err(|_| "its target is no key")?,
            },
            DELETE_MARKER => Kind::DeleteMarker,
            _ => return Err("unknown kind"),
        };
        let content = if wire.content.is_empty() {
            Content::Inline
        } else {
            Content::Extents(ContentId::from_slice(&wire.content).ok_or("not a content id")?)
        };
        let salt = match wire.salt.is_empty() {
            true => None,
            false => Some(wire.salt.try_into().map_err(|_| "no salt")?),
        };
        let sealing = match &wire.data_key[..] {
            [] if salt.is_some() => return Err("a salt and no data key"),
            [] => None,
            id => {
                let key = ContentId::from_slice(id).ok_or("not a data key's id")?;
                Some(HeadSealing { key, salt })
            }
        };
        Ok(Self {
            kind,
            length: wire.length,
            crc64: wire.crc64,
            content,
            modified_s: wire.modified_s,
            attributes: wire.attributes.map(attributes_from_wire).unwrap_or_default(),
            acl: acl_from_wire(wire.acl)?,
            tags: tags_from_wire(wire.tags),
            storage_class: class_from_wire(wire.storage_class)?,
            order: wire.order,
            version_id: match wire.version_id {
                None => VersionId::Null,
                Some(id) => VersionId::from_record(&id).ok_or("its version is none")?,
            },
            below: Below { any: wire.older, null: wire.null_order, past: wire.order_past },
            noncurrent_s: wire.noncurrent_s,
            life: Life::from_wire(wire.life)?,
            sealing,
        })
    }
}

pub(super) fn tags_to_wire(tags: &[(String, String)]) -> Vec<PairWire> {
    tags.iter().map(|(key, value)| PairWire { key: key.clone(), value: value.clone() }).collect()
}

pub(super) fn tags_from_wire(wire: Vec<PairWire>) -> Vec<(String, String)> {
    wire.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

/// `None` for the defaults, which most logs have: a head is rewritten by every append.
pub(super) fn attributes_to_wire(attributes: &Attributes) -> Option<AttributesWire> {
    let defaults = Attributes::default();
    if *attributes == defaults {
        return None;
    }
    let fields = |list: &[(String, Bytes)]| {
        let field = |(name, value): &(String, Bytes)| FieldWire {
            name: name.clone(),
            value: value.clone(),
        };
        list.iter().map(field).collect()
    };
    let content_type = &attributes.content_type;
    Some(AttributesWire {
        content_type: (*content_type != defaults.content_type).then(|| content_type.clone()),
        cache_control: attributes.cache_control.clone(),
        content_disposition: attributes.content_disposition.clone(),
        content_encoding: attributes.content_encoding.clone(),
        content_language: attributes.content_language.clone(),
        expires: attributes.expires.clone(),
        metadata: fields(&attributes.metadata),
        persistent: fields(&attributes.persistent),
    })
}

pub(super) fn attributes_from_wire(wire: AttributesWire) -> Attributes {
    let fields = |list: Vec<FieldWire>| {
        list.into_iter().map(|field| (field.name, field.value)).collect::<Vec<_>>()
    };
    Attributes {
        content_type: wire.content_type.unwrap_or(Attributes::default().content_type),
        cache_control: wire.cache_control,
        content_disposition: wire.content_disposition,
        content_encoding: wire.content_encoding,
        content_language: wire.content_language,
        expires: wire.expires,
        metadata: fields(wire.metadata),
        persistent: fields(wire.persistent),
    }
}

pub(super) fn acl_to_wire(acl: ObjectAcl) -> u32 {
    match acl {
        ObjectAcl::Default => 0,
        ObjectAcl::Private => 1,
        ObjectAcl::PublicRead => 2,
        ObjectAcl::PublicReadWrite => 3,
    }
}

pub(super) fn acl_from_wire(wire: u32) -> Result<ObjectAcl, &'static str> {
    Ok(match wire {
        0 => ObjectAcl::Default,
        1 => ObjectAcl::Private,
        2 => ObjectAcl::PublicRead,
        3 => ObjectAcl::PublicReadWrite,
        _ => return Err("unknown acl"),
    })
}
