//! Configurations of buckets: documents that are set, told and removed as a whole, and what requests are decided by.
//!
//! They stand once, in the system partition under the bucket's id, beside the catalogue: one transaction decides there whether the
//! bucket still is. No transaction on an object reads them. What they decide is decided when a request begins, as its permission
//! is; a change counts for requests that begin after it was answered. They go with the bucket, in the transaction that removes it
//! from the catalogue, and a later bucket of the same name has another id.
//!
//! What every request needs of them is remembered beside the catalogue, under the same rule (`known`).

use std::sync::Arc;

use bytes::Bytes;
use ossia_store::{Item, Scan, View, Writes};

use crate::{
    Failure,
    core::{Core, Denied, refuse, run},
    keys::{self, SYSTEM},
    known::Remembered,
    records::{BucketState, Catalogue, ConfigRecord, Damage, Stored},
    words::BucketName,
};

pub use rules::BucketRules;

mod rules;

/// Longest documents of one kind together, in bytes: below the mebibyte of a transaction (I7).
pub const CONFIGURATION_BYTES_MAX: usize = 768 << 10;

/// The kinds of configuration. The byte is part of the format; those up to `0x40` are read for every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConfigKind {
    /// Tags of the bucket.
    Tags = 0x01,
    /// Pages of which origins may use it.
    Cors = 0x02,
    /// Pages that may refer to it.
    Referer = 0x03,
    /// How it is shown as a site.
    Website = 0x04,
    /// Where its access logs go.
    Logging = 0x05,
    /// Who pays for requests.
    RequestPayment = 0x06,
    /// Whether public access is switched off. Also of the account.
    PublicAccessBlock = 0x07,
    /// What must not be overwritten.
    Overwrite = 0x08,
    /// How much it may hold.
    Quota = 0x09,
    /// Its policy.
    Policy = 0x0a,
    /// How objects are encrypted that do not say.
    Encryption = 0x0b,
    /// When objects expire.
    Lifecycle = 0x40,
    /// Lists of its objects, each with an id.
    Inventory = 0x41,
}

impl ConfigKind {
    /// Every kind.
    pub const ALL: [ConfigKind; 13] = [
        ConfigKind::Tags,
        ConfigKind::Cors,
        ConfigKind::Referer,
        ConfigKind::Website,
        ConfigKind::Logging,
        ConfigKind::RequestPayment,
        ConfigKind::PublicAccessBlock,
        ConfigKind::Overwrite,
        ConfigKind::Quota,
        ConfigKind::Policy,
        ConfigKind::Encryption,
        ConfigKind::Lifecycle,
        ConfigKind::Inventory,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The byte that kinds read for every request are below.
const FRONT_END: u8 = 0x41;
/// The id that the account's configurations stand under; no bucket has it.
const ACCOUNT: u64 = 0;

/// Documents by their ids, sorted; one with an empty id for kinds of which there is only one.
pub type ConfigEntries = Vec<(String, Bytes)>;

/// Why a configuration was not changed or told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// There is one of this id.
    #[error("it exists already")]
    Exists,
    /// There are as many as may be.
    #[error("there are too many")]
    TooMany,
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] Failure),
}

impl Core {
    /// The documents of a kind; of the account where no bucket is named.
    pub(crate) async fn configuration(
        &self,
        name: Option<&BucketName>,
        kind: ConfigKind,
    ) -> Result<ConfigEntries, ConfigError> {
        let id = match name {
            None => ACCOUNT,
            Some(name) => {
                let found = self.catalogue(name).await?;
                let found = found.filter(|found| found.state != BucketState::Creating);
                found.ok_or(ConfigError::NoSuchBucket)?.id
            }
        };
        let record = self.store.get(SYSTEM, keys::config(id, kind as u8)).await;
        let record = record.map_err(Failure::from)?;
        let record = ConfigRecord::decode_option(record.as_ref()).map_err(Failure::from)?;
        Ok(record.unwrap_or_default().entries)
    }

    /// Changes the documents of a kind by a pure function of what is there; without any left the record goes. In a task of its own:
    /// what is remembered must not be older than a change that its caller did not wait for.
    pub(crate) async fn configure(
        self: &Arc<Self>,
        name: Option<&BucketName>,
        kind: ConfigKind,
        edit: impl Fn(ConfigEntries) -> Result<ConfigEntries, ConfigError> + Send + Sync + 'static,
    ) -> Result<(), ConfigError> {
        let (core, name) = (Arc::clone(self), name.cloned());
        match tokio::spawn(async move { core.drive_configure(name, kind, edit).await }).await {
            Ok(result) => result,
            Err(error) => Err(Failure::Unknown(error.to_string()).into()),
        }
    }

    async fn drive_configure(
        &self,
        name: Option<BucketName>,
        kind: ConfigKind,
        edit: impl Fn(ConfigEntries) -> Result<ConfigEntries, ConfigError> + Send + Sync + 'static,
    ) -> Result<(), ConfigError> {
        let now_ms = self.now_ms();
        let catalogue_key = name.as_ref().map(keys::catalogue);
        let hints = catalogue_key.iter().cloned().collect();
        let changed = run(&*self.store, SYSTEM, hints, move |view| {
            let id = match &catalogue_key {
                None => ACCOUNT,
                Some(key) => {
                    let found = Catalogue::decode_option(view.get(key)?.as_ref())?;
                    match found.filter(|found| found.state != BucketState::Creating) {
                        Some(found) => found.id,
                        None => return refuse(ConfigError::NoSuchBucket),
                    }
                }
            };
            let key = keys::config(id, kind as u8);
            let old = ConfigRecord::decode_option(view.get(&key)?.as_ref())?;
            let there = old.is_some();
            let entries = match edit(old.unwrap_or_default().entries) {
                Ok(entries) => entries,
                Err(error) => return refuse(error),
            };
            let bytes: usize = entries.iter().map(|(id, text)| id.len() + text.len()).sum();
            if bytes > CONFIGURATION_BYTES_MAX {
                return refuse(ConfigError::TooMany);
            }
            let mut writes = Writes::none();
            if !entries.is_empty() {
                writes.put(key, ConfigRecord { entries, changed_ms: now_ms }.encode());
            } else if there {
                writes.delete(key);
            }
            Ok((writes, ()))
        });
        let changed = match &name {
            Some(name) => self.known.change(name, changed).await?,
            None => self.known.change_all(changed).await?,
        };
        changed.map_err(|denied| match denied {
            Denied::Refused(error) => error,
            Denied::Damaged(damage) => Failure::from(damage).into(),
            Denied::Closing | Denied::NoBucket => {
                Failure::Internal("a bucket's gate where there is none".into()).into()
            }
        })
    }

    /// What requests to a bucket are decided by. A bucket that is not there has only the account's.
    pub(crate) async fn rules(&self, name: &BucketName) -> Result<Arc<BucketRules>, Failure> {
        let begun = match self.known.rules(name) {
            Remembered::Rules(rules) => return Ok(rules),
            Remembered::AskStore(begun) => begun,
        };
        let catalogue = self.catalogue(name).await?;
        let mut rules = BucketRules::default();
        self.read_rules(ACCOUNT, &mut rules).await?;
        rules.bucket_blocked = false;
        let Some(catalogue) = catalogue else {
            return Ok(Arc::new(rules));
        };
        self.read_rules(catalogue.id, &mut rules).await?;
        let rules = Arc::new(rules);
        self.known.learn_rules(name, &catalogue, &rules, begun);
        Ok(rules)
    }

    pub(crate) fn rules_at_hand(&self, name: &BucketName) -> Option<Arc<BucketRules>> {
        match self.known.rules(name) {
            Remembered::Rules(rules) => Some(rules),
            Remembered::AskStore(_) => None,
        }
    }

    async fn read_rules(&self, id: u64, rules: &mut BucketRules) -> Result<(), Failure> {
        let end = Some(keys::config(id, FRONT_END));
        let mut next = Some(keys::config(id, 0));
        while let Some(start) = next {
            let scan = Scan { start, end: end.clone(), limit: ConfigKind::ALL.len(), fold: None };
            let page = self.store.scan(SYSTEM, scan).await?;
            for item in page.items {
                let Item::Record(key, record) = item else { continue };
                let kind = key.last().copied().and_then(ConfigKind::from_byte);
                let kind = kind.ok_or_else(|| Damage::new("bucket configuration", "its kind"))?;
                let record = ConfigRecord::decode(&record.value)?;
                for (_, document) in &record.entries {
                    rules.add(kind, document)?;
                }
            }
            next = page.resume;
        }
        Ok(())
    }
}

/// The keys of all configurations of a bucket.
pub(crate) fn keys_of(id: u64) -> impl Iterator<Item = Bytes> {
    ConfigKind::ALL.into_iter().map(move |kind| keys::config(id, kind as u8))
}

/// Lets go of all configurations of a bucket that goes, as a part of the transaction that removes it.
pub(crate) fn drop_all<E>(
    view: &dyn View,
    id: u64,
    writes: &mut Writes,
) -> Result<(), crate::core::Stop<E>> {
    for key in keys_of(id) {
        if view.get(&key)?.is_some() {
            writes.delete(key);
        }
    }
    Ok(())
}
