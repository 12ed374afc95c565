//! The same of a bucket that keeps versions.

use ossia_model::{Bucket, ListedVersion, Versioning};

use super::*;

fn keeping() -> Hand {
    let bucket = Bucket { versioning: Versioning::Enabled, ..Bucket::default() };
    Hand { store: Store::new(bucket), ..Hand::default() }
}

fn judge(hand: &Hand) -> Result<Figures, Violation> {
    let checker = Checker::new(7, Tolerance::default());
    checker.with_versions(Versioning::Enabled).absorb(&hand.batch)
}

fn of(key: &str, version: &str, step: Step) -> Operation {
    on(key, Step::Of { version: version.to_owned(), step: Box::new(step) })
}

fn versions(key: &str) -> Operation {
    on(key, Step::Versions)
}

/// Two versions, and what lists them.
fn two() -> (Hand, Vec<ListedVersion>) {
    let mut hand = keeping();
    for length in [20, 30] {
        let put = hand.put("k", length);
        hand.done(put);
    }
    let Answer::One(Reply::Versions(all)) = hand.store.apply(&versions("k")) else {
        panic!("no versions")
    };
    (hand, all)
}

fn told(hand: &mut Hand, all: &[ListedVersion]) {
    hand.told(versions("k"), Answer::One(Reply::Versions(all.to_vec())));
}

#[test]
fn versions_that_come_and_go_as_they_should_pass() {
    let (mut hand, _) = two();
    let append = hand.append("log", 20);
    hand.done(append);
    hand.done(on("log", Step::Delete));
    // To clients a marker is nothing.
    hand.told(get("log"), Answer::One(Reply::Refused(Refusal::NoSuchKey)));
    let again = hand.append("log", 10);
    hand.done(again);
    for operation in [
        versions("log"),
        of("log", "v00004", Step::Delete),
        of("log", "v00003", Step::Delete),
        get("log"),
        of("k", "v00000", Step::Get { range: None }),
        copy("k", "copy"),
        Operation::ListVersions { prefix: String::new() },
    ] {
        hand.done(operation);
    }
    let append = hand.append("log", 7);
    hand.done(append);
    hand.done(versions("log"));
    judge(&hand).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn a_version_that_is_lost_back_again_or_out_of_order_is_noticed() {
    let (mut hand, all) = two();
    told(&mut hand, &all[..1]);
    judge(&hand).unwrap_err();

    let (mut hand, mut all) = two();
    all.reverse();
    told(&mut hand, &all);
    judge(&hand).unwrap_err();

    let (mut hand, all) = two();
    hand.done(of("k", "v00000", Step::Delete));
    told(&mut hand, &all);
    judge(&hand).unwrap_err();

    // Nor may a listing among others tell one that was never there.
    let (mut hand, mut all) = two();
    all[0].id = "ghost".to_owned();
    let listed = Answer::Versions(BTreeMap::from([("k".to_owned(), all)]));
    hand.told(Operation::ListVersions { prefix: String::new() }, listed);
    judge(&hand).unwrap_err();
}

#[test]
fn a_version_that_nobody_was_told_of_may_be_there_after_a_cut_or_not() {
    for (there, by) in [(true, "k"), (false, "k"), (true, "other")] {
        let (mut hand, mut all) = two();
        let put = hand.put(by, 40);
        hand.unknown(put.clone());
        hand.cut();
        let Answer::One(reply) = hand.store.apply(&put) else { panic!("no reply") };
        let Reply::Stored { etag, .. } = reply.plain() else { panic!("{reply:?}") };
        let object = Some((Kind::Normal, 40, etag.clone()));
        if there {
            all.insert(0, ListedVersion { id: "stranger".to_owned(), object });
        }
        told(&mut hand, &all);
        assert_eq!(judge(&hand).is_ok(), by == "k", "{there} {by}");
    }
}
