//! Delete: lets go of heads, one by one or many in one transaction.

use std::collections::BTreeMap;

use ossia_store::{
    Partition, View, Writes,
    mutants::{self, Mutant},
};

use crate::{
    BucketError, DeleteError, DeleteOutput,
    core::{Core, Gate, Place},
    keys,
    version::{let_go, read_head},
    words::{BucketName, ObjectKey},
};

/// Keys in one transaction. Each is read, removed and leaves a tombstone, so this stays below the 1,024 keys and the MiB of the
/// contract whatever their length.
const KEYS_PER_TRANSACTION: usize = 256;

impl Core {
    pub(crate) async fn delete(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<DeleteOutput, DeleteError> {
        let place = self.place::<DeleteError>(bucket).await?;
        let deleted = self.delete_in(&place, place.partition(key), vec![key.clone()]).await?;
        Ok(deleted.into_iter().next().unwrap_or_default())
    }

    pub(crate) async fn delete_many(
        &self,
        bucket: &BucketName,
        keys: Vec<ObjectKey>,
    ) -> Result<Vec<Result<DeleteOutput, DeleteError>>, BucketError> {
        let place = self.place::<BucketError>(bucket).await?;
        let mut groups: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            groups.entry(place.partition(key)).or_default().push(at);
        }
        let mut answers = vec![Ok(DeleteOutput::default()); keys.len()];
        for (partition, group) in groups {
            for part in group.chunks(KEYS_PER_TRANSACTION) {
                let named = part.iter().map(|&at| keys[at].clone()).collect();
                let told = self.delete_in(&place, partition, named).await;
                for (i, &at) in part.iter().enumerate() {
                    answers[at] = match &told {
                        Ok(deleted) => Ok(deleted.get(i).cloned().unwrap_or_default()),
                        Err(error) => Err(error.clone()),
                    };
                }
            }
        }
        Ok(answers)
    }

    async fn delete_in(
        &self,
        place: &Place,
        partition: Partition,
        named: Vec<ObjectKey>,
    ) -> Result<Vec<DeleteOutput>, DeleteError> {
        let hints: Vec<_> = named.iter().map(keys::head).collect();
        let head_keys = hints.clone();
        let now_ms = self.now_ms();
        if mutants::on(Mutant::DeleteInTwoSteps) {
            let head_keys = hints.clone();
            let first = move |view: &dyn View| {
                let mut writes = Writes::none();
                for key in &head_keys {
                    if let Some(head) = read_head(view, key)? {
                        let_go(&mut writes, &head, now_ms);
                    }
                }
                Ok((writes, ()))
            };
            let gate = Gate::OpenOrClosing;
            self.change::<_, DeleteError, _>(place, partition, hints.clone(), gate, first).await?;
            self.reaper.wake(partition);
        }
        let body = move |view: &dyn View| {
            let mut writes = Writes::none();
            let mut deleted = Vec::with_capacity(head_keys.len());
            let mut any_let_go = false;
            for key in &head_keys {
                let head = read_head(view, key)?;
                deleted.push(DeleteOutput { existed: head.is_some(), ..DeleteOutput::default() });
                if let Some(head) = head {
                    writes.delete(key.clone());
                    if !mutants::on(Mutant::DeleteInTwoSteps) {
                        any_let_go |= let_go(&mut writes, &head, now_ms);
                    }
                }
            }
            Ok((writes, (deleted, any_let_go)))
        };
        let (deleted, any_let_go) = self
            .change::<_, DeleteError, _>(place, partition, hints, Gate::OpenOrClosing, body)
            .await?;
        if any_let_go {
            self.reaper.wake(partition);
        }
        Ok(deleted)
    }
}
