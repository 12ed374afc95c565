//! Records of bucket configurations: the documents as the protocol keeps them.

use bytes::Bytes;

use super::Stored;

/// One kind of configuration of one bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConfigRecord {
    /// Sorted by id. A kind of which a bucket has only one has one entry with an empty id.
    pub(crate) entries: Vec<(String, Bytes)>,
    /// When it was last changed, in milliseconds.
    pub(crate) changed_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ConfigWire {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<EntryWire>,
    #[prost(uint64, tag = "2")]
    changed_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EntryWire {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "bytes", tag = "2")]
    document: Bytes,
}

impl Stored for ConfigRecord {
    const NAME: &'static str = "bucket configuration";
    type Wire = ConfigWire;

    fn to_wire(&self) -> ConfigWire {
        let entry = |(id, document): &(String, Bytes)| EntryWire {
            id: id.clone(),
            document: document.clone(),
        };
        ConfigWire {
            entries: self.entries.iter().map(entry).collect(),
            changed_ms: self.changed_ms,
        }
    }

    fn from_wire(wire: ConfigWire) -> Result<Self, &'static str> {
        let entries = wire.entries.into_iter().map(|entry| (entry.id, entry.document)).collect();
        Ok(Self { entries, changed_ms: wire.changed_ms })
    }
}
