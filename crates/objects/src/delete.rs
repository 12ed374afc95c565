//! Delete: lets go of heads or covers them with markers, one by one or many in one transaction; and removes versions, one by one.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use ossia_store::{
    Partition, Payload, View, Writes,
    mutants::{self, Mutant},
};
use tokio::task::JoinSet;

use crate::{
    BucketError, DeleteError, DeleteIf, DeleteInput, DeleteOutput, Failure, VersionId,
    core::{Core, Denied, Gate, Place, Stop, Verdict},
    records::{BucketRecord, BucketState, Head},
    retention,
    version::{let_go, read_head},
    versioning::{self, How, Names, Removal, Stamp, new_marker, read_current},
    words::ObjectKey,
};

/// Keys in one transaction. Each is read, removed and leaves a tombstone, so this stays below the 1,024 keys and the MiB of the
/// contract whatever their length.
const KEYS_PER_TRANSACTION: usize = 256;
/// The same where versions are kept: each record is written again under a longer key.
const VERSIONED_PER_TRANSACTION: usize = 32;
/// Keys whose versions are removed at once.
const REMOVERS: usize = 16;
/// How often removing a version starts over because others do the same.
const REMOVE_TRIES: usize = 64;

/// What one transaction on many keys came to.
enum Told {
    /// The answers, and whether anything was let go.
    Done(Vec<Result<DeleteOutput, DeleteError>>, bool),
    /// Versions are kept here, and these keys are too many for that.
    TooMany,
}

/// Keys that are deleted together, none twice, and where each stands in the request, by partition.
type Wave<'a> = (HashSet<&'a ObjectKey>, BTreeMap<Partition, Vec<usize>>);

impl Core {
    pub(crate) async fn delete(&self, input: DeleteInput) -> Result<DeleteOutput, DeleteError> {
        self.delete_governed(input, false).await
    }

    pub(crate) async fn delete_governed(
        &self,
        input: DeleteInput,
        bypass: bool,
    ) -> Result<DeleteOutput, DeleteError> {
        let DeleteInput { bucket, key, version, only } = input;
        let place = self.place::<DeleteError>(&bucket).await?;
        match version {
            Some(version) => {
                let how = How { only, bypass };
                self.remove_version(&place, &key, version, how).await
            }
            None => self.delete_one(&place, &key, only).await,
        }
    }

    async fn delete_one(
        &self,
        place: &Place,
        key: &ObjectKey,
        only: DeleteIf,
    ) -> Result<DeleteOutput, DeleteError> {
        let deleted = self.delete_in(place, place.partition(key), vec![key.clone()], only).await?;
        deleted.into_iter().next().unwrap_or_else(|| Ok(DeleteOutput::default()))
    }

    pub(crate) async fn delete_many(
        self: &Arc<Self>,
        bucket: &crate::words::BucketName,
        named: Vec<(ObjectKey, Option<VersionId>)>,
        bypass: bool,
    ) -> Result<Vec<Result<DeleteOutput, DeleteError>>, BucketError> {
        let place = self.place::<BucketError>(bucket).await?;
        let mut answers = vec![Ok(DeleteOutput::default()); named.len()];
        // In one transaction each key only once: a second marker would have to see the first.
        let mut waves: Vec<Wave<'_>> = Vec::new();
        let mut versions: BTreeMap<&ObjectKey, Vec<usize>> = BTreeMap::new();
        for (at, (key, version)) in named.iter().enumerate() {
            if version.is_some() {
                versions.entry(key).or_default().push(at);
                continue;
            }
            let free = waves.iter().position(|(keys, _)| !keys.contains(key));
            let free = free.unwrap_or_else(|| {
                waves.push(Default::default());
                waves.len() - 1
            });
            if let Some((keys, groups)) = waves.get_mut(free) {
                keys.insert(key);
                groups.entry(place.partition(key)).or_default().push(at);
            }
        }
        let most = match place.catalogue.versioning {
            None => KEYS_PER_TRANSACTION,
            Some(_) => VERSIONED_PER_TRANSACTION,
        };
        for (partition, group) in waves.iter().flat_map(|(_, groups)| groups) {
            for part in group.chunks(most) {
                let keys = part.iter().map(|&at| named[at].0.clone()).collect();
                let told = self.delete_in(&place, *partition, keys, DeleteIf::Any).await;
                for (i, &at) in part.iter().enumerate() {
                    answers[at] = match &told {
                        Ok(deleted) => {
                            deleted.get(i).cloned().unwrap_or_else(|| Ok(DeleteOutput::default()))
                        }
                        Err(error) => Err(error.clone()),
                    };
                }
            }
        }
        let mut running = JoinSet::new();
        let mut left = versions.into_iter();
        loop {
            while running.len() < REMOVERS
                && let Some((key, at)) = left.next()
            {
                let all = at.iter().filter_map(|&at| Some((at, named[at].1?))).collect();
                running.spawn(Arc::clone(self).remove_all(place.clone(), key.clone(), all, bypass));
            }
            let Some(told) = running.join_next().await else { break };
            let told = told.map_err(|error| Failure::Unknown(error.to_string()))?;
            for (at, answer) in told {
                answers[at] = answer;
            }
        }
        Ok(answers)
    }

    /// Removes these versions of a key, in order; each answer with the number that came with the id.
    async fn remove_all(
        self: Arc<Self>,
        place: Place,
        key: ObjectKey,
        all: Vec<(usize, VersionId)>,
        bypass: bool,
    ) -> Vec<(usize, Result<DeleteOutput, DeleteError>)> {
        let mut answers = Vec::with_capacity(all.len());
        for (at, version) in all {
            let how = How { only: DeleteIf::Any, bypass };
            let told = self.remove_version(&place, &key, version, how).await;
            answers.push((at, told));
        }
        answers
    }

    /// Removes one version for ever.
    async fn remove_version(
        &self,
        place: &Place,
        key: &ObjectKey,
        id: VersionId,
        how: How,
    ) -> Result<DeleteOutput, DeleteError> {
        let (partition, names) = (place.partition(key), Names::of(key));
        let now_ms = self.now_ms();
        let mut found = None;
        for _ in 0..REMOVE_TRIES {
            let mut hints = names.hints(place.catalogue.versioning);
            hints.extend(id.order().map(|order| names.older(order)));
            let mine = names.clone();
            let body = move |view: &dyn View, bucket: &BucketRecord| {
                let mut writes = Writes::none();
                let at = (view, &mut writes);
                let removal = versioning::remove(at, &mine, bucket, id, how, found, now_ms)?;
                Ok((writes, removal))
            };
            let gate = Gate::OpenOrClosing;
            let removal =
                self.change_in::<_, DeleteError, _>(place, partition, hints, gate, body).await?;
            let output = DeleteOutput { version_id: Some(id), ..DeleteOutput::default() };
            match removal {
                Removal::None => return Ok(output),
                Removal::Protected => return Err(DeleteError::Immutable),
                Removal::Look(under) => {
                    found = Some(self.look_below(partition, &names, under).await?);
                }
                Removal::Removed { marker, let_go } => {
                    if let_go {
                        self.reaper.wake(partition);
                    }
                    return Ok(DeleteOutput { existed: true, delete_marker: marker, ..output });
                }
            }
        }
        Err(Failure::Busy.into())
    }

    /// Deletes what is current under keys of one partition, none of them named twice.
    async fn delete_in(
        &self,
        place: &Place,
        partition: Partition,
        named: Vec<ObjectKey>,
        only: DeleteIf,
    ) -> Result<Vec<Result<DeleteOutput, DeleteError>>, DeleteError> {
        if let Some(deleted) = self.delete_at_once(place, partition, &named, only).await? {
            return Ok(deleted);
        }
        let mut deleted = Vec::with_capacity(named.len());
        for part in named.chunks(VERSIONED_PER_TRANSACTION) {
            let part = self.delete_at_once(place, partition, part, only).await?;
            deleted.extend(part.unwrap_or_default());
        }
        Ok(deleted)
    }

    /// The same in one transaction; `None` when it would take more of them.
    async fn delete_at_once(
        &self,
        place: &Place,
        partition: Partition,
        named: &[ObjectKey],
        only: DeleteIf,
    ) -> Result<Option<Vec<Result<DeleteOutput, DeleteError>>>, DeleteError> {
        let names: Vec<Names> = named.iter().map(Names::of).collect();
        let versioning = place.catalogue.versioning;
        let hints: Vec<_> = names.iter().flat_map(|names| names.hints(versioning)).collect();
        let stamp = self.stamp();
        if mutants::on(Mutant::DeleteInTwoSteps) {
            let names = names.clone();
            let first = move |view: &dyn View| {
                let mut writes = Writes::none();
                for names in &names {
                    if let Some(head) = read_head(view, &names.head)? {
                        let_go(&mut writes, &head, stamp.now_ms);
                    }
                }
                Ok((writes, ()))
            };
            let gate = Gate::OpenOrClosing;
            self.change::<_, DeleteError, _>(place, partition, hints.clone(), gate, first).await?;
            self.reaper.wake(partition);
        }
        let body = move |view: &dyn View, bucket: &BucketRecord| {
            if bucket.versioning.is_some() {
                cover(view, bucket, &names, only, stamp)
            } else {
                take_away(view, bucket, &names, only, stamp)
            }
        };
        let gate = Gate::OpenOrClosing;
        match self.change_in::<_, DeleteError, _>(place, partition, hints, gate, body).await? {
            Told::TooMany => Ok(None),
            Told::Done(deleted, any_let_go) => {
                if any_let_go {
                    self.reaper.wake(partition);
                }
                Ok(Some(deleted))
            }
        }
    }
}

/// Whether the current version is what it must be.
fn fits(current: Option<&Head>, only: DeleteIf) -> bool {
    match only {
        DeleteIf::Any => true,
        DeleteIf::Noncurrent | DeleteIf::LoneMarker => false,
        DeleteIf::CurrentIs { version, last_modified } => versioning::object(current)
            .is_some_and(|head| (head.version_id, head.modified_s) == (version, last_modified)),
    }
}

/// In a bucket that never had versions.
fn take_away(
    view: &dyn View,
    bucket: &BucketRecord,
    names: &[Names],
    only: DeleteIf,
    stamp: Stamp,
) -> Verdict<Told, DeleteError> {
    let mut writes = Writes::none();
    let mut deleted = Vec::with_capacity(names.len());
    let mut any_let_go = false;
    for names in names {
        let head = read_current(view, names, bucket)?.filter(|head| fits(Some(head), only));
        if head.as_ref().is_some_and(|head| bucket.retention.protects(head, stamp.now_ms)) {
            deleted.push(Err(DeleteError::Immutable));
            continue;
        }
        deleted.push(Ok(DeleteOutput { existed: head.is_some(), ..DeleteOutput::default() }));
        if let Some(head) = head {
            writes.delete(names.head.clone());
            if !mutants::on(Mutant::DeleteInTwoSteps) {
                any_let_go |= let_go(&mut writes, &head, stamp.now_ms);
            }
        }
    }
    Ok((writes, Told::Done(deleted, any_let_go)))
}

/// In one that keeps versions: a marker over each, also where nothing is.
fn cover(
    view: &dyn View,
    bucket: &BucketRecord,
    names: &[Names],
    only: DeleteIf,
    stamp: Stamp,
) -> Verdict<Told, DeleteError> {
    let mut writes = Writes::none();
    if names.len() > VERSIONED_PER_TRANSACTION {
        return Ok((writes, Told::TooMany));
    }
    // A marker fills a bucket as an object does.
    if bucket.state != BucketState::Open {
        return Err(Stop::Denied(Denied::Closing));
    }
    let mut deleted = Vec::with_capacity(names.len());
    let mut any_let_go = false;
    for (at, names) in names.iter().enumerate() {
        let current = read_current(view, names, bucket)?;
        if retention::forbids_over(bucket, current.as_ref(), stamp.now_ms) {
            deleted.push(Err(DeleteError::Immutable));
            continue;
        }
        if !fits(current.as_ref(), only) {
            deleted.push(Ok(DeleteOutput::default()));
            continue;
        }
        let mut marker = new_marker(current.as_ref(), stamp.now_ms);
        // Each id has a seed of its own.
        let stamp = Stamp { seed: stamp.seed.wrapping_add(at as u64), ..stamp };
        let both = (view, &mut writes);
        let payload = Payload::None;
        any_let_go |=
            versioning::add(both, names, bucket, current.as_ref(), &mut marker, payload, stamp)?;
        deleted.push(Ok(DeleteOutput {
            existed: versioning::object(current.as_ref()).is_some(),
            delete_marker: true,
            version_id: Some(marker.version_id),
        }));
    }
    Ok((writes, Told::Done(deleted, any_let_go)))
}
