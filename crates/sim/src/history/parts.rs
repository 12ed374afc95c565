//! Taking a history apart: what each operation did to, or saw of, each object.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ossia_model::{Answer, Content, Object, Operation, Refusal, Reply, Step};

use super::event::{Batch, Event, Outcome};

/// One operation's part on one object.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The operation's place in the batch.
    pub(super) event: usize,
    pub(super) begun: u64,
    /// The last moment at which it can have happened.
    pub(super) ended: u64,
    /// What it did: one of these. More than one only where it is not known what was copied.
    pub(super) steps: Vec<Step>,
    /// What it answered; `None` if that is not known, and so neither whether it happened.
    pub(super) seen: Option<Reply>,
}

/// The parts on each object, and answers that nothing can explain: an event's place and why.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) by_key: BTreeMap<String, Vec<Part>>,
    pub(super) strange: Vec<(usize, String)>,
}

/// Takes a batch apart, given what may have been there before it.
pub(super) fn take_apart(batch: &Batch, before: &BTreeMap<String, Vec<Object>>) -> Parts {
    let contents = Contents::of(batch, before);
    let keys: BTreeSet<&str> = before
        .keys()
        .map(String::as_str)
        .chain(batch.events.iter().flat_map(|event| keys(&event.operation)))
        .collect();
    let mut parts = Parts::default();
    for (place, event) in batch.events.iter().enumerate() {
        // What was answered by a server that is dead was done before it died.
        let cut = batch.cuts.iter().copied().find(|cut| *cut > event.begun).unwrap_or(u64::MAX);
        let mut add = |key: &str, steps, seen: Option<Reply>| {
            let ended = if seen.is_some() { event.ended.min(cut) } else { cut };
            let part = Part { event: place, begun: event.begun, ended, steps, seen };
            parts.by_key.entry(key.to_owned()).or_default().push(part);
        };
        match &event.outcome {
            Outcome::Answered(answer) => {
                if let Err(why) = answered(event, answer, &keys, &contents, &mut add) {
                    parts.strange.push((place, why));
                }
            }
            Outcome::Unknown(_) => match &event.operation {
                Operation::On { key, step } if step.may_change() => {
                    add(key, vec![step.clone()], None);
                }
                Operation::Copy { source, key, forbid_overwrite } => {
                    let put = |content| Step::Put { content, forbid_overwrite: *forbid_overwrite };
                    let steps: Vec<_> = contents.possible(source).map(put).collect();
                    if !steps.is_empty() {
                        add(key, steps, None);
                    }
                }
                Operation::On { .. } | Operation::List { .. } => {}
            },
            Outcome::NotDone(_) => {}
            Outcome::Impossible(why) => parts.strange.push((place, why.clone())),
        }
    }
    parts
}

fn keys(operation: &Operation) -> Vec<&str> {
    match operation {
        Operation::On { key, .. } => vec![key],
        Operation::Copy { source, key, .. } => vec![source, key],
        Operation::List { .. } => vec![],
    }
}

/// Notes a part: under which key, what it did, what it answered.
type Add<'a> = dyn FnMut(&str, Vec<Step>, Option<Reply>) + 'a;

fn answered(
    event: &Event,
    answer: &Answer,
    keys: &BTreeSet<&str>,
    contents: &Contents,
    add: &mut Add<'_>,
) -> Result<(), String> {
    match (&event.operation, answer) {
        (Operation::On { key, step }, Answer::One(reply)) => {
            add(key, vec![step.clone()], Some(reply.clone()));
        }
        (Operation::Copy { source, key, forbid_overwrite }, Answer::Copied { etag }) => {
            let content = contents.by_etag.get(etag);
            let content = content.ok_or("it copied bytes that nobody has put anywhere")?.clone();
            let reply = Reply::Stored { etag: etag.clone(), crc64: content.crc64() };
            add(source, vec![Step::ReadSource], Some(Reply::Source(content.clone())));
            let put = Step::Put { content, forbid_overwrite: *forbid_overwrite };
            add(key, vec![put], Some(reply));
        }
        (Operation::Copy { source, key, .. }, Answer::One(Reply::Refused(refusal))) => {
            let reply = Reply::Refused(refusal.clone());
            if *refusal == Refusal::AlreadyExists {
                let put = Step::Put { content: Content::empty(), forbid_overwrite: true };
                add(key, vec![put], Some(reply));
            } else {
                add(source, vec![Step::ReadSource], Some(reply));
            }
        }
        (Operation::List { prefix }, Answer::Listed(listed)) => {
            let strange = listed
                .keys()
                .find(|key| !keys.contains(key.as_str()) || !key.starts_with(prefix.as_str()));
            if let Some(key) = strange {
                return Err(format!("it lists {key}, which nobody has made or asked for"));
            }
            for key in keys.iter().filter(|key| key.starts_with(prefix.as_str())) {
                let entry = listed.get(*key).cloned();
                add(key, vec![Step::List], Some(Reply::Listed(entry)));
            }
        }
        _ => return Err("the answer is to another question".to_owned()),
    }
    Ok(())
}

/// What may have been copied.
struct Contents {
    by_etag: HashMap<String, Content>,
    /// What each key may have held as a Normal object at some time. More than it can have held at the time of one copy: that only
    /// makes the checker believe more of a copy whose outcome is unknown.
    by_key: BTreeMap<String, BTreeSet<String>>,
}

impl Contents {
    fn of(batch: &Batch, before: &BTreeMap<String, Vec<Object>>) -> Self {
        let mut all = Self { by_etag: HashMap::new(), by_key: BTreeMap::new() };
        for (key, objects) in before {
            for object in objects {
                if let Object::Normal(content) = object {
                    all.learn(key, content);
                }
            }
        }
        let mut copies = Vec::new();
        for event in &batch.events {
            match (&event.operation, &event.outcome) {
                (_, Outcome::NotDone(_)) => {}
                (Operation::On { key, step: Step::Put { content, .. } }, _) => {
                    all.learn(key, content);
                }
                (Operation::Copy { source, key, .. }, Outcome::Answered(Answer::Copied { .. }))
                | (Operation::Copy { source, key, .. }, Outcome::Unknown(_)) => {
                    copies.push((source, key));
                }
                _ => {}
            }
        }
        // What was copied may have been copied on.
        let mut grew = true;
        while std::mem::take(&mut grew) {
            for (source, key) in &copies {
                let more = all.by_key.get(*source).cloned().unwrap_or_default();
                let known = all.by_key.entry((*key).clone()).or_default();
                let count = known.len();
                known.extend(more);
                grew |= known.len() > count;
            }
        }
        all
    }

    fn learn(&mut self, key: &str, content: &Content) {
        let etag = content.md5();
        self.by_key.entry(key.to_owned()).or_default().insert(etag.clone());
        self.by_etag.insert(etag, content.clone());
    }

    fn possible(&self, key: &str) -> impl Iterator<Item = Content> {
        let etags = self.by_key.get(key).into_iter().flatten();
        etags.filter_map(|etag| self.by_etag.get(etag).cloned())
    }
}
