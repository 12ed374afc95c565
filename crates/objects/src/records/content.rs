//! Records of content: extents, what names a blob, and tombstones.

use ossia_store::BlobId;

use super::Stored;
use crate::{keys::ContentId, sealing::Sealing};

/// A run of an object's bytes; its key says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Never 0.
    pub(crate) length: u64,
    /// The CRC-64 of these bytes alone.
    pub(crate) crc64: u64,
    pub(crate) source: Source,
    /// How they are encrypted, if they are. Checksum and length are those of the plain bytes.
    pub(crate) sealing: Option<Sealing>,
}

/// Where an extent's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The record's own payload.
    Payload,
    /// `length` bytes of a blob.
    Blob { id: BlobId, offset: u64 },
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExtentWire {
    #[prost(uint64, tag = "1")]
    length: u64,
    #[prost(fixed64, tag = "2")]
    crc64: u64,
    #[prost(bytes = "vec", tag = "3")]
    blob: Vec<u8>,
    #[prost(uint64, tag = "4")]
    offset: u64,
    #[prost(message, optional, tag = "5")]
    sealing: Option<SealingWire>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SealingWire {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    salt: Vec<u8>,
    #[prost(uint32, optional, tag = "3")]
    part: Option<u32>,
    /// Absent for that of the extent.
    #[prost(uint64, optional, tag = "4")]
    length: Option<u64>,
}

impl SealingWire {
    fn of(sealing: Sealing, extent: u64) -> Self {
        Self {
            key: sealing.key.0.to_vec(),
            salt: sealing.salt.to_vec(),
            part: sealing.part.map(u32::from),
            length: (sealing.length != extent).then_some(sealing.length),
        }
    }

    fn read(self, extent: u64) -> Result<Sealing, &'static str> {
        let length = self.length.unwrap_or(extent);
        if length < extent {
            return Err("longer than what it is the beginning of");
        }
        Ok(Sealing {
            key: ContentId::from_slice(&self.key).ok_or("not a data key's id")?,
            salt: self.salt.try_into().map_err(|_| "no salt")?,
            part: self
                .part
                .map(|part| part.try_into().map_err(|_| "no part number"))
                .transpose()?,
            length,
        })
    }
}

impl Stored for Extent {
    const NAME: &'static str = "extent";
    type Wire = ExtentWire;
    const NEWEST: u8 = super::FORMAT_SEALED;

    fn format(&self) -> u8 {
        if self.sealing.is_some() { super::FORMAT_SEALED } else { super::FORMAT }
    }

    fn to_wire(&self) -> ExtentWire {
        let (blob, offset) = match self.source {
            Source::Payload => (Vec::new(), 0),
            Source::Blob { id, offset } => (id.0.to_vec(), offset),
        };
        let sealing = self.sealing.map(|sealing| SealingWire::of(sealing, self.length));
        ExtentWire { length: self.length, crc64: self.crc64, blob, offset, sealing }
    }

    fn from_wire(wire: ExtentWire) -> Result<Self, &'static str> {
        if wire.length == 0 {
            return Err("no bytes");
        }
        let source = if wire.blob.is_empty() {
            Source::Payload
        } else {
            let id = wire.blob.try_into().map(BlobId).map_err(|_| "not a blob id")?;
            wire.offset.checked_add(wire.length).ok_or("past the end of all numbers")?;
            Source::Blob { id, offset: wire.offset }
        };
        let sealing = wire.sealing.map(|sealing| sealing.read(wire.length)).transpose()?;
        Ok(Self { length: wire.length, crc64: wire.crc64, source, sealing })
    }
}

/// Which extent names a blob; written with it and removed with it. The sweep of a start asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) content: ContentId,
    pub(crate) end: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReferenceWire {
    #[prost(bytes = "vec", tag = "1")]
    content: Vec<u8>,
    #[prost(uint64, tag = "2")]
    end: u64,
}

impl Stored for Reference {
    const NAME: &'static str = "reference";
    type Wire = ReferenceWire;

    fn to_wire(&self) -> ReferenceWire {
        ReferenceWire { content: self.content.0.to_vec(), end: self.end }
    }

    fn from_wire(wire: ReferenceWire) -> Result<Self, &'static str> {
        let content = ContentId::from_slice(&wire.content).ok_or("not a content id")?;
        Ok(Self { content, end: wire.end })
    }
}

/// Content that was let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) when_ms: u64,
    /// The bytes let go.
    pub(crate) length: u64,
    /// Blobs that no extent names any more, and that may still be there (I9).
    pub(crate) blobs: Vec<BlobId>,
    /// The content whose readers may still read these blobs, if it is not the one that was let go: for blobs whose bytes were put
    /// into another one. A program that does not know this field could only cut such a reader short.
    pub(crate) readers_of: Option<ContentId>,
    /// The data key that goes with the content.
    pub(crate) key: Option<ContentId>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TombstoneWire {
    #[prost(uint64, tag = "1")]
    when_ms: u64,
    #[prost(uint64, tag = "2")]
    length: u64,
    #[prost(bytes = "vec", repeated, tag = "3")]
    blobs: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "4")]
    readers_of: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    key: Vec<u8>,
}

impl Stored for Tombstone {
    const NAME: &'static str = "tombstone";
    type Wire = TombstoneWire;

    fn to_wire(&self) -> TombstoneWire {
        TombstoneWire {
            when_ms: self.when_ms,
            length: self.length,
            blobs: self.blobs.iter().map(|id| id.0.to_vec()).collect(),
            readers_of: self.readers_of.map_or_else(Vec::new, |content| content.0.to_vec()),
            key: self.key.map_or_else(Vec::new, |key| key.0.to_vec()),
        }
    }

    fn from_wire(wire: TombstoneWire) -> Result<Self, &'static str> {
        let blobs: Result<_, _> =
            wire.blobs.into_iter().map(|id| id.try_into().map(BlobId)).collect();
        Ok(Self {
            when_ms: wire.when_ms,
            length: wire.length,
            blobs: blobs.map_err(|_| "not a blob id")?,
            readers_of: match &wire.readers_of[..] {
                [] => None,
                id => Some(ContentId::from_slice(id).ok_or("not a content id")?),
            },
            key: match &wire.key[..] {
                [] => None,
                id => Some(ContentId::from_slice(id).ok_or("not a data key's id")?),
            },
        })
    }
}
