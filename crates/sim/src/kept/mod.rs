//! Buckets with one client each that is compared with the specification after each operation: versions, retention, holds, policies,
//! restores, quotas.
//!
//! A bucket is what the specification makes of all that was acknowledged; once an outcome is unknown, that, or that with the
//! operation done, and nothing more is asked of it before a restart has shown which. So every check is a comparison. Races are
//! for histories, and what time does is for [`crate::expiring`].

mod choose;
mod facts;
mod send;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ossia_client::{Client, ClientError, Outcome};
use ossia_model::{Answer, Bucket, NULL, Operation, Reply, Setting, Store, Versioning};

use crate::owned::Tally;
use crate::random::Random;

pub(crate) use send::{create, list_versions, read};

/// After an answer of a server that is busy.
const PAUSE: Duration = Duration::from_millis(5);

/// What a bucket is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// It keeps versions, and keeps none, in turns.
    Versions,
    /// It keeps versions, and objects have retentions and holds.
    Retained,
    /// It keeps no versions, and has a policy now and then.
    Policy,
    /// It keeps no versions, and may have so many bytes only.
    Quota,
}

/// Each of them.
pub const FLAVOURS: [Flavour; 4] =
    [Flavour::Versions, Flavour::Retained, Flavour::Policy, Flavour::Quota];
/// What [`Flavour::Quota`] may have.
const QUOTA_BYTES: u64 = 48 << 10;

/// A client and its bucket.
#[derive(Debug)]
pub struct Keeper {
    bucket: String,
    flavour: Flavour,
    random: Random,
    made: bool,
    store: Store,
    /// What the bucket is if the operation whose outcome is unknown was done.
    perhaps: Option<(Operation, Store)>,
    ids: Ids,
    bodies: u64,
    tally: Arc<Tally>,
}

/// How the server calls the versions that the specification has named.
#[derive(Debug, Clone, Default)]
struct Ids(Vec<String>);

impl Ids {
    /// The specification's name; a version that was not seen before is the next that it names.
    fn name(&mut self, id: &str) -> String {
        if id == NULL {
            return NULL.to_owned();
        }
        let place = self.0.iter().position(|known| known == id);
        Store::name(place.unwrap_or_else(|| {
            self.0.push(id.to_owned());
            self.0.len() - 1
        }))
    }

    /// The server's id; for what names no version one that none has.
    fn id(&self, name: &str) -> String {
        let place = name.strip_prefix('v').and_then(|place| place.parse::<usize>().ok());
        match place.and_then(|place| self.0.get(place)) {
            Some(id) => id.clone(),
            None if name == NULL => NULL.to_owned(),
            None => "0".repeat(32),
        }
    }
}

/// The machine's clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Keeper {
    /// A client with a bucket of this flavour, which is not made yet.
    pub fn new(flavour: Flavour, random: Random, tally: Arc<Tally>) -> Keeper {
        Keeper {
            bucket: format!("kept-{}", format!("{flavour:?}").to_lowercase()),
            flavour,
            random,
            made: false,
            store: Store::new(Bucket::default()),
            perhaps: None,
            ids: Ids::default(),
            bodies: 0,
            tally,
        }
    }

    /// Works until `stop` is set, the server is gone, or an outcome is unknown.
    ///
    /// # Errors
    /// An answer that no correct server gives.
    pub async fn work(&mut self, client: &Client, stop: &AtomicBool) -> Result<(), String> {
        while self.made && self.perhaps.is_none() && !stop.load(Ordering::Relaxed) {
            let operation = self.choose();
            if let Err(error) = self.act(client, operation).await? {
                if error.status().is_none() {
                    return Ok(());
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Does one thing; the inner error is of one that was not done, or perhaps was.
    async fn act(
        &mut self,
        client: &Client,
        operation: Operation,
    ) -> Result<Result<(), ClientError>, String> {
        self.tally.operations.fetch_add(1, Ordering::Relaxed);
        let told = send::send(client, &self.bucket, &mut self.ids, &operation).await;
        let mut after = self.store.clone();
        after.bucket.now_ms = now_ms();
        let expected = after.apply(&operation);
        let wrong =
            |told: String| format!("{}: {operation:?}: {told}; expected {expected:?}", self.bucket);
        let error = match told {
            Ok(answer) if answer == expected => {
                let changes = match &answer {
                    Answer::One(reply) => !reply.changes_nothing(),
                    Answer::Copied { .. } | Answer::Done => true,
                    _ => false,
                };
                self.tally.acknowledged.fetch_add(u64::from(changes), Ordering::Relaxed);
                self.store = after;
                return Ok(Ok(()));
            }
            Ok(answer) => return Err(wrong(format!("{answer:?}"))),
            Err(error) => error,
        };
        self.tally.refuse(&error);
        let Some(status) = error.status() else {
            if error.outcome() == Outcome::Unknown && after != self.store {
                self.perhaps = Some((operation, after));
            }
            return Ok(Err(error));
        };
        match (status, &expected) {
            // Nothing was done, and nothing is told.
            (503 | 408 | 429, _) => return Ok(Err(error)),
            (500.., _) => {
                if after != self.store {
                    self.perhaps = Some((operation, after));
                }
                return Ok(Err(error));
            }
            (_, Answer::One(Reply::Refused(refusal))) => {
                let code = error.code().unwrap_or_default();
                if send::codes(refusal).contains(&code) {
                    return Ok(Ok(()));
                }
            }
            _ => {}
        }
        Err(wrong(error.to_string()))
    }

    /// Makes the bucket, or looks at all of it and compares; what is found is from now on what it is. Only for a server that was
    /// started since the last write.
    ///
    /// # Errors
    /// What is not as it must be.
    pub async fn verify(&mut self, client: &Client) -> Result<(), String> {
        if !self.made {
            send::create(client, &self.bucket).await.map_err(|error| error.to_string())?;
            let enabled = Setting::Versioning(Versioning::Enabled);
            let settings = match self.flavour {
                Flavour::Versions => vec![enabled],
                Flavour::Retained => vec![enabled, Setting::Retain(None)],
                Flavour::Policy => vec![],
                Flavour::Quota => vec![Setting::Quota(Some(QUOTA_BYTES))],
            };
            for setting in settings {
                let done = self.act(client, Operation::Set(setting)).await?;
                done.map_err(|error| error.to_string())?;
            }
            self.made = true;
        }
        let found = facts::of_server(client, &self.bucket, &self.store).await?;
        let now = now_ms();
        let mut candidates = vec![self.store.clone()];
        candidates.extend(self.perhaps.iter().map(|(_, after)| after.clone()));
        let mut told = String::new();
        for mut candidate in candidates {
            candidate.bucket.now_ms = now;
            let mut ids = self.ids.clone();
            let seen = facts::named(&found, &mut ids);
            let expected = facts::of_model(&candidate);
            if seen == expected {
                (self.store, self.ids, self.perhaps) = (candidate, ids, None);
                return Ok(());
            }
            told.push_str(&facts::difference(&seen, &expected));
        }
        let doubt = self.perhaps.as_ref().map(|(operation, _)| operation);
        Err(format!("{}: LOST OR WRONG, after perhaps {doubt:?}:{told}", self.bucket))
    }
}
