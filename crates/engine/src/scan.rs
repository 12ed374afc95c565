//! Reading a page of a range.

use bytes::Bytes;
use ossia_store::{Fold, Item, Page, ReadError, SCAN_LIMIT_MAX, Scan, successor};

use crate::tree::{Index, value};

/// A page ends early once its keys and records have this many bytes.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// One page of a partition as of `seq`. Blocks.
pub(crate) fn page(
    index: &Index,
    partition: u64,
    scan: &Scan,
    seq: u64,
) -> Result<Page, ReadError> {
    let end = match &scan.end {
        Some(end) => value::key(partition, end),
        None => value::behind(partition),
    };
    let limit = scan.limit.clamp(1, SCAN_LIMIT_MAX);
    let mut page = Page::default();
    let mut bytes = 0;
    let mut from = value::key(partition, &scan.start);
    'seek: loop {
        for item in index.range(&from, &end, seq) {
            let (key, value) = item?;
            let key = key.get(value::PREFIX_BYTES..).ok_or_else(|| bad(&key))?;
            let key = Bytes::copy_from_slice(key);
            if page.items.len() >= limit || bytes >= PAGE_BYTES_MAX {
                page.resume = Some(key);
                return Ok(page);
            }
            bytes += key.len();
            if let Some(prefix) = scan.fold.as_ref().and_then(|fold| common_prefix(&key, fold)) {
                let next = successor(&prefix);
                page.items.push(Item::Prefix(prefix));
                match next {
                    // What follows the group may be far away: a new seek costs less than the keys between.
                    Some(next) => from = value::key(partition, &next),
                    None => return Ok(page),
                }
                continue 'seek;
            }
            let record = value::decode(&value).ok_or_else(|| bad(&key))?;
            bytes += record.value.len();
            page.items.push(Item::Record(key, record));
        }
        return Ok(page);
    }
}

fn bad(key: &[u8]) -> ReadError {
    ReadError::Damaged(format!(
        "a record of the index is not of its form ({} bytes of key)",
        key.len()
    ))
}

/// Everything of the key up to the first delimiter at or after the fold's place.
fn common_prefix(key: &Bytes, fold: &Fold) -> Option<Bytes> {
    let delimiter = &fold.delimiter[..];
    if delimiter.is_empty() {
        return None;
    }
    let searched = key.get(fold.at..)?;
    let found = searched.windows(delimiter.len()).position(|window| window == delimiter)?;
    Some(key.slice(..fold.at + found + delimiter.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_with_the_first_delimiter_behind_its_place() {
        let key = Bytes::from_static(b"a/b//c");
        let told = |at, delimiter: &'static [u8]| {
            common_prefix(&key, &Fold { at, delimiter: Bytes::from_static(delimiter) })
        };
        assert_eq!(told(0, b"/").as_deref(), Some(&b"a/"[..]));
        assert_eq!(told(2, b"/").as_deref(), Some(&b"a/b/"[..]));
        assert_eq!(told(0, b"//").as_deref(), Some(&b"a/b//"[..]));
        assert_eq!(told(6, b"/"), None);
        assert_eq!(told(7, b"/"), None);
        assert_eq!(told(0, b"c").as_deref(), Some(&b"a/b//c"[..]));
    }
}
