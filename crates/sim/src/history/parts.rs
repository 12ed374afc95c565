//! Taking a history apart: what each operation did to, or saw of, each object.

use std::collections::{BTreeMap, BTreeSet};

use ossia_model::{Answer, Content, Key, NULL, Operation, Refusal, Reply, Step, UploadStep};

use super::contents::Contents;
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
pub(super) fn take_apart(batch: &Batch, before: &BTreeMap<String, Vec<Key>>) -> Parts {
    let contents = Contents::of(batch, before);
    let Uploads { all: uploads, strangers } = Uploads::of(batch, before);
    let versions = Versions::of(batch, before);
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
                if let Err(why) = answered(event, answer, &keys, &uploads, &contents, &mut add) {
                    parts.strange.push((place, why));
                }
            }
            Outcome::Unknown(_) => match &event.operation {
                // Nobody was told its id: it may be any that nobody else was told.
                Operation::On { key, step: Step::Upload(UploadStep::Initiate { .. }) } => {
                    let of_key = strangers.iter().filter(|(of, _)| of == key);
                    let steps: Vec<_> = of_key.map(|(_, id)| named(&event.operation, id)).collect();
                    if !steps.is_empty() {
                        add(key, steps, None);
                    }
                }
                Operation::On { key, step } if step.may_change() => {
                    let mut steps = versions.perhaps_made(key, step);
                    // What makes no version needs no name for it.
                    if versions.strangers.is_none()
                        || !matches!(step, Step::Put { .. } | Step::Delete)
                    {
                        steps.push(step.clone());
                    }
                    if !steps.is_empty() {
                        add(key, steps, None);
                    }
                }
                Operation::Copy { source, key, forbid_overwrite, .. } => {
                    let place =
                        |object| Step::Place { object, forbid_overwrite: *forbid_overwrite };
                    let places = contents.possible(source).map(place);
                    let steps: Vec<_> = match versions.strangers {
                        None => places.collect(),
                        Some(_) => {
                            places.flat_map(|step| versions.perhaps_made(key, &step)).collect()
                        }
                    };
                    if !steps.is_empty() {
                        add(key, steps, None);
                    }
                }
                Operation::CopyPart { key, .. } => {
                    if let Some((_, part)) = copied_part(&event.operation, &contents) {
                        add(key, vec![part], None);
                    }
                }
                Operation::On { .. }
                | Operation::List { .. }
                | Operation::ListUploads { .. }
                | Operation::ListVersions { .. }
                | Operation::Set(_)
                | Operation::Round => {}
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
        Operation::Copy { source, key, .. } | Operation::CopyPart { source, key, .. } => {
            vec![source, key]
        }
        Operation::List { .. }
        | Operation::ListUploads { .. }
        | Operation::ListVersions { .. }
        | Operation::Set(_)
        | Operation::Round => vec![],
    }
}

/// Versions that may be there, though nobody was told that he had made them.
struct Versions {
    /// Ids by keys; `None` where no versions are kept.
    strangers: Option<BTreeMap<String, BTreeSet<String>>>,
}

impl Versions {
    fn of(batch: &Batch, before: &BTreeMap<String, Vec<Key>>) -> Self {
        let (mut known, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for (key, states) in before {
            for version in states.iter().flat_map(|state| &state.versions) {
                known.insert((key.as_str(), version.id.as_str()));
            }
        }
        for event in &batch.events {
            match (&event.operation, &event.outcome) {
                (Operation::On { key, step }, Outcome::Answered(Answer::One(reply))) => {
                    match reply {
                        Reply::Versions(all) => {
                            seen.extend(all.iter().map(|it| (key.as_str(), it.id.as_str())));
                        }
                        // One that goes on was made by somebody else.
                        _ if !matches!(step, Step::Append { position: 1.., .. })
                            && !matches!(step, Step::Of { .. })
                            && step.may_change() =>
                        {
                            known.extend(reply.version().map(|id| (key.as_str(), id)));
                        }
                        _ => {}
                    }
                    seen.extend(reply.version().map(|id| (key.as_str(), id)));
                }
                (
                    Operation::Copy { key, .. },
                    Outcome::Answered(Answer::Copied { version, .. }),
                ) => {
                    known.extend(version.iter().map(|id| (key.as_str(), id.as_str())));
                }
                (_, Outcome::Answered(Answer::Versions(listed))) => {
                    for (key, all) in listed {
                        seen.extend(all.iter().map(|it| (key.as_str(), it.id.as_str())));
                    }
                }
                _ => {}
            }
        }
        if seen.is_empty() && known.iter().all(|(_, id)| *id == NULL) {
            return Self { strangers: None };
        }
        let mut strangers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (key, id) in seen.difference(&known) {
            strangers.entry((*key).to_owned()).or_default().insert((*id).to_owned());
        }
        Self { strangers: Some(strangers) }
    }

    /// The step, having made any of the versions that nobody else has made.
    fn perhaps_made(&self, key: &str, step: &Step) -> Vec<Step> {
        if matches!(step, Step::Of { .. } | Step::Seal { .. }) {
            return Vec::new();
        }
        let of_key = self.strangers.iter().filter_map(|all| all.get(key)).flatten();
        let named = |id: &String| Step::Making {
            id: id.clone(),
            archived: false,
            step: Box::new(step.clone()),
        };
        of_key.map(named).collect()
    }
}

/// Uploads by keys and ids.
struct Uploads {
    /// That there may be or have been in a batch.
    all: BTreeSet<(String, String)>,
    /// Of these, those that are listed or asked for though nobody was told that he had started them.
    strangers: BTreeSet<(String, String)>,
}

impl Uploads {
    fn of(batch: &Batch, before: &BTreeMap<String, Vec<Key>>) -> Self {
        let (mut all, mut listed) = (BTreeSet::new(), BTreeSet::new());
        for (key, states) in before {
            for upload in states.iter().flat_map(|state| state.uploads.keys()) {
                all.insert((key.clone(), upload.clone()));
            }
        }
        for event in &batch.events {
            if let Some((key, upload)) = asked(&event.operation) {
                listed.insert((key.to_owned(), upload.to_owned()));
            }
            match (&event.operation, &event.outcome) {
                (
                    Operation::On { key, .. },
                    Outcome::Answered(Answer::One(Reply::Initiated { upload })),
                ) => drop(all.insert((key.clone(), upload.clone()))),
                (_, Outcome::Answered(Answer::Uploads(uploads))) => {
                    listed.extend(uploads.iter().cloned());
                }
                _ => {}
            }
        }
        let strangers: BTreeSet<_> = listed.difference(&all).cloned().collect();
        all.extend(strangers.iter().cloned());
        Self { all, strangers }
    }
}

/// The upload that an operation names.
fn asked(operation: &Operation) -> Option<(&str, &str)> {
    match operation {
        Operation::On {
            key,
            step:
                Step::Upload(
                    UploadStep::Part { upload, .. }
                    | UploadStep::Parts { upload }
                    | UploadStep::Complete { upload, .. }
                    | UploadStep::Abort { upload },
                ),
        }
        | Operation::CopyPart { key, upload, .. } => Some((key, upload)),
        _ => None,
    }
}

/// The start of an upload, with the id that the server chose.
fn named(operation: &Operation, id: &str) -> Step {
    let (sequential, forbid_overwrite) = match operation {
        Operation::On {
            step: Step::Upload(UploadStep::Initiate { sequential, forbid_overwrite, .. }),
            ..
        } => (*sequential, *forbid_overwrite),
        _ => (false, false),
    };
    let upload = id.to_owned();
    Step::Upload(UploadStep::Initiate { upload, sequential, forbid_overwrite })
}

/// What a part's copy copies, if its condition tells, and what that does to the upload.
fn copied_part(operation: &Operation, contents: &Contents) -> Option<(Content, Step)> {
    let Operation::CopyPart { range, if_match, upload, number, .. } = operation else {
        return None;
    };
    let content = contents.part_of(if_match.as_deref()?, range.as_ref())?;
    let (upload, number) = (upload.clone(), *number);
    let part = UploadStep::Part { upload, number, content: content.clone() };
    Some((content, Step::Upload(part)))
}

/// The step, with the id of the version that it has made by its reply, if any.
fn making(step: Step, reply: &Reply) -> Step {
    match reply.version() {
        Some(id) if step.may_change() && !matches!(step, Step::Of { .. }) => {
            Step::Making { id: id.to_owned(), archived: false, step: Box::new(step) }
        }
        _ => step,
    }
}

fn of_version(version: Option<&str>, step: Step) -> Step {
    match version {
        None => step,
        Some(id) => Step::Of { version: id.to_owned(), step: Box::new(step) },
    }
}

/// Notes a part: under which key, what it did, what it answered.
type Add<'a> = dyn FnMut(&str, Vec<Step>, Option<Reply>) + 'a;

fn answered(
    event: &Event,
    answer: &Answer,
    keys: &BTreeSet<&str>,
    uploads: &BTreeSet<(String, String)>,
    contents: &Contents,
    add: &mut Add<'_>,
) -> Result<(), String> {
    match (&event.operation, answer) {
        (Operation::On { key, step }, Answer::One(reply)) => {
            let step = match reply {
                Reply::Initiated { upload } => named(&event.operation, upload),
                _ => making(step.clone(), reply),
            };
            add(key, vec![step], Some(reply.clone()));
        }
        (
            Operation::Copy { source, version, key, forbid_overwrite },
            Answer::Copied { etag, version: made },
        ) => {
            let object = contents.by_etag(etag);
            let object = object.ok_or("it copied bytes that nobody has put anywhere")?.clone();
            let crc64 = object.content().map(Content::crc64).unwrap_or_default();
            let reply = Reply::Stored { etag: etag.clone(), crc64 };
            let read = of_version(version.as_deref(), Step::ReadSource);
            add(source, vec![read], Some(Reply::Source(object.clone())));
            let place = Step::Place { object, forbid_overwrite: *forbid_overwrite };
            let reply = match made {
                Some(made) => Reply::of(made, reply),
                None => reply,
            };
            add(key, vec![making(place, &reply)], Some(reply));
        }
        (Operation::Copy { source, version, key, .. }, Answer::One(Reply::Refused(refusal))) => {
            let reply = Reply::Refused(refusal.clone());
            if *refusal == Refusal::AlreadyExists {
                let put = Step::Put { content: Content::empty(), forbid_overwrite: true };
                add(key, vec![put], Some(reply));
            } else {
                add(source, vec![of_version(version.as_deref(), Step::ReadSource)], Some(reply));
            }
        }
        (Operation::CopyPart { source, range, if_match, key, .. }, Answer::CopiedPart { .. }) => {
            let Answer::CopiedPart { etag, crc64 } = answer.clone() else { return Ok(()) };
            let copied = copied_part(&event.operation, contents);
            let (content, part) = copied.ok_or("it copied bytes that nobody has put anywhere")?;
            let read = Step::ReadPart { range: range.clone(), if_match: if_match.clone() };
            add(source, vec![read], Some(Reply::PartSource(content)));
            add(key, vec![part], Some(Reply::PartStored { etag, crc64 }));
        }
        (
            Operation::CopyPart { source, range, if_match, key, upload, number },
            Answer::One(Reply::Refused(refusal)),
        ) => {
            let reply = Some(Reply::Refused(refusal.clone()));
            if matches!(refusal, Refusal::NoSuchUpload | Refusal::NotSequential) {
                let (upload, number, content) = (upload.clone(), *number, Content::empty());
                add(key, vec![Step::Upload(UploadStep::Part { upload, number, content })], reply);
            } else {
                let read = Step::ReadPart { range: range.clone(), if_match: if_match.clone() };
                add(source, vec![read], reply);
            }
        }
        (Operation::ListUploads { prefix }, Answer::Uploads(listed)) => {
            let strange = listed
                .iter()
                .find(|(key, _)| !keys.contains(key.as_str()) || !key.starts_with(prefix.as_str()));
            if let Some((key, _)) = strange {
                return Err(format!("it lists an upload of {key}, which nobody has asked for"));
            }
            for entry in uploads.iter().filter(|(key, _)| key.starts_with(prefix.as_str())) {
                let find = Step::Upload(UploadStep::Find { upload: entry.1.clone() });
                let reply = Reply::UploadListed(listed.contains(entry));
                add(&entry.0, vec![find], Some(reply));
            }
        }
        (Operation::ListVersions { prefix }, Answer::Versions(listed)) => {
            let strange = listed
                .keys()
                .find(|key| !keys.contains(key.as_str()) || !key.starts_with(prefix.as_str()));
            if let Some(key) = strange {
                return Err(format!("it lists {key}, which nobody has made or asked for"));
            }
            // Those that it does not list are looked for when nothing else happens.
            for (key, all) in listed {
                for version in all {
                    let find = Step::FindVersion { version: version.id.clone() };
                    add(key, vec![find], Some(Reply::VersionFound(Some(version.clone()))));
                }
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
