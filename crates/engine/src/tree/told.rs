//! What the tables have told lately.
//!
//! A record that is read often and seldom written (a bucket's own, the head of an object that grows slowly) leaves memory with
//! the memtable that it was written in. Asking the tables for it costs a trip to another thread, several times what the rest of
//! an append does; so their answers are kept, absences too.
//!
//! An answer is good for one set of flushed memtables: a snapshot's view finds everything newer in memory first, and compaction
//! changes no answer. A flush makes a new set out of the old one and of what it has flushed. Its size is bounded (I7).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lsm_tree::{Memtable, SeqNo, Slice};

/// Both halves together take no more than twice this.
const HALF_BYTES_MAX: usize = 2 << 20;
/// Longer values are not kept.
const VALUE_BYTES_MAX: usize = 4 << 10;
/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 112;

/// A value, or that there is none.
type Answer = Option<Slice>;

/// The answers. When the young half is full it becomes the old one, and what the old one had that nobody asked for is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Halves>);

#[derive(Debug, Default, Clone)]
struct Halves {
    young: HashMap<Box<[u8]>, Answer>,
    old: HashMap<Box<[u8]>, Answer>,
    young_bytes: usize,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the tables told of this key, if that is still known.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Answer> {
        let mut halves = self.lock();
        if let Some(answer) = halves.young.get(key) {
            return Some(answer.clone());
        }
        let (key, answer) = halves.old.remove_entry(key)?;
        halves.add(key, answer.clone());
        Some(answer)
    }

    /// Keeps an answer of the tables.
    pub(crate) fn keep(&self, key: &[u8], value: Option<&[u8]>) {
        if value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return;
        }
        // A copy: the tables' own value holds on to the whole block that it was read with.
        self.lock().add(key.into(), value.map(Slice::from));
    }

    /// The same answers once these memtables, newest first, are tables, too.
    pub(crate) fn after(&self, flushed: &[Arc<Memtable>]) -> Self {
        let mut halves = self.lock().clone();
        halves.young.retain(|key, answer| renew(key, answer, flushed));
        halves.old.retain(|key, answer| renew(key, answer, flushed));
        halves.young_bytes = halves.young.iter().map(|(key, answer)| cost(key, answer)).sum();
        Self(Mutex::new(halves))
    }
}

impl Halves {
    fn add(&mut self, key: Box<[u8]>, answer: Answer) {
        let bytes = cost(&key, &answer);
        if self.young_bytes + bytes > HALF_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(key, answer).is_none() {
            self.young_bytes += bytes;
        }
    }
}

/// Brings an answer up to date; `false` if it is not to be kept.
fn renew(key: &[u8], answer: &mut Answer, flushed: &[Arc<Memtable>]) -> bool {
    if let Some(item) = flushed.iter().find_map(|memtable| memtable.get(key, SeqNo::MAX)) {
        *answer = (!item.is_tombstone()).then_some(item.value);
    }
    answer.as_ref().is_none_or(|value| value.len() <= VALUE_BYTES_MAX)
}

fn cost(key: &[u8], answer: &Answer) -> usize {
    ENTRY_BYTES + key.len() + answer.as_ref().map_or(0, |value| value.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsm_tree::{InternalValue, ValueType};

    fn told(answers: &Told, key: &str) -> Option<Option<String>> {
        let text = |value: Slice| String::from_utf8(value.to_vec()).unwrap();
        answers.get(key.as_bytes()).map(|answer| answer.map(text))
    }

    #[test]
    fn a_flush_renews_what_the_tables_told_before_it() {
        let answers = Told::default();
        answers.keep(b"same", Some(b"1"));
        answers.keep(b"changed", Some(b"1"));
        answers.keep(b"deleted", Some(b"1"));
        answers.keep(b"made", None);
        let (old, new) = (Arc::new(Memtable::new(0)), Arc::new(Memtable::new(1)));
        let put = |memtable: &Memtable, key: &str, value: &str, seq| {
            memtable.insert(InternalValue::from_components(key, value, seq, ValueType::Value));
        };
        put(&old, "changed", "2", 5);
        put(&old, "deleted", "2", 6);
        put(&new, "changed", "3", 7);
        put(&new, "made", "3", 8);
        put(&new, "unasked", "3", 8);
        new.insert(InternalValue::new_tombstone("deleted", 9));
        let after = answers.after(&[new, old]);
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(told(&after, "same"), some("1"));
        assert_eq!(told(&after, "changed"), some("3"));
        assert_eq!(told(&after, "deleted"), Some(None));
        assert_eq!(told(&after, "made"), some("3"));
        assert_eq!(told(&after, "unasked"), None);
        assert_eq!(told(&answers, "changed"), some("1"), "older views keep theirs");
    }

    #[test]
    fn it_forgets_what_nobody_asks_for_before_it_grows_beyond_its_bounds() {
        let answers = Told::default();
        answers.keep(b"often", Some(b"here"));
        answers.keep(b"long", Some(&[1; VALUE_BYTES_MAX + 1]));
        assert_eq!(told(&answers, "long"), None);
        for number in 0..100_000_u32 {
            answers.keep(&number.to_le_bytes(), Some(&[7; 100]));
            if number % 100 == 0 {
                assert!(answers.get(b"often").is_some());
            }
        }
        let halves = answers.lock();
        for half in [&halves.young, &halves.old] {
            let bytes: usize = half.iter().map(|(key, answer)| cost(key, answer)).sum();
            assert!(bytes <= HALF_BYTES_MAX);
        }
    }
}
