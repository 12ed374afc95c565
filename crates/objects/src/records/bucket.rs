//! Records of buckets.

use super::{
    FORMAT, FORMAT_VERSIONS, Stored,
    retention::{Retention, RetentionWire},
};
use crate::words::{BucketAcl, Redundancy, StorageClass, Versioning};

/// Where a bucket stands in its life.
///
/// In the catalogue: `Creating -> Open -> Closing -> (gone | Reopening -> Open)`. In the bucket's own partitions only `Open` and
/// `Closing` occur. `objects::buckets` tells why it goes this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BucketState {
    Creating,
    Open,
    Closing,
    Reopening,
}

impl BucketState {
    fn to_wire(self) -> u32 {
        match self {
            Self::Creating => 1,
            Self::Open => 2,
            Self::Closing => 3,
            Self::Reopening => 4,
        }
    }

    fn from_wire(wire: u32) -> Result<Self, &'static str> {
        Ok(match wire {
            1 => Self::Creating,
            2 => Self::Open,
            3 => Self::Closing,
            4 => Self::Reopening,
            _ => return Err("unknown state"),
        })
    }
}

/// What the catalogue says of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Catalogue {
    /// Never used twice, at least 1.
    pub(crate) id: u64,
    pub(crate) state: BucketState,
    /// Counts the attempts to delete it; the latest one decides.
    pub(crate) epoch: u64,
    /// When it came into this state, in milliseconds.
    pub(crate) since_ms: u64,
    pub(crate) partitions: u16,
    pub(crate) acl: BucketAcl,
    pub(crate) storage_class: StorageClass,
    pub(crate) redundancy: Redundancy,
    /// `None`: never had versions.
    pub(crate) versioning: Option<Versioning>,
    /// Counts the changes of `versioning`; the latest one decides.
    pub(crate) versioning_epoch: u64,
    /// Not every partition knows of the latest change yet.
    pub(crate) spreading: bool,
    pub(crate) created_ms: u64,
    /// What its copies in the partitions say, or are to say.
    pub(crate) retention: Retention,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CatalogueWire {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint32, tag = "2")]
    state: u32,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(uint64, tag = "4")]
    since_ms: u64,
    #[prost(uint32, tag = "5")]
    partitions: u32,
    #[prost(uint32, tag = "6")]
    acl: u32,
    #[prost(uint32, tag = "7")]
    storage_class: u32,
    #[prost(uint32, tag = "8")]
    redundancy: u32,
    #[prost(uint32, tag = "9")]
    versioning: u32,
    #[prost(uint64, tag = "10")]
    created_ms: u64,
    #[prost(uint64, tag = "11")]
    versioning_epoch: u64,
    #[prost(bool, tag = "12")]
    spreading: bool,
    #[prost(message, optional, tag = "20")]
    retention: Option<RetentionWire>,
}

impl Stored for Catalogue {
    const NAME: &'static str = "catalogue";
    const NEWEST: u8 = FORMAT_VERSIONS;
    type Wire = CatalogueWire;

    fn format(&self) -> u8 {
        format_of(self.versioning, &self.retention)
    }

    fn to_wire(&self) -> CatalogueWire {
        CatalogueWire {
            id: self.id,
            state: self.state.to_wire(),
            epoch: self.epoch,
            since_ms: self.since_ms,
            partitions: self.partitions.into(),
            acl: match self.acl {
                BucketAcl::Private => 0,
                BucketAcl::PublicRead => 1,
                BucketAcl::PublicReadWrite => 2,
            },
            storage_class: class_to_wire(self.storage_class),
            redundancy: match self.redundancy {
                Redundancy::Lrs => 0,
                Redundancy::Zrs => 1,
            },
            versioning: versioning_to_wire(self.versioning),
            created_ms: self.created_ms,
            versioning_epoch: self.versioning_epoch,
            spreading: self.spreading,
            retention: self.retention.to_wire(),
        }
    }

    fn from_wire(wire: CatalogueWire) -> Result<Self, &'static str> {
        if wire.id == 0 || wire.id > crate::keys::BUCKET_ID_MAX {
            return Err("bucket id out of range");
        }
        Ok(Self {
            id: wire.id,
            state: BucketState::from_wire(wire.state)?,
            epoch: wire.epoch,
            since_ms: wire.since_ms,
            partitions: partitions_from_wire(wire.partitions)?,
            acl: match wire.acl {
                0 => BucketAcl::Private,
                1 => BucketAcl::PublicRead,
                2 => BucketAcl::PublicReadWrite,
                _ => return Err("unknown acl"),
            },
            storage_class: class_from_wire(wire.storage_class)?,
            redundancy: match wire.redundancy {
                0 => Redundancy::Lrs,
                1 => Redundancy::Zrs,
                _ => return Err("unknown redundancy"),
            },
            versioning: versioning_from_wire(wire.versioning)?,
            versioning_epoch: wire.versioning_epoch,
            spreading: wire.spreading,
            created_ms: wire.created_ms,
            retention: Retention::from_wire(wire.retention)?,
        })
    }
}

/// A program that knows no versions would overwrite and lose some, and one that knows no retention what is protected.
fn format_of(versioning: Option<Versioning>, retention: &Retention) -> u8 {
    let plain = versioning.is_none() && *retention == Retention::default();
    if plain { FORMAT } else { FORMAT_VERSIONS }
}

fn versioning_to_wire(versioning: Option<Versioning>) -> u32 {
    match versioning {
        None => 0,
        Some(Versioning::Enabled) => 1,
        Some(Versioning::Suspended) => 2,
    }
}

fn versioning_from_wire(wire: u32) -> Result<Option<Versioning>, &'static str> {
    Ok(match wire {
        0 => None,
        1 => Some(Versioning::Enabled),
        2 => Some(Versioning::Suspended),
        _ => return Err("unknown versioning"),
    })
}

fn partitions_from_wire(wire: u32) -> Result<u16, &'static str> {
    u16::try_from(wire).ok().filter(|&count| count > 0).ok_or("partition count out of range")
}

pub(super) fn class_to_wire(class: StorageClass) -> u32 {
    match class {
        StorageClass::Standard => 0,
        StorageClass::Ia => 1,
        StorageClass::Archive => 2,
        StorageClass::ColdArchive => 3,
        StorageClass::DeepColdArchive => 4,
    }
}

pub(super) fn class_from_wire(wire: u32) -> Result<StorageClass, &'static str> {
    Ok(match wire {
        0 => StorageClass::Standard,
        1 => StorageClass::Ia,
        2 => StorageClass::Archive,
        3 => StorageClass::ColdArchive,
        4 => StorageClass::DeepColdArchive,
        _ => return Err("unknown storage class"),
    })
}

/// The bucket's record in each of its partitions: all that a transaction on an object has to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketRecord {
    pub(crate) state: BucketState,
    /// The attempt to delete that `state` comes from; 0 before the first.
    pub(crate) epoch: u64,
    /// `None`: never had versions.
    pub(crate) versioning: Option<Versioning>,
    /// The change that `versioning` comes from; 0 before the first.
    pub(crate) versioning_epoch: u64,
    /// Forbids what transactions here would do.
    pub(crate) retention: Retention,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BucketWire {
    #[prost(uint32, tag = "1")]
    state: u32,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint32, tag = "3")]
    versioning: u32,
    #[prost(uint64, tag = "4")]
    versioning_epoch: u64,
    #[prost(message, optional, tag = "20")]
    retention: Option<RetentionWire>,
}

impl Stored for BucketRecord {
    const NAME: &'static str = "bucket";
    const NEWEST: u8 = FORMAT_VERSIONS;
    type Wire = BucketWire;

    fn format(&self) -> u8 {
        format_of(self.versioning, &self.retention)
    }

    fn to_wire(&self) -> BucketWire {
        BucketWire {
            state: self.state.to_wire(),
            epoch: self.epoch,
            versioning: versioning_to_wire(self.versioning),
            versioning_epoch: self.versioning_epoch,
            retention: self.retention.to_wire(),
        }
    }

    fn from_wire(wire: BucketWire) -> Result<Self, &'static str> {
        match BucketState::from_wire(wire.state)? {
            state @ (BucketState::Open | BucketState::Closing) => Ok(Self {
                state,
                epoch: wire.epoch,
                versioning: versioning_from_wire(wire.versioning)?,
                versioning_epoch: wire.versioning_epoch,
                retention: Retention::from_wire(wire.retention)?,
            }),
            BucketState::Creating | BucketState::Reopening => Err("state of a catalogue record"),
        }
    }
}

/// What is counted over all buckets.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Counters {
    /// The greatest bucket id ever given out.
    #[prost(uint64, tag = "1")]
    pub(crate) last_bucket_id: u64,
    /// Names in the catalogue.
    #[prost(uint32, tag = "2")]
    pub(crate) buckets: u32,
}

impl Stored for Counters {
    const NAME: &'static str = "counters";
    type Wire = Self;

    fn to_wire(&self) -> Self {
        self.clone()
    }

    fn from_wire(wire: Self) -> Result<Self, &'static str> {
        Ok(wire)
    }
}

/// A bucket that is gone, but whose partitions the reaper still has to clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) partitions: u16,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DroppedWire {
    #[prost(uint32, tag = "1")]
    partitions: u32,
}

impl Stored for Dropped {
    const NAME: &'static str = "dropped bucket";
    type Wire = DroppedWire;

    fn to_wire(&self) -> DroppedWire {
        DroppedWire { partitions: self.partitions.into() }
    }

    fn from_wire(wire: DroppedWire) -> Result<Self, &'static str> {
        Ok(Self { partitions: partitions_from_wire(wire.partitions)? })
    }
}
