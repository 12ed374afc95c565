//! What uploads under way will add to buckets with a quota: two at once must not each be given the same room.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ossia_protocol::names::BucketName;

/// By how much uploads under way will grow each bucket, in bytes. One entry for each such bucket, so bounded by the requests.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    growing: HashMap<BucketName, u64>,
    /// The bytes of those that have ended. What ends while a bucket is looked at may not have been seen there.
    ended: u64,
}

/// What became of an upload that wants to begin.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It may bring so many bytes, and counts until this is dropped.
    Held(u64, Growth),
    /// There is no room for it.
    Full,
    /// There seems to be none, but others have ended while the bucket was looked at, and may have been counted twice.
    Unsure,
}

/// An upload under way.
#[derive(Debug)]
pub(crate) struct Growth {
    all: Arc<UnderWay>,
    bucket: BucketName,
    bytes: u64,
}

impl UnderWay {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be asked before the bucket is looked at.
    pub(crate) fn ended(&self) -> u64 {
        self.state().ended
    }

    /// Begins an upload that will grow a bucket by `growth`, where `room` is what the others under way leave. One that does not
    /// announce its length is given what is left, and does not count: it would keep everybody else out.
    pub(crate) fn begin(
        self: &Arc<Self>,
        bucket: &BucketName,
        seen: u64,
        growth: u64,
        room: impl Fn(u64) -> u64,
        announced: Option<u64>,
    ) -> Begun {
        let mut state = self.state();
        let unseen = state.ended.wrapping_sub(seen);
        let growing = state.growing.get(bucket).copied().unwrap_or(0);
        let room = room(growing.saturating_add(unseen));
        if announced.is_some_and(|length| length > room) || (announced.is_none() && room == 0) {
            return if unseen == 0 { Begun::Full } else { Begun::Unsure };
        }
        let bytes = if announced.is_some() { growth } else { 0 };
        let growing = state.growing.entry(bucket.clone()).or_default();
        *growing = growing.saturating_add(bytes);
        Begun::Held(room, Growth { all: Arc::clone(self), bucket: bucket.clone(), bytes })
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        let mut state = self.all.state();
        state.ended = state.ended.wrapping_add(self.bytes);
        if let Some(growing) = state.growing.get_mut(&self.bucket) {
            *growing = growing.saturating_sub(self.bytes);
            if *growing == 0 {
                state.growing.remove(&self.bucket);
            }
        }
    }
}
