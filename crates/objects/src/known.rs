//! What the catalogue says of buckets, remembered: every operation asks for its bucket first.
//!
//! An entry is what the catalogue says for as long as all changes of the catalogue go through [`KnownBuckets::change`], which they do
//! within one process. While a change is under way nothing is learnt, and what was being read when it began is not kept. A change
//! whose outcome nobody knows, or that nobody waited for, ends all remembering: it may still come to be.
//!
//! Only open buckets are kept. One that is being made, deleted or reopened is looked up each time, and so is an absent one.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    BucketRules, Failure,
    records::{BucketState, Catalogue},
    words::BucketName,
};

/// The remembered buckets.
#[derive(Debug)]
pub(crate) struct KnownBuckets {
    /// The most that are kept (I7).
    max: usize,
    state: Mutex<State>,
}

/// The most bytes of documents that rules are remembered of (I7).
const RULES_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Default)]
struct State {
    open: HashMap<BucketName, Catalogue>,
    rules: HashMap<BucketName, Arc<BucketRules>>,
    /// The bytes of the documents of all remembered rules.
    rules_bytes: usize,
    /// Changes under way.
    changing: usize,
    /// Changes that have begun or ended.
    begun: u64,
    off: bool,
}

impl State {
    fn forget(&mut self, name: &BucketName) {
        self.open.remove(name);
        if let Some(rules) = self.rules.remove(name) {
            self.rules_bytes -= rules.bytes;
        }
    }

    fn forget_all(&mut self) {
        self.open.clear();
        self.rules.clear();
        self.rules_bytes = 0;
    }
}

/// What is remembered of a bucket's rules.
#[derive(Debug)]
pub(crate) enum Remembered {
    Rules(Arc<BucketRules>),
    /// The store must be asked; its answer may be kept with this number.
    AskStore(u64),
}

/// What is remembered of a bucket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Known(Catalogue),
    /// The store must be asked; its answer may be kept with this number.
    AskStore(u64),
}

impl KnownBuckets {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: &BucketName) -> Seen {
        let state = self.state();
        match state.open.get(name) {
            Some(catalogue) => Seen::Known(catalogue.clone()),
            None => Seen::AskStore(state.begun),
        }
    }

    /// Keeps what the store said after [`Self::get`] had told to ask it.
    pub(crate) fn learn(&self, name: &BucketName, catalogue: &Catalogue, begun: u64) {
        let mut state = self.state();
        let still = state.begun == begun && state.changing == 0 && !state.off;
        if !still || catalogue.state != BucketState::Open || self.max == 0 {
            return;
        }
        if state.open.len() >= self.max {
            // Any will do: a store with so many buckets in use asks for some of them again.
            let one = state.open.keys().next().cloned();
            one.and_then(|one| state.open.remove(&one));
        }
        state.open.insert(name.clone(), catalogue.clone());
    }

    pub(crate) fn rules(&self, name: &BucketName) -> Remembered {
        let state = self.state();
        match state.rules.get(name) {
            Some(rules) => Remembered::Rules(Arc::clone(rules)),
            None => Remembered::AskStore(state.begun),
        }
    }

    /// As [`Self::learn`], of the rules of the bucket that this is the record of.
    pub(crate) fn learn_rules(
        &self,
        name: &BucketName,
        catalogue: &Catalogue,
        rules: &Arc<BucketRules>,
        begun: u64,
    ) {
        let mut state = self.state();
        let still = state.begun == begun && state.changing == 0 && !state.off;
        if !still || catalogue.state != BucketState::Open || self.max == 0 {
            return;
        }
        if state.rules.len() >= self.max
            || state.rules_bytes.saturating_add(rules.bytes) > RULES_BYTES_MAX
        {
            // Rare: a store with so many buckets in use reads their rules again.
            state.rules.clear();
            state.rules_bytes = 0;
        }
        if let Some(old) = state.rules.insert(name.clone(), Arc::clone(rules)) {
            state.rules_bytes -= old.bytes;
        }
        state.rules_bytes += rules.bytes;
    }

    /// As [`Self::change`], of what counts for every bucket.
    pub(crate) async fn change_all<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let changing = Changing::begin(self, None);
        changing.over(work).await
    }

    /// Runs what may change a bucket's record in the catalogue, or its configurations. To be called in a task that nobody drops
    /// half-way.
    pub(crate) async fn change<T>(
        &self,
        name: &BucketName,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let changing = Changing::begin(self, Some(name));
        changing.over(work).await
    }
}

/// A change under way.
struct Changing<'a> {
    known: &'a KnownBuckets,
    outcome_known: bool,
}

impl<'a> Changing<'a> {
    async fn over<T>(
        mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let told = work.await;
        self.outcome_known = !matches!(told, Err(Failure::Unknown(_)));
        told
    }

    /// `None` is every bucket.
    fn begin(known: &'a KnownBuckets, name: Option<&BucketName>) -> Self {
        let mut state = known.state();
        state.changing += 1;
        state.begun += 1;
        match name {
            Some(name) => state.forget(name),
            None => state.forget_all(),
        }
        Self { known, outcome_known: false }
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let mut state = self.known.state();
        state.changing -= 1;
        // Who has begun to read while it was under way may have read what was before it.
        state.begun += 1;
        if !self.outcome_known {
            state.off = true;
            state.forget_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::BucketAcl;

    fn name(number: usize) -> BucketName {
        BucketName::new(&format!("bucket-{number}")).unwrap()
    }

    fn catalogue(state: BucketState) -> Catalogue {
        Catalogue {
            id: 1,
            state,
            epoch: 0,
            since_ms: 0,
            partitions: 1,
            acl: BucketAcl::Private,
            storage_class: Default::default(),
            redundancy: Default::default(),
            versioning: None,
            versioning_epoch: 0,
            spreading: false,
            created_ms: 0,
            retention: Default::default(),
        }
    }

    fn ask(known: &KnownBuckets, name: &BucketName) -> u64 {
        match known.get(name) {
            Seen::AskStore(begun) => begun,
            Seen::Known(catalogue) => panic!("known: {catalogue:?}"),
        }
    }

    #[tokio::test]
    async fn what_was_read_before_or_during_a_change_is_not_kept() {
        let (known, one, open) = (KnownBuckets::new(8), name(1), catalogue(BucketState::Open));
        let before = ask(&known, &one);
        let done = known.change(&one, async {
            known.learn(&one, &open, before);
            let during = ask(&known, &one);
            known.learn(&one, &open, during);
            Ok(during)
        });
        let during = done.await.unwrap();
        known.learn(&one, &open, before);
        ask(&known, &one);
        // Read after the change began, perhaps before it took effect; the reader cannot tell, and so must not learn.
        known.learn(&one, &open, during);
        ask(&known, &one);
        let before = ask(&known, &one);
        known.change(&name(2), async { Ok(()) }).await.unwrap();
        known.learn(&one, &open, before);
        let after = ask(&known, &one);
        known.learn(&one, &open, after);
        assert_eq!(known.get(&one), Seen::Known(open));
        known.change(&one, async { Err::<(), _>(Failure::Busy) }).await.unwrap_err();
        ask(&known, &one);
    }

    #[tokio::test]
    async fn nothing_is_kept_after_a_change_with_an_unknown_outcome_or_one_that_was_dropped() {
        let (one, other, open) = (name(1), name(2), catalogue(BucketState::Open));
        for dropped in [false, true] {
            let known = KnownBuckets::new(8);
            known.learn(&one, &open, ask(&known, &one));
            assert_eq!(known.get(&one), Seen::Known(open.clone()));
            if dropped {
                let mut work =
                    Box::pin(known.change(&other, std::future::pending::<Result<(), _>>()));
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(work.as_mut().poll(&mut cx).is_pending());
            } else {
                let unknown = async { Err::<(), _>(Failure::Unknown("lost".into())) };
                known.change(&other, unknown).await.unwrap_err();
            }
            known.learn(&one, &open, ask(&known, &one));
            ask(&known, &one);
        }
    }

    #[tokio::test]
    async fn rules_are_forgotten_with_their_bucket_and_all_with_the_account() {
        let (known, open) = (KnownBuckets::new(8), catalogue(BucketState::Open));
        let rules = Arc::new(BucketRules { bytes: RULES_BYTES_MAX / 2, ..Default::default() });
        let learn = |number| match known.rules(&name(number)) {
            Remembered::AskStore(begun) => known.learn_rules(&name(number), &open, &rules, begun),
            Remembered::Rules(_) => panic!("known"),
        };
        let remembered = |number| matches!(known.rules(&name(number)), Remembered::Rules(_));
        learn(1);
        learn(2);
        known.change(&name(1), async { Ok(()) }).await.unwrap();
        assert!(!remembered(1) && remembered(2));
        known.change_all(async { Ok(()) }).await.unwrap();
        assert!(!remembered(2));
        for number in 1..=3 {
            learn(number);
        }
        // A third would have passed the bound, so the others went.
        assert!(!remembered(1) && !remembered(2) && remembered(3));
        assert_eq!(known.state().rules_bytes, RULES_BYTES_MAX / 2);
        let before = match known.rules(&name(4)) {
            Remembered::AskStore(begun) => begun,
            Remembered::Rules(_) => panic!("known"),
        };
        known.change(&name(5), async { Ok(()) }).await.unwrap();
        known.learn_rules(&name(4), &open, &rules, before);
        assert!(!remembered(4));
        // What was in force is read while it is changed, and told of once it is.
        let four = name(4);
        let during = known.change(&four, async {
            match known.rules(&four) {
                Remembered::AskStore(begun) => Ok(begun),
                Remembered::Rules(_) => panic!("known"),
            }
        });
        let during = during.await.unwrap();
        known.learn_rules(&four, &open, &rules, during);
        assert!(!remembered(4));
    }

    #[test]
    fn only_open_buckets_are_kept_and_only_so_many() {
        let known = KnownBuckets::new(3);
        for state in [BucketState::Creating, BucketState::Closing, BucketState::Reopening] {
            known.learn(&name(1), &catalogue(state), 0);
            ask(&known, &name(1));
        }
        for number in 0..10 {
            known.learn(&name(number), &catalogue(BucketState::Open), 0);
            assert!(matches!(known.get(&name(number)), Seen::Known(_)));
        }
        assert_eq!(known.state().open.len(), 3);
        let none = KnownBuckets::new(0);
        none.learn(&name(1), &catalogue(BucketState::Open), 0);
        ask(&none, &name(1));
    }
}
