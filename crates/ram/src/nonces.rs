//! Nonces of what changes something or hands out credentials: kept until their requests would be refused by their time, so that none
//! of these counts twice, whether or not the server was started anew in between, and through whichever gateway.
//!
//! The key begins with the time until which it is kept, so that what is over is found without looking at the rest. A replayed request
//! has the time of the first one, for that is signed.

use bytes::{BufMut, Bytes, BytesMut};
use ossia_store::{Decision, Item, Rejection, Scan, Store, StoreError, Writes, transact};
use sha2::{Digest as _, Sha256};

use crate::records::{NONCE, PARTITION, spent};

/// How many that are over go at once.
const FORGOTTEN_MAX: usize = 512;

/// A nonce that a verified request brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce {
    key: Bytes,
}

impl Nonce {
    /// That of a key id, until when, in Unix seconds, a request with it would be taken.
    pub fn new(key_id: &str, nonce: &str, until_s: i64) -> Nonce {
        let hash = Sha256::new()
            .chain_update((key_id.len() as u64).to_be_bytes())
            .chain_update(key_id)
            .chain_update(nonce)
            .finalize();
        let mut key = BytesMut::with_capacity(25);
        key.put_u8(NONCE);
        key.put_u64(u64::try_from(until_s).unwrap_or(0));
        // Half of it is enough: nobody gains by two nonces of one's own that are taken for one.
        key.put_slice(&hash[..16]);
        Nonce { key: key.freeze() }
    }

    /// Where it is noted.
    pub(crate) fn key(&self) -> Bytes {
        self.key.clone()
    }
}

/// Notes that it is spent; false if it was already.
pub(crate) async fn spend(store: &dyn Store, nonce: &Nonce) -> Result<bool, StoreError> {
    let key = nonce.key();
    let told = transact(store, PARTITION, vec![key.clone()], move |view| {
        if view.get(&key)?.is_some() {
            return Ok(Decision::Refuse(()));
        }
        let mut writes = Writes::none();
        writes.put(key.clone(), spent());
        Ok(Decision::Commit(writes, ()))
    });
    Ok(told.await?.is_ok())
}

/// Forgets those that were kept until before `now_s`; says how many.
pub(crate) async fn forget(store: &dyn Store, now_s: u64) -> Result<usize, StoreError> {
    let mut count = 0;
    let mut end = BytesMut::with_capacity(9);
    end.put_u8(NONCE);
    end.put_u64(now_s);
    let end = end.freeze();
    let mut next = Some(Bytes::from_static(&[NONCE]));
    while let Some(start) = next {
        let scan = Scan { start, end: Some(end.clone()), limit: FORGOTTEN_MAX, fold: None };
        let page = store.scan(PARTITION, scan).await.map_err(Rejection::from)?;
        next = page.resume;
        let keys: Vec<Bytes> = page
            .items
            .into_iter()
            .filter_map(|item| match item {
                Item::Record(key, _) => Some(key),
                Item::Prefix(_) => None,
            })
            .collect();
        if keys.is_empty() {
            continue;
        }
        count += keys.len();
        let told =
            transact::<(), std::convert::Infallible, _>(store, PARTITION, Vec::new(), move |_| {
                let mut writes = Writes::none();
                keys.iter().for_each(|key| writes.delete(key.clone()));
                Ok(Decision::Commit(writes, ()))
            });
        let Ok(()) = told.await?;
    }
    Ok(count)
}
