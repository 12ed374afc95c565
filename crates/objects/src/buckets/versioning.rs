//! Switching versions on and off.
//!
//! ```text
//! catalogue: the new state, under the next epoch, spreading -> copies: the state, where theirs is older -> catalogue: spread
//! ```
//!
//! The catalogue says it first: who reads by what the catalogue says then never misses what a partition already does. A change that
//! stopped half-way is finished by the next start, or by the next change.

use std::sync::Arc;

use ossia_store::Writes;

use super::told;
use crate::{
    BucketError, Failure,
    core::{Core, refuse, run, run_plain},
    keys::{self, SYSTEM},
    records::{BucketRecord, BucketState, Catalogue, Stored},
    words::{BucketName, Versioning},
};

impl Core {
    /// In a task of its own, as every change of what is remembered of a bucket.
    pub(crate) async fn set_bucket_versioning(
        self: &Arc<Self>,
        name: &BucketName,
        versioning: Versioning,
    ) -> Result<(), BucketError> {
        let (core, name) = (Arc::clone(self), name.clone());
        match tokio::spawn(async move { core.change_versioning(&name, versioning).await }).await {
            Ok(result) => result,
            Err(error) => Err(Failure::Unknown(error.to_string()).into()),
        }
    }

    async fn change_versioning(
        &self,
        name: &BucketName,
        versioning: Versioning,
    ) -> Result<(), BucketError> {
        let key = keys::catalogue(name);
        let now_ms = self.now_ms();
        let changed = run(&*self.store, SYSTEM, vec![key.clone()], move |view| {
            let old = Catalogue::decode_option(view.get(&key)?.as_ref())?;
            let Some(old) = old.filter(|old| old.state != BucketState::Creating) else {
                return refuse(BucketError::NoSuchBucket);
            };
            let retained =
                old.retention.objects.is_some() || old.retention.worm_at(now_ms).is_some();
            if versioning == Versioning::Suspended && retained {
                return refuse(BucketError::Retained);
            }
            let mut writes = Writes::none();
            if old.versioning == Some(versioning) && !old.spreading {
                return Ok((writes, old));
            }
            let new = Catalogue {
                versioning: Some(versioning),
                versioning_epoch: old.versioning_epoch.saturating_add(1),
                spreading: true,
                ..old
            };
            writes.put(key.clone(), new.encode());
            Ok((writes, new))
        });
        let now: Catalogue = told(self.known.change(name, changed).await?)?;
        Ok(self.spread_versioning(name, &now).await?)
    }

    /// Tells every partition what the catalogue says, if that is still to be done.
    pub(super) async fn spread_versioning(
        &self,
        name: &BucketName,
        said: &Catalogue,
    ) -> Result<(), Failure> {
        if !said.spreading {
            return Ok(());
        }
        let (versioning, epoch) = (said.versioning, said.versioning_epoch);
        for partition in keys::partitions(said.id, said.partitions) {
            let change = move |copy: &BucketRecord| {
                (copy.versioning_epoch < epoch).then(|| BucketRecord {
                    versioning,
                    versioning_epoch: epoch,
                    ..copy.clone()
                })
            };
            self.change_copy(partition, change).await?;
        }
        let (key, id) = (keys::catalogue(name), said.id);
        let spread = run_plain(&*self.store, SYSTEM, vec![key.clone()], move |view| {
            let old = Catalogue::decode_option(view.get(&key)?.as_ref())?;
            let mut writes = Writes::none();
            // A later change has its own to tell.
            if let Some(old) = old.filter(|old| old.id == id && old.versioning_epoch == epoch) {
                writes.put(key.clone(), Catalogue { spreading: false, ..old }.encode());
            }
            Ok((writes, ()))
        });
        self.known.change(name, spread).await
    }
}
