//! What stands under the keys: records with a leading format byte and protobuf behind it.
//!
//! Tags are never reused. A field that an older program does not know is lost when that program rewrites the record, so a field
//! whose loss would do harm needs a new format byte, which older programs refuse as damaged. Nothing here panics on any bytes.

mod bucket;
mod config;
mod content;
mod head;
mod key;
mod retention;
mod upload;

use bytes::{BufMut, Bytes, BytesMut};
use ossia_store::Record;
use prost::Message;
use thiserror::Error;

use crate::Failure;

pub(crate) use bucket::{BucketRecord, BucketState, Catalogue, Counters, Dropped};
pub(crate) use config::ConfigRecord;
pub(crate) use content::{Extent, Reference, Source, Tombstone};
pub(crate) use head::{Below, Content, Head, HeadSealing, Kind};
pub(crate) use key::{KeyRecord, MasterKeysNoted};
pub use retention::{DefaultRetention, ObjectRetention, RetentionMode, RetentionPeriod};
pub(crate) use retention::{Life, ObjectWorm, Restore, Retention, Worm};
pub(crate) use upload::{Leftover, Making, Part, Upload};

/// The format of most records.
const FORMAT: u8 = 1;
/// The format of what a program that knows no versions must not touch.
const FORMAT_VERSIONS: u8 = 2;

/// The format of what is encrypted: a program that does not know of it would hand out what is stored.
const FORMAT_SEALED: u8 = 3;

/// A record that does not mean anything.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a {what} record cannot be read: {why}")]
pub(crate) struct Damage {
    what: &'static str,
    why: String,
}

impl Damage {
    pub(crate) fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, why: why.into() }
    }
}

impl From<Damage> for Failure {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage.to_string())
    }
}

/// A record in its stored form.
pub(crate) trait Stored: Sized {
    /// For messages.
    const NAME: &'static str;
    /// The newest format that is understood.
    const NEWEST: u8 = FORMAT;
    type Wire: Message + Default;

    fn to_wire(&self) -> Self::Wire;
    fn from_wire(wire: Self::Wire) -> Result<Self, &'static str>;

    /// The format that this record is written in.
    fn format(&self) -> u8 {
        FORMAT
    }

    fn encode(&self) -> Bytes {
        let wire = self.to_wire();
        let mut bytes = BytesMut::with_capacity(1 + wire.encoded_len());
        bytes.put_u8(self.format());
        wire.encode_raw(&mut bytes);
        bytes.freeze()
    }

    fn decode(bytes: &Bytes) -> Result<Self, Damage> {
        match bytes.first() {
            Some(format) if (FORMAT..=Self::NEWEST).contains(format) => {}
            Some(other) => return Err(Damage::new(Self::NAME, format!("format {other}"))),
            None => return Err(Damage::new(Self::NAME, "empty")),
        }
        let wire = Self::Wire::decode(bytes.slice(1..))
            .map_err(|error| Damage::new(Self::NAME, error.to_string()))?;
        Self::from_wire(wire).map_err(|why| Damage::new(Self::NAME, why))
    }

    /// Decodes the record under a key, if there is one.
    fn decode_option(record: Option<&Record>) -> Result<Option<Self>, Damage> {
        record.map(|record| Self::decode(&record.value)).transpose()
    }
}

#[cfg(test)]
mod tests;
