//! Records of keys: data keys, sealed, and which master keys were ever used.

use bytes::Bytes;
use ossia_keys::KeyId;

use super::Stored;

/// A data key, sealed under a master key.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KeyRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) sealed: Bytes,
}

impl KeyRecord {
    /// The master key that it was sealed under.
    pub(crate) fn master(&self) -> Option<KeyId> {
        ossia_keys::sealed_with(&self.sealed)
    }
}

impl Stored for KeyRecord {
    const NAME: &'static str = "data key";
    type Wire = Self;

    fn to_wire(&self) -> Self {
        self.clone()
    }

    fn from_wire(wire: Self) -> Result<Self, &'static str> {
        match wire.master() {
            Some(_) => Ok(wire),
            None => Err("it is not sealed"),
        }
    }
}

/// The master keys that something in the store may be sealed under. Noted before the first thing is, so that a start can tell a
/// key file that is missing from one that was never made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MasterKeysNoted {
    pub(crate) ids: Vec<KeyId>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MasterKeysWire {
    #[prost(bytes = "vec", repeated, tag = "1")]
    ids: Vec<Vec<u8>>,
}

impl Stored for MasterKeysNoted {
    const NAME: &'static str = "master keys";
    type Wire = MasterKeysWire;

    fn to_wire(&self) -> MasterKeysWire {
        MasterKeysWire { ids: self.ids.iter().map(|id| id.bytes().to_vec()).collect() }
    }

    fn from_wire(wire: MasterKeysWire) -> Result<Self, &'static str> {
        let ids: Result<Vec<_>, _> =
            wire.ids.into_iter().map(|id| id.try_into().map(KeyId::from_bytes)).collect();
        Ok(Self { ids: ids.map_err(|_| "not a key id")? })
    }
}
