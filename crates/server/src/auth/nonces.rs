//! Nonces of requests to RAM and STS: each counts once for a key within the time in which its request would be taken again.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

/// How many are remembered. Only verified requests are, and those of half an hour at most: this is 580 a second, sustained.
const KEPT_MAX: usize = 1 << 20;

/// What has been spent, of every request. A restart forgets it; what changes something is noted in the store besides.
#[derive(Debug)]
pub(super) struct Nonces {
    /// Two hashes of key id and nonce, and until when, in Unix seconds, they are remembered.
    spent: Mutex<HashMap<(u64, u64), i64>>,
    seeds: (RandomState, RandomState),
    max: usize,
}

impl Default for Nonces {
    fn default() -> Nonces {
        Nonces { spent: Mutex::default(), seeds: Default::default(), max: KEPT_MAX }
    }
}

impl Nonces {
    /// Spends a nonce until a time; false if it is spent already, or if there are too many.
    pub(super) fn spend(&self, key_id: &str, nonce: &str, until: i64, now: i64) -> bool {
        let named = (key_id, nonce);
        let name = (self.seeds.0.hash_one(named), self.seeds.1.hash_one(named));
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= self.max {
            spent.retain(|_, until| *until >= now);
        }
        if spent.len() >= self.max {
            return false;
        }
        match spent.get(&name) {
            Some(until) if *until >= now => false,
            _ => {
                spent.insert(name, until);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_counts_once_for_a_key_until_its_time_is_over() {
        let nonces = Nonces::default();
        assert!(nonces.spend("a", "1", 900, 0));
        assert!(!nonces.spend("a", "1", 900, 900));
        assert!(nonces.spend("b", "1", 900, 0) && nonces.spend("a", "2", 900, 0));
        assert!(nonces.spend("a", "1", 1_801, 901));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for_and_old_ones_make_room() {
        let nonces = Nonces { max: 100, ..Nonces::default() };
        for count in 0..nonces.max {
            assert!(nonces.spend("a", &count.to_string(), 900, 0));
        }
        assert!(!nonces.spend("a", "one more", 900, 0), "what cannot be remembered is not taken");
        assert!(nonces.spend("a", "later", 1_900, 901));
        assert_eq!(nonces.spent.lock().unwrap().len(), 1);
    }
}
