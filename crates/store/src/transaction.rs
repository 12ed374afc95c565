//! Transactions: a pure function from what it reads to what it writes.
//!
//! A function instead of locks or guards, because an engine may run it where the order is made: the local engine runs it on its
//! commit thread over the writes in flight, so that a contended append never retries; a distributed engine runs it in the
//! gateway, turns the keys that it read into compares of one atomic write, and runs it again when another gateway won.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use crate::{Index, KEY_BYTES_MAX, Partition, Record, Rejection, Settled, StoreError};

/// The most keys that a transaction may read and write, together.
pub const KEYS_MAX: usize = 1_024;
/// The most bytes of keys and record values that a transaction may write. Payloads are counted apart.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// The most payload bytes that a transaction may write. Larger bodies belong into blobs.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// How often, and how long apart, [`transact`] asks for an unknown outcome before it gives up.
const SETTLE_TRIES: u32 = 8;
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// Names one attempt of one transaction; settles an unknown outcome. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub [u8; 16]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:032x})", u128::from_be_bytes(self.0))
    }
}

impl Token {
    /// A token that no other process and no other call has: 8 random bytes of this process and a counter.
    pub fn unique() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let process = *PROCESS.get_or_init(|| {
            getrandom::u64().expect(
                "the operating system has a random source, without which no key can be made either",
            )
        });
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        Self((u128::from(process) << 64 | u128::from(count)).to_be_bytes())
    }
}

/// A key that the body read but that was not at hand: the engine fetches it and runs the body again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotBrought(pub Bytes);

/// What a body sees: the state that it will be serialised after.
pub trait View {
    /// The record under `key`, or `None` when it is absent.
    ///
    /// # Errors
    /// [`NotBrought`]: hand it on with `?`.
    fn get(&self, key: &Bytes) -> Result<Option<Record>, NotBrought>;
}

/// The payload that a put leaves beside the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// No payload.
    None,
    /// These bytes, in order; empty pieces are allowed, an empty whole means no payload.
    New(Vec<Bytes>),
    /// The payload that this key has before the transaction: keeps one under a changed record, or moves or shares one, without
    /// touching its bytes. The body must have read that key; no payload there means none here.
    Of(Bytes),
}

impl Payload {
    /// The number of new bytes.
    pub fn new_bytes(&self) -> usize {
        match self {
            Self::New(pieces) => pieces.iter().map(Bytes::len).sum(),
            Self::None | Self::Of(_) => 0,
        }
    }
}

/// One key's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a record.
    Put {
        /// Never empty.
        value: Bytes,
        /// What stands beside it.
        payload: Payload,
    },
    /// Removes the key; nothing happens when it is absent.
    Delete,
}

/// What a body wants to be written; at most one change a key, the last one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes(Vec<(Bytes, Change)>);

impl Writes {
    /// Writes nothing: the body has only read, or refuses.
    pub fn none() -> Self {
        Self::default()
    }

    /// Puts a record without a payload.
    pub fn put(&mut self, key: Bytes, value: impl Into<Bytes>) {
        self.put_with(key, value, Payload::None);
    }

    /// Puts a record and says what its payload is.
    pub fn put_with(&mut self, key: Bytes, value: impl Into<Bytes>, payload: Payload) {
        self.set(key, Change::Put { value: value.into(), payload });
    }

    /// Removes many keys. Of those that ascend none is searched for among the others, which for hundreds would take long.
    ///
    /// ```
    /// use ossia_store::{Change, Writes};
    /// let writes = Writes::deleting(["a", "c", "b", "c"].map(bytes::Bytes::from));
    /// let keys: Vec<_> = writes.changes().iter().map(|(key, _)| &key[..]).collect();
    /// assert_eq!(keys, [b"a", b"c", b"b"]);
    /// ```
    pub fn deleting(keys: impl IntoIterator<Item = Bytes>) -> Self {
        let mut writes = Self::none();
        let mut greatest = Bytes::new();
        for key in keys {
            if key > greatest {
                greatest = key.clone();
                writes.0.push((key, Change::Delete));
            } else {
                writes.delete(key);
            }
        }
        writes
    }

    /// Removes a key.
    pub fn delete(&mut self, key: Bytes) {
        self.set(key, Change::Delete);
    }

    fn set(&mut self, key: Bytes, change: Change) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some(slot) => slot.1 = change,
            None => self.0.push((key, change)),
        }
    }

    /// The changes, in the order in which their keys were first named.
    pub fn changes(&self) -> &[(Bytes, Change)] {
        &self.0
    }

    /// The changes, taken out.
    pub fn into_changes(self) -> Vec<(Bytes, Change)> {
        self.0
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the limits of the contract; engines call it before they take the writes.
    ///
    /// # Errors
    /// [`Rejection::Limit`] names the limit.
    pub fn check(&self) -> Result<(), Rejection> {
        let mut record_bytes = 0;
        let mut payload_bytes = 0;
        if self.0.len() > KEYS_MAX {
            return Err(Rejection::Limit("more than 1,024 keys"));
        }
        for (key, change) in &self.0 {
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                return Err(Rejection::Limit("a key is empty or longer than 1,280 bytes"));
            }
            record_bytes += key.len();
            if let Change::Put { value, payload } = change {
                if value.is_empty() {
                    return Err(Rejection::Limit("an empty record value"));
                }
                record_bytes += value.len();
                payload_bytes += payload.new_bytes();
            }
        }
        if record_bytes > RECORD_BYTES_MAX {
            return Err(Rejection::Limit("more than 1 MiB of keys and records"));
        }
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(Rejection::Limit("more than 4 MiB of payload"));
        }
        Ok(())
    }
}

/// A transaction's body: pure, quick, and without I/O; ids and times enter it as captured inputs.
pub type Body = dyn Fn(&dyn View) -> Result<Writes, NotBrought> + Send + Sync;

/// A transaction as an engine receives it.
#[derive(Clone)]
pub struct Transaction {
    /// The one partition that it reads and writes.
    pub partition: Partition,
    /// Names this attempt.
    pub token: Token,
    /// Keys that the body will surely read: an engine may fetch them beforehand. Only a hint.
    pub hints: Vec<Bytes>,
    /// What it does.
    pub body: Arc<Body>,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("partition", &self.partition)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// What a typed body decides.
#[derive(Debug)]
pub enum Decision<T, E> {
    /// Commit these writes (possibly none) and answer.
    Commit(Writes, T),
    /// Write nothing and refuse; the refusal is told only once what it reveals is durable (I4).
    Refuse(E),
}

/// Runs a typed transaction: carries the body's answer or refusal, and settles an unknown outcome where the engine can.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use ossia_store::{Decision, MemoryStore, Partition, Writes, transact};
/// let store = MemoryStore::new(Default::default());
/// let key = bytes::Bytes::from_static(b"counter");
/// let hints = vec![key.clone()];
/// let count: Result<u8, ()> = transact(&store, Partition(1), hints, move |view| {
///     let next = view.get(&key)?.map_or(1, |record| record.value[0] + 1);
///     let mut writes = Writes::none();
///     writes.put(key.clone(), vec![next]);
///     Ok(Decision::Commit(writes, next))
/// })
/// .await
/// .unwrap();
/// assert_eq!(count, Ok(1));
/// # });
/// ```
///
/// # Errors
/// [`StoreError::Rejected`]: nothing happened. [`StoreError::Unknown`]: it may have, and the engine could not tell in time.
pub async fn transact<T, E, F>(
    index: &(impl Index + ?Sized),
    partition: Partition,
    hints: Vec<Bytes>,
    body: F,
) -> Result<Result<T, E>, StoreError>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Fn(&dyn View) -> Result<Decision<T, E>, NotBrought> + Send + Sync + 'static,
{
    // The answer of the body's last run: the contract says that this is the run which counts.
    let answer: Arc<Mutex<Option<Result<T, E>>>> = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&answer);
    let body: Arc<Body> = Arc::new(move |view| {
        let (writes, result) = match body(view)? {
            Decision::Commit(writes, value) => (writes, Ok(value)),
            Decision::Refuse(refusal) => (Writes::none(), Err(refusal)),
        };
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        Ok(writes)
    });
    let take = || {
        let result = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.expect("a committed transaction has run its body")
    };
    let mut last = StoreError::Unknown("never submitted".into());
    for _ in 0..SETTLE_TRIES {
        let token = Token::unique();
        let transaction =
            Transaction { partition, token, hints: hints.clone(), body: Arc::clone(&body) };
        match index.submit(transaction).await {
            Ok(()) => return Ok(take()),
            Err(StoreError::Rejected(rejection)) => return Err(rejection.into()),
            Err(StoreError::Unknown(_)) => {}
        }
        match settle(index, partition, token).await {
            Ok(Settled::Committed) => return Ok(take()),
            Ok(Settled::Absent) => last = StoreError::Unknown("settled as absent too often".into()),
            Err(error) => return Err(StoreError::Unknown(error.to_string())),
        }
    }
    // Every try was settled as absent, so nothing has happened; the store is in no state to take it.
    tracing::debug!(%last, "transaction given up");
    Err(Rejection::Busy.into())
}

async fn settle(
    index: &(impl Index + ?Sized),
    partition: Partition,
    token: Token,
) -> Result<Settled, StoreError> {
    let mut pause = SETTLE_PAUSE;
    for _ in 1..SETTLE_TRIES {
        match index.settle(partition, token).await {
            Err(StoreError::Unknown(_)) => tokio::time::sleep(pause).await,
            told => return told,
        }
        pause = pause.saturating_mul(2);
    }
    index.settle(partition, token).await
}
