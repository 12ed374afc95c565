//! The simplest load: objects with one writer each, of which it is known at any time what they may be.
//!
//! An object is what was acknowledged, or, once an outcome is unknown, that with the operation done; nobody writes to such an object
//! before a restart has shown which it is. So every check is a comparison of bytes. Races between clients are for histories.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ossia_client::{
    AppendObjectRequest, Client, ClientError, CopyObjectRequest, GetObjectRequest,
    ListObjectsRequest, Outcome, PutObjectRequest,
};

use crate::random::Random;

/// The bucket of these objects.
pub const BUCKET: &str = "owned";
/// An object that is longer is deleted rather than appended to.
const LONG_BYTES: usize = 4 << 20;
/// Objects of one client.
const OBJECTS: usize = 6;

/// What an object is: its bytes, or that it is not there.
type Now = Option<Vec<u8>>;

#[derive(Debug)]
struct Object {
    key: String,
    appendable: bool,
    acknowledged: Now,
    /// What it is if the operation whose outcome is unknown was done.
    perhaps: Option<Now>,
}

/// What was done, over all clients.
#[derive(Debug, Default)]
pub struct Tally {
    /// Operations sent.
    pub operations: AtomicU64,
    /// Those that were acknowledged and change something.
    pub acknowledged: AtomicU64,
    /// Answers that refused, by status and code.
    pub refused: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    /// How often this was refused.
    pub fn refused(&self, what: &str) -> u64 {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(what).copied().unwrap_or_default()
    }

    /// Counts a refusal.
    pub(crate) fn refuse(&self, error: &ClientError) {
        let what = match error.service() {
            Some(service) => format!("{} {}", service.status, service.code),
            None => "no answer".to_owned(),
        };
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }
}

/// How a client goes on after a refusal that is none of its own making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It ends at the first one that says nothing of a request: the power is gone.
    UntilGone,
    /// It goes on with its other objects.
    GoOn,
}

/// A client and its objects.
#[derive(Debug)]
pub struct Owner {
    name: usize,
    random: Random,
    objects: Vec<Object>,
    next: u64,
    tally: Arc<Tally>,
}

fn size(random: &mut Random) -> usize {
    let limit = match random.below(100) {
        0..55 => 300,
        55..88 => 8 << 10,
        88..97 => 96 << 10,
        _ => 768 << 10,
    };
    1 + random.below(limit) as usize
}

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// What an owner does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Appends to an object, or makes it so.
    Append,
    /// Puts one.
    Put,
    /// Copies one to another.
    Copy,
    /// Deletes one.
    Delete,
    /// Reads one and compares.
    Read,
}

impl Deed {
    fn choose(random: &mut Random) -> Deed {
        match random.below(100) {
            0..60 => Deed::Append,
            60..75 => Deed::Put,
            75..80 => Deed::Copy,
            80..90 => Deed::Delete,
            _ => Deed::Read,
        }
    }
}

impl Owner {
    /// A client that calls its objects by this number.
    pub fn new(name: usize, random: Random, tally: Arc<Tally>) -> Owner {
        Owner { name, random, objects: Vec::new(), next: 0, tally }
    }

    /// Works until `stop` is set, or the server is gone.
    ///
    /// # Errors
    /// What was read and cannot be.
    pub async fn work(
        &mut self,
        client: &Client,
        patience: Patience,
        stop: &std::sync::atomic::AtomicBool,
    ) -> Result<(), String> {
        while !stop.load(Ordering::Relaxed) {
            let deed = Deed::choose(&mut self.random);
            if let Err(error) = self.act(client, deed).await? {
                let gone =
                    matches!(error, ClientError::Transport { .. } | ClientError::Timeout { .. });
                if gone && patience == Patience::UntilGone {
                    return Ok(());
                }
                if error.status().is_some_and(|status| status >= 500) {
                    // Not at once again: a server that is busy says so.
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
        }
        Ok(())
    }

    /// Does one thing to an object of its choice; the inner error is the server's.
    ///
    /// # Errors
    /// What was read and cannot be.
    pub async fn act(
        &mut self,
        client: &Client,
        deed: Deed,
    ) -> Result<Result<(), ClientError>, String> {
        let (at, deed) = self.target(deed);
        self.tally.operations.fetch_add(1, Ordering::Relaxed);
        let count = size(&mut self.random);
        let data = bytes(&mut self.random, count);
        let source = self.source(at);
        let Some(object) = self.objects.get_mut(at) else { return Ok(Ok(())) };
        let key = object.key.clone();
        let (result, after) = match deed {
            Deed::Read => {
                return match read(client, &key).await {
                    Ok(found) => {
                        object.check(&found)?;
                        Ok(Ok(()))
                    }
                    Err(error) => {
                        self.tally.refuse(&error);
                        Ok(Err(error))
                    }
                };
            }
            Deed::Append => {
                let before = object.acknowledged.clone().unwrap_or_default();
                let append = AppendObjectRequest::new(BUCKET, key.as_str(), data.clone())
                    .position(before.len() as u64);
                let after = [before, data].concat();
                (client.append_object(append).await.map(drop), Some(after))
            }
            Deed::Put => {
                let put = PutObjectRequest::new(BUCKET, key.as_str(), data.clone());
                (client.put_object(put).await.map(drop), Some(data))
            }
            Deed::Copy => {
                let Some((source, bytes)) = source else { return Ok(Ok(())) };
                let copy = CopyObjectRequest {
                    source_bucket: BUCKET.to_owned(),
                    source_key: source,
                    bucket: BUCKET.to_owned(),
                    key,
                    ..CopyObjectRequest::default()
                };
                (client.copy_object(copy).await.map(drop), Some(bytes))
            }
            Deed::Delete => (client.delete_object(BUCKET, &key).await.map(drop), None),
        };
        Ok(self.settle(at, result, after))
    }

    fn settle(
        &mut self,
        at: usize,
        result: Result<(), ClientError>,
        after: Now,
    ) -> Result<(), ClientError> {
        let Some(object) = self.objects.get_mut(at) else { return result };
        match &result {
            Ok(()) => {
                object.acknowledged = after;
                self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.tally.refuse(error);
                if error.outcome() == Outcome::Unknown {
                    object.perhaps = Some(after);
                }
            }
        }
        result
    }

    /// An object that this can be done to, which may be a new one.
    fn target(&mut self, deed: Deed) -> (usize, Deed) {
        let appendable = deed == Deed::Append;
        let fits = |object: &Object| match deed {
            Deed::Read => true,
            Deed::Delete => object.perhaps.is_none(),
            _ => object.perhaps.is_none() && object.appendable == appendable,
        };
        let fitting: Vec<usize> =
            (0..self.objects.len()).filter(|at| self.objects.get(*at).is_some_and(fits)).collect();
        let make = fitting.is_empty()
            || !matches!(deed, Deed::Read | Deed::Delete)
                && fitting.len() < OBJECTS
                && self.random.percent(20);
        if make {
            let key = format!("{}/{}-{}", self.name, if appendable { "a" } else { "p" }, self.next);
            self.next += 1;
            let appendable = appendable || matches!(deed, Deed::Read | Deed::Delete);
            self.objects.push(Object { key, appendable, acknowledged: None, perhaps: None });
            return (self.objects.len() - 1, deed);
        }
        let at = fitting[self.random.below(fitting.len() as u64) as usize];
        let long = self.objects[at].acknowledged.as_ref().is_some_and(|b| b.len() > LONG_BYTES);
        (at, if appendable && long { Deed::Delete } else { deed })
    }

    /// Another object to copy: one that was put, for those that were appended to are not copied.
    fn source(&mut self, to: usize) -> Option<(String, Vec<u8>)> {
        let fits = |object: &&Object| !object.appendable && object.perhaps.is_none();
        let others = self.objects.iter().enumerate().filter(|(at, _)| *at != to);
        let fitting: Vec<&Object> = others.map(|(_, object)| object).filter(fits).collect();
        let pick = self.random.below(fitting.len() as u64) as usize;
        let object = fitting.get(pick)?;
        Some((object.key.clone(), object.acknowledged.clone()?))
    }

    /// Reads everything and compares; what is found is from now on what it is. Only for a server that was started since the last
    /// write: before, an operation without an answer may still be on its way.
    ///
    /// # Errors
    /// What is not as it must be.
    pub async fn verify(&mut self, client: &Client) -> Result<(), String> {
        for object in &mut self.objects {
            let found = read(client, &object.key)
                .await
                .map_err(|error| format!("{} cannot be read: {error}", object.key))?;
            object.check(&found)?;
            object.acknowledged = found;
            object.perhaps = None;
        }
        // What was deleted is checked once and then forgotten; its name is not used again.
        self.objects.retain(|object| object.acknowledged.is_some());
        Ok(())
    }

    /// The keys of its objects, and their lengths.
    fn expected(&self) -> impl Iterator<Item = (String, u64)> {
        self.objects.iter().filter_map(|object| {
            Some((object.key.clone(), object.acknowledged.as_ref()?.len() as u64))
        })
    }

    /// Gives up every object: for a new store.
    pub fn forget(&mut self) {
        self.objects.clear();
    }
}

impl Object {
    fn check(&self, found: &Now) -> Result<(), String> {
        let possible = [Some(&self.acknowledged), self.perhaps.as_ref()];
        if possible.into_iter().flatten().any(|now| now == found) {
            return Ok(());
        }
        let length = |now: &Now| now.as_ref().map_or(-1, |bytes| bytes.len() as i64);
        let differs = match (&self.acknowledged, found) {
            (Some(old), Some(new)) => old.iter().zip(new).position(|(a, b)| a != b),
            _ => None,
        };
        Err(format!(
            "{}: LOST OR WRONG: found {} bytes, acknowledged {}, perhaps {:?}, first difference {differs:?}",
            self.key,
            length(found),
            length(&self.acknowledged),
            self.perhaps.as_ref().map(length),
        ))
    }
}

/// Reads an object whole; the client compares its CRC-64 with its bytes. `None` if it does not exist.
async fn read(client: &Client, key: &str) -> Result<Now, ClientError> {
    let answer = match client.get_object(GetObjectRequest::new(BUCKET, key)).await {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(answer.body.collect(1 << 30).await?.into()))
}

/// Verifies all owners and the listing.
///
/// # Errors
/// What is not as it must be.
pub async fn verify_all(owners: &mut [Owner], client: &Client) -> Result<(), String> {
    for owner in &mut *owners {
        owner.verify(client).await?;
    }
    let expected: BTreeMap<String, u64> = owners.iter().flat_map(Owner::expected).collect();
    let mut listed = BTreeMap::new();
    let mut pages = client.list_objects_pages(ListObjectsRequest::new(BUCKET));
    loop {
        match pages.next_page().await {
            Ok(Some(page)) => {
                listed.extend(page.objects.into_iter().map(|object| (object.key, object.size)));
            }
            Ok(None) => break,
            Err(error) => return Err(format!("the listing: {error}")),
        }
    }
    if listed == expected {
        return Ok(());
    }
    let odd = |a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>| {
        a.iter()
            .find(|(key, size)| b.get(*key) != Some(size))
            .map(|(key, size)| (key.clone(), *size))
    };
    Err(format!(
        "the listing: not expected {:?}, missing {:?}",
        odd(&listed, &expected),
        odd(&expected, &listed)
    ))
}
