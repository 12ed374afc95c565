//! Finding extents: the one that holds a position, and those behind it.
//!
//! A content's bytes lie under two tags: what appends and puts wrote under `c`, what was packed since under `p`. Each byte has
//! exactly one extent in either, and moves from `c` to `p` once. Packed ones stand apart because a log may have had a million small
//! extents in their place: an engine steps over what was deleted for as long as that is not compacted away, and a search among
//! them would cost what reading them did. A search under `p` meets few, and one under `c` is bounded by where the next of `p` begins.

use bytes::Bytes;
use ossia_store::{Item, Partition, Record, Scan, Store, successor};

use crate::{
    Failure,
    keys::{self, ContentId},
    records::{Damage, Extent, Stored},
};

/// How often a position is looked up again because it was packed between two looks.
const TRIES: usize = 16;

/// Extents in order, without gaps; the first holds `position`. None at the end of the content, and as many as `limit`.
pub(crate) async fn at(
    store: &dyn Store,
    partition: Partition,
    content: ContentId,
    position: u64,
    limit: usize,
) -> Result<Vec<(Bytes, Record)>, Failure> {
    let behind = position.saturating_add(1);
    let mut was_empty = false;
    for _ in 0..TRIES {
        let end = successor(&keys::packed_extents(content));
        let packed = some(store, partition, keys::packed(content, behind), end, limit).await?;
        let next = packed.first().map(start).transpose()?;
        if next.is_some_and(|next| next <= position) {
            return in_a_row(packed);
        }
        let end = match next {
            Some(next) => Some(keys::extent(content, next.saturating_add(1))),
            None => successor(&keys::extents(content)),
        };
        let plain = some(store, partition, keys::extent(content, behind), end, limit).await?;
        match plain.first().map(start).transpose()? {
            Some(first) if first <= position => return in_a_row(plain),
            // Nothing behind, unless it was packed between the looks; then it is there at the next.
            None if next.is_none() && was_empty => return Ok(Vec::new()),
            first => was_empty = first.is_none() && next.is_none(),
        }
    }
    Err(Damage::new("extent", "there is a gap before it").into())
}

/// Records of a range, at least one unless there is none.
async fn some(
    store: &dyn Store,
    partition: Partition,
    start: Bytes,
    end: Option<Bytes>,
    limit: usize,
) -> Result<Vec<(Bytes, Record)>, Failure> {
    let mut next = Some(start);
    while let Some(start) = next {
        if end.as_ref().is_some_and(|end| start >= *end) {
            break;
        }
        let scan = Scan { start, end: end.clone(), limit, fold: None };
        let page = store.scan(partition, scan).await?;
        let records: Vec<_> = page
            .items
            .into_iter()
            .filter_map(|item| match item {
                Item::Record(key, record) => Some((key, record)),
                Item::Prefix(_) => None,
            })
            .collect();
        if !records.is_empty() {
            return Ok(records);
        }
        next = page.resume;
    }
    Ok(Vec::new())
}

/// Those up to the first gap.
fn in_a_row(mut found: Vec<(Bytes, Record)>) -> Result<Vec<(Bytes, Record)>, Failure> {
    let mut expected = None;
    let mut count = 0;
    for item in &found {
        if expected.is_some_and(|expected| start(item).ok() != Some(expected)) {
            break;
        }
        expected = keys::extent_end(&item.0);
        count += 1;
    }
    found.truncate(count);
    Ok(found)
}

/// Where an extent begins.
fn start((key, record): &(Bytes, Record)) -> Result<u64, Damage> {
    let length = Extent::decode(&record.value)?.length;
    let end = keys::extent_end(key).filter(|&end| end >= length);
    end.map(|end| end - length)
        .ok_or_else(|| Damage::new("extent", "its key does not fit its length"))
}
