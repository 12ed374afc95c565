//! Versions of an object: how one comes on top of another, and how one goes.
//!
//! ```text
//! h key   the current version, an object        n key   the current version, a delete marker
//! v key'  those before it, the newest first     at most one of h and n stands, and one does while any v does
//! ```
//!
//! - A transaction reads named keys only, so the current version says what a change must know of the others ([`Below`]): whether
//!   there may be any, where the one that is `null` lies, and which orders have been given.
//! - Adding moves the current record under `v`, its payload with it; no byte is copied. Where the bucket makes `null` versions, the
//!   one that was `null` is let go instead.
//! - Removing the current one brings the newest of the others back up. Which one that is a scan finds before the transaction; while
//!   the current version stands none can come between it and what the scan saw, so the transaction only looks whether both are
//!   still there.
//! - Bringing one back up fills `h` or `n` again, and so must not happen while a bucket is looked through for its deletion: what
//!   could move a record from where has not been looked yet to where has been waits.
//! - In a bucket that never had versions nothing but `h` is read and written.

use bytes::Bytes;
use ossia_store::{
    Partition, Payload, Scan, View, Writes,
    mutants::{self, Mutant},
    successor,
};

use crate::{
    Failure, VersionId,
    core::{Core, Denied, Stop},
    keys,
    records::{Below, BucketRecord, BucketState, Content, Damage, Head, Kind, Stored},
    version::{let_go, not_before, read_head},
    version_id,
    words::{ObjectAcl, ObjectKey, StorageClass, Versioning},
};

/// The keys of the records that may stand under an object's key.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) head: Bytes,
}

impl Names {
    pub(crate) fn of(key: &ObjectKey) -> Self {
        Self { head: keys::head(key) }
    }

    pub(crate) fn marker(&self) -> Bytes {
        keys::marker(&self.head)
    }

    pub(crate) fn older(&self, order: u64) -> Bytes {
        keys::older(&self.head, order)
    }

    /// Where a current version stands.
    pub(crate) fn current(&self, head: &Head) -> Bytes {
        if head.is_marker() { self.marker() } else { self.head.clone() }
    }

    /// What a change will read first.
    pub(crate) fn hints(&self, versioning: Option<Versioning>) -> Vec<Bytes> {
        let mut hints = vec![self.head.clone()];
        hints.extend(versioning.map(|_| self.marker()));
        hints
    }
}

/// What a body captures of the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) now_ms: u64,
    /// Makes an id of an order.
    pub(crate) seed: u64,
}

impl Core {
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { now_ms: self.now_ms(), seed: version_id::seed() }
    }
}

/// The current version, object or marker, as a body sees it.
pub(crate) fn read_current<E>(
    view: &dyn View,
    names: &Names,
    bucket: &BucketRecord,
) -> Result<Option<Head>, Stop<E>> {
    let head = read_head(view, &names.head)?;
    if head.is_some() || bucket.versioning.is_none() {
        return Ok(head);
    }
    read_head(view, &names.marker())
}

/// The current object; a marker is none.
pub(crate) fn object(current: Option<&Head>) -> Option<&Head> {
    current.filter(|head| !head.is_marker())
}

/// Makes `new` the current version in the place of what [`read_current`] found: gives it its order and its id, and moves what was
/// there, or lets go of it. Whether anything was let go.
pub(crate) fn add<E>(
    (view, writes): (&dyn View, &mut Writes),
    names: &Names,
    bucket: &BucketRecord,
    current: Option<&Head>,
    new: &mut Head,
    payload: Payload,
    stamp: Stamp,
) -> Result<bool, Stop<E>> {
    let mut gone = false;
    if let Some(old) = current {
        new.order = old.order.max(old.below.past).saturating_add(1);
    }
    new.version_id = match bucket.versioning {
        Some(Versioning::Enabled) => VersionId::made(new.order, stamp.seed),
        Some(Versioning::Suspended) | None => VersionId::Null,
    };
    if let Some(old) = current {
        let was = names.current(old);
        if new.version_id == VersionId::Null && old.version_id == VersionId::Null {
            gone |= let_go(writes, old, stamp.now_ms);
            new.below = Below { any: old.below.any, ..Below::default() };
        } else {
            let older =
                Head { below: Below::default(), noncurrent_s: Some(new.modified_s), ..old.clone() };
            if mutants::on(Mutant::OlderForgotten) {
                gone |= let_go(writes, old, stamp.now_ms);
            } else {
                writes.put_with(names.older(old.order), older.encode(), Payload::Of(was.clone()));
            }
            new.below = Below { any: true, ..Below::default() };
            if new.version_id != VersionId::Null {
                let is_null = old.version_id == VersionId::Null;
                new.below.null = if is_null { Some(old.order) } else { old.below.null };
            } else if let Some(order) = old.below.null {
                gone |= remove_older(view, writes, &names.older(order), stamp.now_ms)?;
            }
        }
        if was != names.current(new) {
            writes.delete(was);
        }
    }
    writes.put_with(names.current(new), new.encode(), payload);
    Ok(gone)
}

fn remove_older<E>(
    view: &dyn View,
    writes: &mut Writes,
    key: &Bytes,
    now_ms: u64,
) -> Result<bool, Stop<E>> {
    let Some(old) = read_head(view, key)? else {
        return Err(Damage::new("head", "a version that another names is missing").into());
    };
    writes.delete(key.clone());
    Ok(let_go(writes, &old, now_ms))
}

/// A delete marker over what is there.
pub(crate) fn new_marker(current: Option<&Head>, now_ms: u64) -> Head {
    Head {
        kind: Kind::DeleteMarker,
        length: 0,
        crc64: 0,
        content: Content::Inline,
        modified_s: not_before(current, now_ms),
        attributes: Default::default(),
        acl: ObjectAcl::Default,
        tags: Vec::new(),
        storage_class: StorageClass::default(),
        order: 1,
        version_id: VersionId::Null,
        below: Below::default(),
        noncurrent_s: None,
        life: Default::default(),
        sealing: None,
    }
}

/// What a version must be to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeleteIf {
    /// Whatever it is.
    #[default]
    Any,
    /// Named by its id, and another one is current: it must not be trimmed once it is what the key shows.
    Noncurrent,
    /// Named by its id, a delete marker, current, and the only version left.
    LoneMarker,
    /// Not named: the current version is still this one, and an object.
    CurrentIs {
        /// Its id; null in a bucket that never had versions.
        version: VersionId,
        /// Its Last-Modified: an append moves it.
        last_modified: u64,
    },
}

/// What a scan found below the version of order `under`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    under: u64,
    /// The newest one.
    newest: Option<(u64, VersionId)>,
}

/// Under which conditions a version is removed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) only: DeleteIf,
    /// Past retentions of the mode GOVERNANCE.
    pub(crate) bypass: bool,
}

/// What came of removing a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Nothing has that id, or it is not what it must be.
    None,
    Removed {
        marker: bool,
        let_go: bool,
    },
    /// It must stay.
    Protected,
    /// It is current: what is below this order must be known.
    Look(u64),
}

/// Removes the version of this id.
pub(crate) fn remove<E>(
    (view, writes): (&dyn View, &mut Writes),
    names: &Names,
    bucket: &BucketRecord,
    id: VersionId,
    How { only, bypass }: How,
    found: Option<Found>,
    now_ms: u64,
) -> Result<Removal, Stop<E>> {
    let Some(current) = read_current(view, names, bucket)? else {
        return Ok(Removal::None);
    };
    if current.version_id != id {
        let order = id.order().or(current.below.null);
        let Some(order) = order.filter(|_| only != DeleteIf::LoneMarker) else {
            return Ok(Removal::None);
        };
        let key = names.older(order);
        let Some(old) = read_head(view, &key)?.filter(|old| old.version_id == id) else {
            return Ok(Removal::None);
        };
        if keeps(bucket, &old, now_ms, bypass) {
            return Ok(Removal::Protected);
        }
        writes.delete(key);
        if id == VersionId::Null {
            let at = names.current(&current);
            let below = Below { null: None, ..current.below };
            writes.put_with(at.clone(), Head { below, ..current }.encode(), Payload::Of(at));
        }
        let let_go = let_go(writes, &old, now_ms);
        return Ok(Removal::Removed { marker: old.is_marker(), let_go });
    }
    if only == DeleteIf::Noncurrent {
        return Ok(Removal::None);
    }
    if keeps(bucket, &current, now_ms, bypass) {
        return Ok(Removal::Protected);
    }
    let newest = match found {
        _ if !current.below.any => None,
        Some(found) if found.under == current.order => found.newest,
        _ => return Ok(Removal::Look(current.order)),
    };
    if only == DeleteIf::LoneMarker && (newest.is_some() || !current.is_marker()) {
        return Ok(Removal::None);
    }
    let was = names.current(&current);
    if let Some((order, version)) = newest {
        let key = names.older(order);
        let Some(next) = read_head(view, &key)?.filter(|next| next.version_id == version) else {
            return Ok(Removal::Look(current.order));
        };
        if bucket.state != BucketState::Open {
            return Err(Stop::Denied(Denied::Closing));
        }
        let next = Head {
            below: Below {
                any: true,
                null: current.below.null.filter(|null| *null != order),
                past: current.order.max(current.below.past),
            },
            noncurrent_s: None,
            ..next
        };
        let at = names.current(&next);
        writes.put_with(at.clone(), next.encode(), Payload::Of(key.clone()));
        writes.delete(key);
        if at != was {
            writes.delete(was);
        }
    } else {
        writes.delete(was);
    }
    let let_go = let_go(writes, &current, now_ms);
    Ok(Removal::Removed { marker: current.is_marker(), let_go })
}

fn keeps(bucket: &BucketRecord, version: &Head, now_ms: u64, bypass: bool) -> bool {
    bucket.retention.keeps(version, now_ms, bypass) && !mutants::on(Mutant::HoldIgnored)
}

impl Core {
    /// The newest version below an order.
    pub(crate) async fn look_below(
        &self,
        partition: Partition,
        names: &Names,
        under: u64,
    ) -> Result<Found, Failure> {
        let mut next = (under > 0).then(|| names.older(under - 1));
        let end = successor(&keys::olders(&names.head));
        while let Some(start) = next {
            let scan = Scan { start, end: end.clone(), limit: 1, fold: None };
            let page = self.store.scan(partition, scan).await?;
            if let Some(ossia_store::Item::Record(key, record)) = page.items.first() {
                let order = keys::parse_older(key).map(|(_, order)| order);
                let order = order.ok_or_else(|| Damage::new("head", "its key is no version's"))?;
                let head = Head::decode(&record.value)?;
                return Ok(Found { under, newest: Some((order, head.version_id)) });
            }
            next = page.resume;
        }
        Ok(Found { under, newest: None })
    }
}
