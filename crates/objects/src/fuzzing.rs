//! What `fuzz/` needs to see of the decoders of records. Not an interface: it is there with the feature `fuzzing` alone.

use std::fmt::Debug;

use bytes::Bytes;

use crate::{
    keys,
    records::{
        BucketRecord, Catalogue, Counters, Dropped, Extent, Head, Reference, Stored, Tombstone,
    },
};

/// Records of every kind: what is taken for one comes back as itself when it is written and read again.
pub fn records(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    record::<Head>(&bytes);
    record::<Extent>(&bytes);
    record::<Reference>(&bytes);
    record::<Tombstone>(&bytes);
    record::<Catalogue>(&bytes);
    record::<BucketRecord>(&bytes);
    record::<Counters>(&bytes);
    record::<Dropped>(&bytes);
}

fn record<R: Stored + PartialEq + Debug>(bytes: &Bytes) {
    if let Ok(found) = R::decode(bytes) {
        let again = found.encode();
        assert_eq!(R::decode(&again).as_ref(), Ok(&found), "a {} record", R::NAME);
        assert_eq!(R::decode(&again).map(|again| again.encode()), Ok(again));
    }
}

/// Keys of the index.
pub fn keys(bytes: &[u8]) {
    if let (Some(content), Some(end)) = (keys::extent_content(bytes), keys::extent_end(bytes)) {
        for again in [keys::extent(content, end), keys::packed(content, end)] {
            assert_eq!(again[1..], bytes[1..]);
            assert_eq!(
                (keys::extent_content(&again), keys::extent_end(&again)),
                (Some(content), Some(end))
            );
        }
    }
    if let Some(content) = keys::tombstone_content(bytes) {
        assert_eq!(keys::tombstone(content)[1..], bytes[1..]);
    }
}
