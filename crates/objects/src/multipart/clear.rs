//! Clears what is left of uploads that are over, in small steps that may stop or run twice at any point (I10).

use bytes::Bytes;
use ossia_store::{
    Item, Partition, Scan, View, Writes,
    mutants::{self, Mutant},
    successor,
};

use super::{UploadId, extent_of, names, parts::let_go};
use crate::{
    Failure,
    core::{Core, Verdict, run_plain},
    keys,
    records::{Damage, Leftover, Part, Stored},
};

/// Uploads looked at at once.
const PAGE: usize = 64;

impl Core {
    /// Clears every upload of a partition that is over. What was held by parts that became nothing has a tombstone afterwards.
    pub(crate) async fn clear_uploads(&self, partition: Partition) -> Result<(), Failure> {
        let mut next = Some(keys::tagged(keys::LEFTOVER, &[]));
        while let Some(start) = next {
            let end = successor(&[keys::LEFTOVER]);
            let page = self.store.scan(partition, Scan { start, end, limit: PAGE, fold: None });
            let page = page.await?;
            for item in page.items {
                let Item::Record(key, _) = item else { continue };
                let id = names::leftover_id(&key);
                let id = id.ok_or_else(|| Damage::new("finished upload", "its key is no id"))?;
                while !self.clear_step(partition, id).await? {
                    tokio::task::yield_now().await;
                }
            }
            next = page.resume;
        }
        Ok(())
    }

    /// One step on one upload. `true` when nothing is left of it.
    async fn clear_step(&self, partition: Partition, id: UploadId) -> Result<bool, Failure> {
        let found = self.parts_of(partition, id, 0, self.settings.reap_batch).await?;
        let last = found.is_empty();
        let step = Clear { id, numbers: found.iter().map(|(number, _)| *number).collect() };
        let part_keys = step.numbers.iter().map(|number| names::part(id, *number));
        // Extents that a store has at hand tell it how much room their payloads give back.
        let extents = found.iter().map(|(_, part)| extent_of(part));
        let hints: Vec<Bytes> = part_keys.chain(extents).chain([names::leftover(id)]).collect();
        run_plain(&*self.store, partition, hints, move |view| step.run(view)).await?;
        Ok(last)
    }
}

/// One transaction: the end of these parts, or of the record when there are none.
struct Clear {
    id: UploadId,
    numbers: Vec<u16>,
}

impl Clear {
    fn run(&self, view: &dyn View) -> Verdict<(), std::convert::Infallible> {
        let mut writes = Writes::none();
        let key = names::leftover(self.id);
        let Some(left) = Leftover::decode_option(view.get(&key)?.as_ref())? else {
            return Ok((writes, ()));
        };
        for number in &self.numbers {
            let part_key = names::part(self.id, *number);
            let Some(part) = Part::decode_option(view.get(&part_key)?.as_ref())? else {
                continue;
            };
            writes.delete(part_key);
            match (left.content, part.staged_end) {
                // The object has the bytes, under a name of its own.
                (Some(_), Some(_)) if left.kept && !mutants::on(Mutant::CompletedCleared) => {
                    view.get(&extent_of(&part))?;
                    writes.delete(extent_of(&part));
                }
                (content, end) => {
                    if let (Some(content), Some(end)) = (content, end) {
                        writes.delete(keys::extent(content, end));
                    }
                    let_go(&mut writes, &part, left.when_ms);
                }
            }
        }
        if self.numbers.is_empty() {
            writes.delete(key);
            if let Some(content) = left.content {
                writes.delete(keys::making(content));
            }
            if let Some(key) = left.key {
                writes.delete(keys::data_key(key));
            }
        }
        Ok((writes, ()))
    }
}
