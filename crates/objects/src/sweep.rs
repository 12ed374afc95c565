//! What a start finds left over by the run before: staged blobs, and buckets half made or half deleted.

use crate::{Failure, core::Core, intake, keys, records::BucketState};

/// Buckets looked at at once.
const PAGE: usize = 256;

impl Core {
    /// To be run before anything is served, while nobody else stages anything.
    pub(crate) async fn sweep(&self) -> Result<(), Failure> {
        self.sweep_staged().await?;
        self.sweep_buckets().await
    }

    /// A staged blob that a record names was only not moved on; any other was never acknowledged.
    async fn sweep_staged(&self) -> Result<(), Failure> {
        for staged in self.store.staged().await? {
            let Some(partition) = intake::owner_partition(&staged.owner) else {
                // Not ours to judge.
                tracing::warn!(blob = %staged.id, "staged blob of an unknown owner left alone");
                continue;
            };
            match self.store.get(partition, keys::reference(staged.id)).await? {
                Some(_) => self.adopt(staged.id).await,
                None => self.discard(staged.id).await,
            }
        }
        Ok(())
    }

    async fn sweep_buckets(&self) -> Result<(), Failure> {
        let prefix = keys::tagged(keys::CATALOGUE, &[]);
        let mut next = Some(prefix.clone());
        while let Some(start) = next {
            let (page, resume) = self.catalogue_page(start, &prefix, PAGE).await?;
            for (name, catalogue) in page {
                let settled = !catalogue.spreading && catalogue.retention.seq == 0;
                if catalogue.state == BucketState::Open && settled {
                    continue;
                }
                if let Err(failure) = self.resume_bucket(&name, &catalogue).await {
                    // Reads must be served from a store that takes no writes; the reaper tries again.
                    tracing::warn!(bucket = %name, %failure, "bucket left as it was found");
                }
            }
            next = resume;
        }
        Ok(())
    }
}
