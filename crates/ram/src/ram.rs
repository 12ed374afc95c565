//! The service: reading, changing, and what is in force.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use ossia_access::Caller;
use ossia_keys::{KeyId, MasterKeys, Purpose, sealed_with};
use ossia_store::{Decision, Rejection, Store, StoreError, Writes, transact};
use std::sync::atomic::Ordering;
use tokio::sync::Mutex;

use crate::{
    Limits, LoadError,
    answer::{Fault, Object},
    api::{Action, Asker, Judge, RAM_VERSION, Run, STS_VERSION},
    live::{Credential, Found, Live, unnoted},
    nonces::{self, Nonce},
    params::Params,
    records::{self, AccessKey, Generation, LastUse, PARTITION, User},
    state::{Change, State, System},
    sts,
};

/// How often a change is made anew when another one came first. Only another gateway can come first.
const TRIES: usize = 8;
/// How many keys' last uses are written in one transaction, whose limit is 1,024 keys.
const NOTED_MAX: usize = 512;

/// How many users are sealed anew in one transaction, which may write a mebibyte.
const RESEALED_MAX: usize = 128;

/// A request whose signature has been verified.
pub struct RamRequest {
    /// `CreateUser`, `AssumeRole`, ...
    pub action: String,
    /// Of the API: [`RAM_VERSION`] or [`STS_VERSION`].
    pub version: String,
    /// Its parameters.
    pub params: Params,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// What decides what the caller may.
    pub judge: Box<dyn Judge>,
    /// What makes it one that is not repeated; spent by what changes something and by AssumeRole, for good.
    pub nonce: Nonce,
    /// The time, in Unix milliseconds.
    pub now_ms: u64,
}

/// Never shows parameters, which may be secret.
impl fmt::Debug for RamRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RamRequest").field("action", &self.action).finish_non_exhaustive()
    }
}

/// Users, groups, roles, policies and their keys, kept in a store; and temporary credentials, which are kept nowhere.
pub struct Ram {
    store: Arc<dyn Store>,
    master: Arc<MasterKeys>,
    account: String,
    limits: Limits,
    live: Live,
    /// One change at a time; whether what is in memory may be behind the store.
    behind: Mutex<bool>,
}

impl fmt::Debug for Ram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ram").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Ram {
    /// Reads what is stored. Keys whose secrets the master key does not open are refused, and told in the log.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn open(
        store: Arc<dyn Store>,
        master: Arc<MasterKeys>,
        account: &str,
        limits: Limits,
    ) -> Result<Arc<Ram>, LoadError> {
        let empty = State { system: Arc::new(System::new()?), ..State::default() };
        let state = State::load(&*store, &master, &empty).await?;
        let live = Live::new(Arc::clone(&master), state);
        let (account, behind) = (account.to_owned(), Mutex::new(false));
        Ok(Arc::new(Ram { store, master, account, limits, live, behind }))
    }

    /// What stands behind a key id, and a token if one came along, at `now_s` in Unix seconds. Of the root key it knows nothing.
    pub fn find(&self, key_id: &str, token: Option<&str>, now_s: u64) -> Found {
        self.live.find(key_id, token, now_s)
    }

    /// To be told when a signature held, at `now_ms`.
    pub fn held(&self, credential: &Credential, now_ms: u64) {
        self.live.held(credential, now_ms);
    }

    /// The names of all actions of RAM.
    pub fn actions() -> impl Iterator<Item = &'static str> {
        Action::names()
    }

    /// Everything that is attached to a user or a role (`user/<name>`, `role/<name>`), as a request of it would have it: for
    /// explaining decisions.
    pub fn caller_named(&self, arn: &str) -> Option<Arc<Caller>> {
        self.live.caller_named(arn)
    }

    /// Does what is asked, if the caller may. A change is durable and in force when this returns, and goes on to its end when the
    /// future is dropped.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn call(self: &Arc<Self>, request: RamRequest) -> Result<Object, Fault> {
        let snapshot = self.live.snapshot();
        let caller = snapshot.renewed(&request.caller).ok_or_else(Fault::no_permission)?;
        let asker = Asker { account: &self.account, caller: &caller };
        let judge = &*request.judge;
        let params = &request.params;
        match (request.version.as_str(), request.action.as_str()) {
            (STS_VERSION, "AssumeRole") => {
                let times = (request.now_ms, self.limits.session_seconds_min);
                let answer =
                    sts::assume_role((&self.live, &snapshot), &asker, params, judge, times)?;
                // Whoever repeats what was overheard gets no credentials of his own.
                match nonces::spend(&*self.store, &request.nonce).await {
                    Ok(true) => Ok(answer),
                    Ok(false) => Err(Fault::nonce_used()),
                    Err(StoreError::Rejected(rejection)) => Err(refused(&rejection)),
                    Err(error @ StoreError::Unknown(_)) => {
                        tracing::error!(%error, "whether a nonce is spent cannot be told");
                        Err(Fault::internal())
                    }
                }
            }
            (STS_VERSION, "GetCallerIdentity") => Ok(sts::caller_identity(&asker)),
            (RAM_VERSION, name) => {
                let action = Action::of(name).ok_or_else(Fault::unknown_action)?;
                action.permit(&snapshot.state, &asker, params, judge)?;
                match action.run {
                    Run::Read(read) => read(&snapshot.state, &asker, params),
                    Run::Write(_) => {
                        let ram = Arc::clone(self);
                        let changing = async move { ram.change(action, request).await };
                        tokio::spawn(changing).await.map_err(|error| {
                            tracing::error!(%error, "a change of identities ended early");
                            Fault::internal()
                        })?
                    }
                }
            }
            _ => Err(Fault::unknown_action()),
        }
    }

    async fn change(&self, action: Action, request: RamRequest) -> Result<Object, Fault> {
        let Run::Write(write) = action.run else { return Err(Fault::internal()) };
        let mut behind = self.behind.lock().await;
        for _ in 0..TRIES {
            if *behind {
                self.reload().await?;
                *behind = false;
            }
            let snapshot = self.live.snapshot();
            // Again: a change that came before this one, and was answered, may have taken the right away.
            let caller = snapshot.renewed(&request.caller).ok_or_else(Fault::no_permission)?;
            let asker = Asker { account: &self.account, caller: &caller };
            action.permit(&snapshot.state, &asker, &request.params, &*request.judge)?;
            let expected = snapshot.state.generation;
            let mut change = Change {
                state: State::clone(&snapshot.state),
                account: &self.account,
                limits: &self.limits,
                master: &self.master,
                now_ms: request.now_ms,
                writes: Default::default(),
            };
            // Everything about existence and limits is decided in it, on what the transaction then finds unchanged.
            let answer = write(&mut change, &asker, &request.params)?;
            change.state.generation = expected + 1;
            let Change { state, writes, .. } = change;
            // From here on what is in force may be behind what is stored, until it is known to be not.
            *behind = true;
            let writes = writes.into_iter().collect();
            match self.commit(expected, writes, Some(&request.nonce)).await {
                Ok(Ok(())) => {
                    self.live.install(state);
                    *behind = false;
                    return Ok(answer);
                }
                Ok(Err(NotNow::Overtaken)) => {}
                Ok(Err(NotNow::Spent)) => {
                    *behind = false;
                    return Err(Fault::nonce_used());
                }
                Err(StoreError::Rejected(rejection)) => {
                    *behind = false;
                    return Err(refused(&rejection));
                }
                Err(error @ StoreError::Unknown(_)) => {
                    tracing::error!(%error, "the outcome of a change of identities cannot be told");
                    // Better now than with the next change, which may be long in coming.
                    *behind = self.reload().await.is_err();
                    return Err(Fault::internal());
                }
            }
        }
        Err(Fault::unavailable())
    }

    /// Writes records if no other change came in between, and if the nonce was not spent, which it then is.
    async fn commit(
        &self,
        expected: u64,
        writes: Vec<(Bytes, Option<Bytes>)>,
        nonce: Option<&Nonce>,
    ) -> Result<Result<(), NotNow>, StoreError> {
        let nonce = nonce.map(Nonce::key);
        let hints = [records::generation()].into_iter().chain(nonce.clone()).collect();
        transact(&*self.store, PARTITION, hints, move |view| {
            if let Some(nonce) = &nonce
                && view.get(nonce)?.is_some()
            {
                return Ok(Decision::Refuse(NotNow::Spent));
            }
            let record = view.get(&records::generation())?;
            let number = match &record {
                None => Some(0),
                Some(record) => records::decode::<Generation>(&record.value).ok().map(|g| g.number),
            };
            if number != Some(expected) {
                return Ok(Decision::Refuse(NotNow::Overtaken));
            }
            let mut put = Writes::none();
            put.put(records::generation(), records::encode(&Generation { number: expected + 1 }));
            if let Some(nonce) = &nonce {
                put.put(nonce.clone(), records::spent());
            }
            for (key, value) in &writes {
                match value {
                    Some(value) => put.put(key.clone(), value.clone()),
                    None => put.delete(key.clone()),
                }
            }
            Ok(Decision::Commit(put, ()))
        })
        .await
    }

    async fn reload(&self) -> Result<(), Fault> {
        let before = self.live.snapshot();
        match State::load(&*self.store, &self.master, &before.state).await {
            Ok(state) => {
                self.live.install(state);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the identities cannot be read again");
                Err(Fault::unavailable())
            }
        }
    }

    /// Seals anew what is not sealed under the master key in force, after that was rotated; says how many keys. What was resealed
    /// is the same key: nothing else changes.
    ///
    /// # Errors
    /// What the store says; the rest is done another time.
    pub async fn reseal(&self) -> Result<usize, StoreError> {
        let Some(current) = self.master.current() else { return Ok(0) };
        let mut count = 0;
        loop {
            let mut behind = self.behind.lock().await;
            if *behind {
                // The next change finds out first.
                return Ok(count);
            }
            let snapshot = self.live.snapshot();
            let mut state = State::clone(&snapshot.state);
            let (writes, done) = reseal(&mut state, &self.master, current);
            if done == 0 {
                return Ok(count);
            }
            let expected = state.generation;
            state.generation += 1;
            *behind = true;
            match self.commit(expected, writes, None).await {
                Ok(Ok(())) => {
                    self.live.install(state);
                    *behind = false;
                    count += done;
                }
                Ok(Err(_)) => return Ok(count),
                Err(error) => {
                    *behind = matches!(error, StoreError::Unknown(_));
                    return Err(error);
                }
            }
        }
    }

    /// Forgets nonces whose requests would be refused by their time at `now_s`, in Unix seconds; says how many.
    ///
    /// # Errors
    /// What the store says; the rest is done another time.
    pub async fn forget_nonces(&self, now_s: u64) -> Result<usize, StoreError> {
        nonces::forget(&*self.store, now_s).await
    }

    /// Writes when keys were last used, where that is not written yet; says how many. What is not written when the process ends is
    /// forgotten, so it is called now and then.
    ///
    /// # Errors
    /// What the store says; nothing is lost but time.
    pub async fn note_last_uses(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        loop {
            // With the changes: a key that is being deleted must not leave a note behind.
            let _alone = self.behind.lock().await;
            let uses = unnoted(&self.live.snapshot().state, NOTED_MAX);
            if uses.is_empty() {
                return Ok(count);
            }
            let notes: Vec<(Bytes, Bytes)> = uses
                .iter()
                .map(|(id, ms, _)| {
                    (records::key(records::LAST_USE, id), records::encode(&LastUse { ms: *ms }))
                })
                .collect();
            let told = transact::<(), std::convert::Infallible, _>(
                &*self.store,
                PARTITION,
                Vec::new(),
                move |_| {
                    let mut writes = Writes::none();
                    for (key, value) in &notes {
                        writes.put(key.clone(), value.clone());
                    }
                    Ok(Decision::Commit(writes, ()))
                },
            );
            let Ok(()) = told.await?;
            for (_, ms, key) in &uses {
                key.noted_ms.fetch_max(*ms, Ordering::Relaxed);
            }
            count += uses.len();
        }
    }
}

/// Users with a key that is sealed under another master key, some of them: their records, and how many keys.
fn reseal(
    state: &mut State,
    master: &MasterKeys,
    current: KeyId,
) -> (Vec<(Bytes, Option<Bytes>)>, usize) {
    let old = |key: &&mut AccessKey| sealed_with(&key.sealed) != Some(current);
    let (mut writes, mut count) = (Vec::new(), 0);
    for user in state.users.values_mut() {
        if user.keys.iter().all(|key| sealed_with(&key.sealed) == Some(current)) {
            continue;
        }
        let mut fresh = User::clone(user);
        let before = count;
        for key in fresh.keys.iter_mut().filter(old) {
            let id = key.id.as_bytes();
            // One that does not open stays as it is: its master key may come back.
            let Ok(secret) = master.open(Purpose::Secret, id, &key.sealed) else { continue };
            let Ok(sealed) = master.seal(Purpose::Secret, id, &secret) else { continue };
            key.sealed = Bytes::from(sealed);
            count += 1;
        }
        if count > before {
            let key = records::key(records::USER, &fresh.id);
            writes.push((key, Some(records::encode(&fresh))));
            *user = Arc::new(fresh);
        }
        if writes.len() >= RESEALED_MAX {
            break;
        }
    }
    (writes, count)
}

/// Why a change is not made.
#[derive(Debug)]
enum NotNow {
    /// Another change came first.
    Overtaken,
    /// It has been made already.
    Spent,
}

fn refused(rejection: &Rejection) -> Fault {
    match rejection {
        Rejection::Busy | Rejection::Full(_) | Rejection::Poisoned(_) | Rejection::Closed => {
            Fault::unavailable()
        }
        other => {
            tracing::error!(error = %other, "a change of identities was refused");
            Fault::internal()
        }
    }
}
