//! Deleting a bucket; the story is told one level up.

use std::{sync::Arc, time::Duration};

use ossia_store::{Partition, Scan, Writes, successor};
use tokio::time::Instant;

use crate::{
    DeleteBucketError, Failure,
    core::{Core, run_plain},
    keys::{self, SYSTEM},
    records::{BucketRecord, BucketState, Catalogue, Stored},
    words::BucketName,
};

/// How often deleting starts over when others keep changing the same name.
const DELETE_TRIES: usize = 64;
const DELETE_PAUSE: Duration = Duration::from_millis(5);

/// How far one attempt came.
enum Attempt {
    Gone,
    NotEmpty,
    /// Another attempt has taken over, or the bucket had to be reopened first.
    Again,
}

impl Core {
    /// In a task of its own: a caller that goes away must not leave a bucket half closed.
    pub(crate) async fn delete_bucket(
        self: &Arc<Self>,
        name: &BucketName,
    ) -> Result<(), DeleteBucketError> {
        let (core, name) = (Arc::clone(self), name.clone());
        let patience = core.settings.closing_wait / 4;
        let work = tokio::spawn(async move { core.drive_delete(&name, patience).await });
        match work.await {
            Ok(result) => result,
            Err(error) => Err(Failure::Unknown(error.to_string()).into()),
        }
    }

    /// Brings a deletion to its end, wherever an earlier attempt stopped. One that is under way gets some time first, lest two
    /// take over from each other for ever.
    async fn drive_delete(
        &self,
        name: &BucketName,
        patience: Duration,
    ) -> Result<(), DeleteBucketError> {
        let mut under_way: Option<(u64, Instant)> = None;
        let deadline = Instant::now() + patience * 16;
        let mut tries = 0;
        while tries < DELETE_TRIES {
            let Some(found) = self.catalogue(name).await? else {
                return Err(DeleteBucketError::NoSuchBucket);
            };
            if found.state == BucketState::Closing {
                let seen = under_way.filter(|(epoch, _)| *epoch == found.epoch);
                let (_, since) = seen.unwrap_or_else(|| (found.epoch, Instant::now()));
                under_way = Some((found.epoch, since));
                if since.elapsed() < patience && Instant::now() < deadline {
                    tokio::time::sleep(DELETE_PAUSE).await;
                    continue;
                }
            }
            tries += 1;
            let attempt = match found.state {
                BucketState::Creating => return Err(DeleteBucketError::NoSuchBucket),
                BucketState::Reopening => {
                    self.reopen(name, &found).await?;
                    Attempt::Again
                }
                BucketState::Open | BucketState::Closing => {
                    self.attempt_delete(name, found).await?
                }
            };
            match attempt {
                Attempt::Gone => {
                    self.reaper.wake_dropped();
                    return Ok(());
                }
                Attempt::NotEmpty => return Err(DeleteBucketError::NotEmpty),
                Attempt::Again => {}
            }
        }
        Err(Failure::Busy.into())
    }

    /// Ends what earlier runs left unfinished: deletions are decided, buckets that were never opened are removed, retention is
    /// brought to every partition.
    pub(crate) async fn resume_bucket(
        &self,
        name: &BucketName,
        found: &Catalogue,
    ) -> Result<(), Failure> {
        if found.state != BucketState::Creating {
            self.spread_versioning(name, found).await?;
        }
        match found.state {
            BucketState::Open => self.settle_retention(found).await,
            BucketState::Creating => {
                if self.replace_catalogue(name, found, None).await? {
                    self.clear_copies(found).await?;
                }
                Ok(())
            }
            BucketState::Closing | BucketState::Reopening => {
                match self.drive_delete(name, Duration::ZERO).await {
                    Err(DeleteBucketError::Store(failure)) => Err(failure),
                    Ok(()) | Err(DeleteBucketError::NoSuchBucket | DeleteBucketError::NotEmpty) => {
                        Ok(())
                    }
                }
            }
        }
    }

    async fn attempt_delete(
        &self,
        name: &BucketName,
        found: Catalogue,
    ) -> Result<Attempt, Failure> {
        // What is plainly not empty is not closed at all.
        let place = keys::partitions(found.id, found.partitions);
        if found.state == BucketState::Open && !self.is_empty(place).await? {
            return Ok(Attempt::NotEmpty);
        }
        let mut closing = found.clone();
        closing.state = BucketState::Closing;
        closing.epoch = closing.epoch.saturating_add(1);
        closing.since_ms = self.now_ms();
        if !self.replace_catalogue(name, &found, Some(closing.clone())).await? {
            return Ok(Attempt::Again);
        }
        for partition in keys::partitions(closing.id, closing.partitions) {
            self.close_copy(partition, closing.epoch).await?;
        }
        // From here on nothing enters under this epoch, so what is seen now is what decides.
        if self.is_empty(keys::partitions(closing.id, closing.partitions)).await? {
            let gone = self.replace_catalogue(name, &closing, None).await?;
            return Ok(if gone { Attempt::Gone } else { Attempt::Again });
        }
        let mut reopening = closing.clone();
        reopening.state = BucketState::Reopening;
        reopening.since_ms = self.now_ms();
        if !self.replace_catalogue(name, &closing, Some(reopening.clone())).await? {
            return Ok(Attempt::Again);
        }
        self.reopen(name, &reopening).await?;
        Ok(Attempt::NotEmpty)
    }

    /// Opens the copies that the decided attempt has closed, then the bucket.
    async fn reopen(&self, name: &BucketName, reopening: &Catalogue) -> Result<(), Failure> {
        for partition in keys::partitions(reopening.id, reopening.partitions) {
            self.open_copy(partition, reopening.epoch).await?;
        }
        let mut open = reopening.clone();
        open.state = BucketState::Open;
        open.since_ms = self.now_ms();
        // False when another one has done it.
        self.replace_catalogue(name, reopening, Some(open)).await?;
        Ok(())
    }

    async fn close_copy(&self, partition: Partition, epoch: u64) -> Result<(), Failure> {
        self.change_copy(partition, move |copy| {
            (copy.epoch < epoch).then_some(BucketRecord {
                state: BucketState::Closing,
                epoch,
                ..copy.clone()
            })
        })
        .await
    }

    async fn open_copy(&self, partition: Partition, epoch: u64) -> Result<(), Failure> {
        self.change_copy(partition, move |copy| {
            (copy.epoch == epoch && copy.state == BucketState::Closing).then_some(BucketRecord {
                state: BucketState::Open,
                epoch,
                ..copy.clone()
            })
        })
        .await
    }

    /// Changes a partition's copy, if there is one: none means that the bucket has gone meanwhile.
    pub(crate) async fn change_copy(
        &self,
        partition: Partition,
        change: impl Fn(&BucketRecord) -> Option<BucketRecord> + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        run_plain(&*self.store, partition, vec![keys::bucket()], move |view| {
            let copy = BucketRecord::decode_option(view.get(&keys::bucket())?.as_ref())?;
            let mut writes = Writes::none();
            if let Some(new) = copy.as_ref().and_then(&change) {
                writes.put(keys::bucket(), new.encode());
            }
            Ok((writes, ()))
        })
        .await
    }

    async fn is_empty(&self, partitions: impl Iterator<Item = Partition>) -> Result<bool, Failure> {
        for partition in partitions {
            for tag in keys::HOLDING {
                if self.has_any(partition, tag).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether a partition has any key of a kind.
    pub(crate) async fn has_any(&self, partition: Partition, tag: u8) -> Result<bool, Failure> {
        let end = successor(&[tag]);
        let mut next = Some(keys::tagged(tag, &[]));
        while let Some(start) = next {
            let scan = Scan { start, end: end.clone(), limit: 1, fold: None };
            let page = self.store.scan(partition, scan).await?;
            if !page.items.is_empty() {
                return Ok(true);
            }
            next = page.resume;
        }
        Ok(false)
    }

    /// Forgets a bucket that is gone once the reaper has cleared its partitions.
    pub(crate) async fn forget_dropped(&self, id: u64, partitions: u16) -> Result<(), Failure> {
        for partition in keys::partitions(id, partitions) {
            self.clear_copy(partition).await?;
        }
        let key = keys::dropped(id);
        run_plain(&*self.store, SYSTEM, vec![key.clone()], move |view| {
            let mut writes = Writes::none();
            if view.get(&key)?.is_some() {
                writes.delete(key.clone());
            }
            Ok((writes, ()))
        })
        .await
    }
}
