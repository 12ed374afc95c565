//! What keeps objects from being changed or read: a bucket's retention, and an object's own retention, hold and restore.

/// A bucket's retention: in its catalogue record, and in its record of each partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Counts the changes, so that a partition's copy only ever goes forward. 0 before the first.
    pub(crate) seq: u64,
    /// The policy on all objects.
    pub(crate) worm: Option<Worm>,
    /// Objects may have a retention of their own.
    pub(crate) objects: Option<ObjectWorm>,
}

/// A policy that protects every object of a bucket for so many days after its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worm {
    pub(crate) id: String,
    pub(crate) locked: bool,
    pub(crate) days: u32,
    pub(crate) created_ms: u64,
}

/// Objects have retentions of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectWorm {
    /// What a new object is given: mode, and days or years.
    pub(crate) default: Option<DefaultRetention>,
}

/// How strictly an object is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetentionMode {
    /// Until its time nobody shortens it.
    Compliance,
    /// Who may bypass it can.
    Governance,
}

impl RetentionMode {
    fn to_wire(self) -> u32 {
        match self {
            Self::Compliance => 1,
            Self::Governance => 2,
        }
    }

    fn from_wire(wire: u32) -> Result<Self, &'static str> {
        match wire {
            1 => Ok(Self::Compliance),
            2 => Ok(Self::Governance),
            _ => Err("unknown retention mode"),
        }
    }
}

/// What new objects of a bucket are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultRetention {
    /// How strictly.
    pub mode: RetentionMode,
    /// How long, in days, or in years of 365 days.
    pub period: RetentionPeriod,
}

/// A length of time as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionPeriod {
    /// Days.
    Days(u32),
    /// Years.
    Years(u32),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RetentionWire {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(string, tag = "2")]
    worm_id: String,
    #[prost(bool, tag = "3")]
    locked: bool,
    #[prost(uint32, tag = "4")]
    days: u32,
    #[prost(uint64, tag = "5")]
    created_ms: u64,
    #[prost(bool, tag = "6")]
    objects: bool,
    /// 0: there is no default.
    #[prost(uint32, tag = "7")]
    default_mode: u32,
    #[prost(uint32, tag = "8")]
    default_days: u32,
    #[prost(uint32, tag = "9")]
    default_years: u32,
}

impl Retention {
    /// `None` where there never was any.
    pub(super) fn to_wire(&self) -> Option<RetentionWire> {
        if *self == Self::default() {
            return None;
        }
        let mut wire = RetentionWire { seq: self.seq, ..RetentionWire::default() };
        if let Some(worm) = &self.worm {
            wire.worm_id.clone_from(&worm.id);
            wire.locked = worm.locked;
            wire.days = worm.days;
            wire.created_ms = worm.created_ms;
        }
        if let Some(objects) = self.objects {
            wire.objects = true;
            if let Some(default) = objects.default {
                wire.default_mode = default.mode.to_wire();
                match default.period {
                    RetentionPeriod::Days(days) => wire.default_days = days,
                    RetentionPeriod::Years(years) => wire.default_years = years,
                }
            }
        }
        Some(wire)
    }

    pub(super) fn from_wire(wire: Option<RetentionWire>) -> Result<Self, &'static str> {
        let Some(wire) = wire else {
            return Ok(Self::default());
        };
        let RetentionWire { locked, days, created_ms, .. } = wire;
        let default = match wire.default_mode {
            0 => None,
            mode => Some(DefaultRetention {
                mode: RetentionMode::from_wire(mode)?,
                period: match (wire.default_days, wire.default_years) {
                    (days, 0) => RetentionPeriod::Days(days),
                    (0, years) => RetentionPeriod::Years(years),
                    _ => return Err("a retention of days and of years"),
                },
            }),
        };
        Ok(Self {
            seq: wire.seq,
            worm: (!wire.worm_id.is_empty()).then_some(Worm {
                id: wire.worm_id,
                locked,
                days,
                created_ms,
            }),
            objects: wire.objects.then_some(ObjectWorm { default }),
        })
    }
}

/// What happens to an object beside its content: nothing, for most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) retention: Option<ObjectRetention>,
    /// Whether it is held, if that was ever said.
    pub(crate) hold: Option<bool>,
    pub(crate) restore: Option<Restore>,
    /// When it came into a colder class by itself, in seconds.
    pub(crate) transition_s: Option<u64>,
}

/// An object's own retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRetention {
    /// How strictly.
    pub mode: RetentionMode,
    /// Until when, in seconds since 1970.
    pub until: u64,
}

/// A restore: under way until it is ready, over when it expires. Nothing happens at either time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restore {
    pub(crate) ready_ms: u64,
    pub(crate) expires_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LifeWire {
    /// 0: no retention.
    #[prost(uint32, tag = "1")]
    mode: u32,
    #[prost(uint64, tag = "2")]
    until_s: u64,
    #[prost(bool, optional, tag = "3")]
    hold: Option<bool>,
    #[prost(uint64, optional, tag = "4")]
    ready_ms: Option<u64>,
    #[prost(uint64, tag = "5")]
    expires_ms: u64,
    #[prost(uint64, optional, tag = "6")]
    transition_s: Option<u64>,
}

impl Life {
    /// `None` where nothing happened.
    pub(super) fn to_wire(self) -> Option<LifeWire> {
        (self != Self::default()).then(|| LifeWire {
            mode: self.retention.map_or(0, |retention| retention.mode.to_wire()),
            until_s: self.retention.map_or(0, |retention| retention.until),
            hold: self.hold,
            ready_ms: self.restore.map(|restore| restore.ready_ms),
            expires_ms: self.restore.map_or(0, |restore| restore.expires_ms),
            transition_s: self.transition_s,
        })
    }

    pub(super) fn from_wire(wire: Option<LifeWire>) -> Result<Self, &'static str> {
        let Some(wire) = wire else {
            return Ok(Self::default());
        };
        let retention = match wire.mode {
            0 => None,
            mode => {
                let mode = RetentionMode::from_wire(mode)?;
                Some(ObjectRetention { mode, until: wire.until_s })
            }
        };
        let expires_ms = wire.expires_ms;
        Ok(Self {
            retention,
            hold: wire.hold,
            restore: wire.ready_ms.map(|ready_ms| Restore { ready_ms, expires_ms }),
            transition_s: wire.transition_s,
        })
    }
}

/// The format of records with something in them that an older program must not drop: it refuses them instead.
pub(super) const FORMAT_RETAINED: u8 = super::FORMAT_VERSIONS;

/// The format of a record, by what it holds.
pub(super) fn format_of(retained: bool) -> u8 {
    if retained { FORMAT_RETAINED } else { super::FORMAT }
}

impl Life {
    /// Whether losing it would lose protection.
    pub(super) fn is_retained(self) -> bool {
        self.retention.is_some() || self.hold.is_some()
    }
}
