//! Damage to the files of a closed store: whatever is damaged, everything acknowledged is served right or refused with a clear
//! error, or the start stops with a message that names the file and what to do. Nothing is wrong, and nothing is missing, in silence.
//!
//! A clean close leaves no exception to that: not even the last group may be lost.
//!
//! - Every byte of every file is overwritten in turn, range by range; then files are damaged at random, see [`harm::Harm`].
//! - The same through the program and HTTP, for some of them, see [`served`].
//! - `OSSIA_DAMAGES` and `OSSIA_SERVED_DAMAGES` set how many, `OSSIA_TEST_SEED` repeats a run.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "../common/mod.rs"]
mod common;
mod harm;
mod judge;
mod served;
#[expect(dead_code, reason = "each test program uses a part of it")]
mod store;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use common::Random;
use harm::Harm;
use judge::Verdict;

/// Damages in a usual run.
const DAMAGES: usize = 1_200;

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name)
        .map_or(usual, |count| count.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// What happened, counted by kind.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<&'static str, [usize; 4]>,
    messages: BTreeMap<String, usize>,
    silent: Vec<String>,
}

impl Tally {
    fn count(&mut self, harm: &Harm, verdict: Verdict, data: &Path) {
        let row = self.kinds.entry(harm.kind()).or_default();
        match verdict {
            Verdict::Served => row[0] += 1,
            Verdict::Refused(_) => row[1] += 1,
            Verdict::Stopped(message) => {
                row[2] += 1;
                let message = message.replace(data.to_str().unwrap(), "");
                // Numbers do not make another message.
                let shape = message.split(|c: char| c.is_ascii_digit()).collect::<Vec<_>>();
                *self.messages.entry(shape.join("")).or_default() += 1;
            }
            Verdict::Silent(what) => {
                row[3] += 1;
                self.silent.push(format!("{harm:?}: {what}"));
            }
        }
    }

    fn tell(&self) {
        println!("{:>12} {:>8} {:>8} {:>8} {:>8}", "", "served", "refused", "stopped", "silent");
        let mut sum = [0; 4];
        for (kind, row) in &self.kinds {
            let [served, refused, stopped, silent] = row;
            println!("{kind:>12} {served:>8} {refused:>8} {stopped:>8} {silent:>8}");
            for (sum, count) in sum.iter_mut().zip(row) {
                *sum += count;
            }
        }
        let [served, refused, stopped, silent] = sum;
        println!("{:>12} {served:>8} {refused:>8} {stopped:>8} {silent:>8}", "all");
        if std::env::var_os("OSSIA_DAMAGE_MESSAGES").is_some() {
            for (message, count) in &self.messages {
                println!("{count:>8} {message}");
            }
        }
    }
}

#[test]
fn no_damage_to_a_closed_store_is_served_or_lost_in_silence() {
    let count = number("OSSIA_DAMAGES", DAMAGES);
    let mut random = Random::seeded();
    let made = store::make(&mut random);
    let swept = harm::sweep(&made, count / 2);
    let rest = count.saturating_sub(swept.len());
    let mut harms = swept;
    harms.extend((0..rest).map(|_| harm::random(&made, &mut random)));
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    // Panics in the tree's crate are caught by the engine and are part of what is looked for; their traces would only be noise.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let judge = judge::Judge::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(harm) = harms.get(at) else { return };
                    let (verdict, folder) = judge.try_one(&made, harm, at);
                    tally.lock().unwrap().count(harm, verdict, &folder);
                }
            });
        }
    });
    std::panic::set_hook(hook);
    let tally = tally.into_inner().unwrap();
    tally.tell();
    assert_eq!(tally.kinds.values().flatten().sum::<usize>(), harms.len());
    for silent in tally.silent.iter().take(40) {
        println!("{silent}");
    }
    assert!(tally.silent.is_empty(), "{} were silent", tally.silent.len());
}
