//! Master keys in use: which ones anything was ever sealed under, and the work that seals data keys anew after a rotation.
//!
//! The worker looks at the key file now and then. When another key is current, or there was more than one at the start, it walks the
//! data keys of every bucket and seals those anew that are under another master key, a batch a transaction that insists on the very
//! records that it has seen. It keeps no place: what has been done is not there any more, so it may stop or run twice at any
//! point (I10). A walk that finds none ends it, and tells that the older keys open no object any more.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ossia_keys::{KeyId, Reloaded};
use ossia_store::{Item, Partition, Scan, Store, Writes, successor};
use tokio::time::Instant;

use crate::{
    Failure,
    background::Background,
    core::{Core, run_plain},
    keys::{self, ContentId, SYSTEM},
    records::{KeyRecord, MasterKeysNoted, Stored},
    sealing::{list, rewrapped},
};

/// How often the key file is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// The pause after a walk that could not be finished, or that has found something to do.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_FAILED: Duration = Duration::from_secs(30);
/// How long after a rotation something may still be written that was sealed before it.
const SETTLE: Duration = Duration::from_secs(15);
/// Data keys sealed anew in one transaction.
const BATCH: usize = if cfg!(test) { 3 } else { 64 };
/// Buckets looked up at once.
const PAGE: usize = if cfg!(test) { 2 } else { 64 };

/// What has become of data keys after a rotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyFigures {
    /// Data keys that were sealed anew since the start of the process.
    pub rewrapped: u64,
    /// Data keys that the last walk found under a master key that is not there.
    pub unopened: u64,
    /// Walks that found every data key under the current master key, since the start of the process.
    pub finished: u64,
}

/// The figures, shared.
#[derive(Debug, Default)]
pub(crate) struct Told {
    rewrapped: AtomicU64,
    unopened: AtomicU64,
    finished: AtomicU64,
}

impl Told {
    pub(crate) fn figures(&self) -> KeyFigures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        KeyFigures {
            rewrapped: of(&self.rewrapped),
            unopened: of(&self.unopened),
            finished: of(&self.finished),
        }
    }
}

/// The master keys that something in a store may be sealed under, to be asked before a key file is made.
///
/// # Errors
/// [`Failure`] when the store cannot be read.
pub async fn keys_in_use(store: &Arc<dyn Store>) -> Result<Vec<KeyId>, Failure> {
    let record = store.get(SYSTEM, keys::master_keys()).await?;
    Ok(MasterKeysNoted::decode_option(record.as_ref())?.unwrap_or_default().ids)
}

/// Starts the worker.
pub(crate) fn start(core: Arc<Core>) -> Background {
    let on = core.keys.current().is_some();
    Background::start(on.then(|| run(core)))
}

async fn run(core: Arc<Core>) {
    // A walk that begins no sooner, and finds nothing, is the last.
    let mut settled = (core.keys.ids().len() > 1).then(Instant::now);
    loop {
        let pause = match settled {
            None => LOOK,
            Some(at) => {
                let last = Instant::now() >= at;
                match core.walk_keys().await {
                    Ok(walked) if walked.found > 0 => PAUSE,
                    Ok(walked) if last => {
                        core.tell_finished(walked);
                        settled = None;
                        LOOK
                    }
                    Ok(_) => LOOK,
                    Err(failure) => {
                        tracing::debug!(%failure, "sealing data keys anew put off");
                        PAUSE_FAILED
                    }
                }
            }
        };
        tokio::time::sleep(pause).await;
        if core.reload_keys().await {
            settled = Some(Instant::now() + SETTLE);
        }
    }
}

/// What a walk over all data keys has come to.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Keys that were not under the current master key, and are now.
    pub(crate) found: u64,
    /// Master keys that are not there, and the number of keys under them.
    missing: BTreeSet<KeyId>,
    unopened: u64,
}

impl Core {
    /// Notes the current master key, durably, before anything is sealed under it.
    pub(crate) async fn note_master_key(&self) -> Result<(), Failure> {
        let Some(id) = self.keys.current() else { return Ok(()) };
        run_plain(&*self.store, SYSTEM, vec![keys::master_keys()], move |view| {
            let record = view.get(&keys::master_keys())?;
            let mut noted = MasterKeysNoted::decode_option(record.as_ref())?.unwrap_or_default();
            let mut writes = Writes::none();
            if !noted.ids.contains(&id) {
                noted.ids.push(id);
                writes.put(keys::master_keys(), noted.encode());
            }
            Ok((writes, ()))
        })
        .await
    }

    /// Looks at the key file. Whether another key is current.
    async fn reload_keys(&self) -> bool {
        let before = self.keys.current();
        let keys = Arc::clone(&self.keys);
        let told = tokio::task::spawn_blocking(move || keys.reload()).await;
        match told {
            Err(_) => return false,
            Ok(Ok(Reloaded::Lacking { id })) if self.keys.current() != before => tracing::error!(
                key = %id,
                "the master key file has lost a key: this server goes on with it, and the next start will not have it"
            ),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                // It is needed at the next start only.
                static TOLD: AtomicU64 = AtomicU64::new(0);
                if TOLD.fetch_add(1, Ordering::Relaxed).is_multiple_of(720) {
                    tracing::error!(%error, "the master key file cannot be read any more; this server goes on with its keys");
                }
                return false;
            }
        }
        if self.keys.current() == before {
            return false;
        }
        if let Err(failure) = self.note_master_key().await {
            tracing::warn!(%failure, "the new master key could not be noted");
        }
        tracing::info!(key = %list(&self.keys.current().into_iter().collect::<Vec<_>>()), "another master key is current");
        true
    }

    /// One walk over all data keys.
    pub(crate) async fn walk_keys(&self) -> Result<Walked, Failure> {
        let mut walked = Walked::default();
        let prefix = keys::tagged(keys::CATALOGUE, &[]);
        let mut next = Some(prefix.clone());
        while let Some(start) = next {
            let (page, resume) = self.catalogue_page(start, &prefix, PAGE).await?;
            for (_, catalogue) in page {
                for partition in keys::partitions(catalogue.id, catalogue.partitions) {
                    self.rewrap_partition(partition, &mut walked).await?;
                }
            }
            next = resume;
        }
        self.rewraps.unopened.store(walked.unopened, Ordering::Relaxed);
        Ok(walked)
    }

    fn tell_finished(&self, walked: Walked) {
        let Walked { missing, unopened, .. } = walked;
        self.rewraps.finished.fetch_add(1, Ordering::Relaxed);
        let current = self.keys.current();
        let others: Vec<KeyId> =
            self.keys.ids().into_iter().filter(|id| Some(*id) != current).collect();
        if !others.is_empty() {
            let keys = list(&others);
            tracing::info!(%keys, "no object is under these master keys any more");
        }
        if !missing.is_empty() {
            let keys = list(&missing.into_iter().collect::<Vec<_>>());
            tracing::warn!(%keys, unopened, "objects are under master keys that are not there");
        }
    }

    async fn rewrap_partition(
        &self,
        partition: Partition,
        walked: &mut Walked,
    ) -> Result<(), Failure> {
        let mut next = Some(keys::tagged(keys::DATA_KEY, &[]));
        while let Some(start) = next {
            let end = successor(&[keys::DATA_KEY]);
            let scan = Scan { start, end, limit: BATCH, fold: None };
            let page = self.store.scan(partition, scan).await?;
            let mut batch: Vec<(Bytes, Bytes, Bytes)> = Vec::new();
            for item in page.items {
                let Item::Record(key, record) = item else { continue };
                // What is damaged is told by who reads it.
                let Some((id, seen)) =
                    keys::data_key_id(&key).zip(KeyRecord::decode(&record.value).ok())
                else {
                    continue;
                };
                match self.renewed(partition, id, &seen) {
                    Ok(None) => {}
                    Ok(Some(new)) => batch.push((key, record.value, new.encode())),
                    Err(Failure::NoMasterKey(_)) => {
                        walked.unopened += 1;
                        walked.missing.extend(seen.master());
                    }
                    Err(Failure::Damaged(what)) => {
                        tracing::warn!(%what, "a data key cannot be opened")
                    }
                    Err(other) => return Err(other),
                }
            }
            if !batch.is_empty() {
                walked.found += batch.len() as u64;
                self.put_renewed(partition, batch).await?;
            }
            next = page.resume;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn renewed(
        &self,
        partition: Partition,
        id: ContentId,
        seen: &KeyRecord,
    ) -> Result<Option<KeyRecord>, Failure> {
        rewrapped(&self.keys, partition, id, seen)
    }

    /// One transaction. Those that are no longer what was seen are left alone.
    pub(crate) async fn put_renewed(
        &self,
        partition: Partition,
        batch: Vec<(Bytes, Bytes, Bytes)>,
    ) -> Result<(), Failure> {
        let hints = batch.iter().map(|(key, _, _)| key.clone()).collect();
        let count = batch.len() as u64;
        run_plain(&*self.store, partition, hints, move |view| {
            let mut writes = Writes::none();
            for (key, seen, new) in &batch {
                if view.get(key)?.is_some_and(|record| record.value == *seen) {
                    writes.put(key.clone(), new.clone());
                }
            }
            Ok((writes, ()))
        })
        .await?;
        self.rewraps.rewrapped.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}
