//! Violations in words that a person can follow: the operation that nothing explains, what could have been there, what happened
//! around it.

use std::fmt::Write as _;

use ossia_model::{
    Answer, Bucket, Content, Info, Key, Kind, NULL, Object, Operation, Refusal, Reply, Step,
    UploadStep,
};

use super::body::attribute;
use super::event::{Batch, Event, Outcome};
use super::parts::Part;

/// Operations told before the one that nothing explains, at least and at most.
const BEFORE_MIN: usize = 6;
const BEFORE_MAX: usize = 24;
/// States told.
const STATES_MAX: usize = 6;

/// An answer that no server may give at all.
pub(super) fn strange(seed: u64, event: &Event, why: &str) -> String {
    format!("seed {seed}: {}\n  {}\n", why, line(event))
}

/// An operation that no order of all operations explains.
pub(super) fn stuck(
    (seed, bucket): (u64, &Bucket),
    key: &str,
    batch: &Batch,
    parts: &[Part],
    part: usize,
    before: &[Key],
    certain: u64,
) -> String {
    let stuck = &parts[part];
    let event = |part: &Part| &batch.events[part.event];
    let mut text = format!("seed {seed}: under {key} nothing explains\n  {}\n", line(event(stuck)));
    text.push_str("when it ended, there could only be\n");
    for there in before.iter().take(STATES_MAX) {
        let _ = writeln!(text, "  {}", state(there));
        for step in stuck.steps.iter().take(1) {
            let _ = writeln!(text, "    and would answer: {}", reply(&there.step(step, bucket).1));
        }
    }
    if before.len() > STATES_MAX {
        let _ = writeln!(text, "  or {} more", before.len() - STATES_MAX);
    }
    // What ended before the state was last certain cannot matter, but to see what that was.
    let mut around: Vec<&Part> =
        parts.iter().filter(|it| it.begun <= stuck.ended && it.event != stuck.event).collect();
    around.sort_by_key(|it| it.ended.min(event(it).ended));
    let needed = around.iter().filter(|it| it.ended > certain).count();
    let shown = needed.clamp(BEFORE_MIN, BEFORE_MAX).min(around.len());
    text.push_str("around it\n");
    for part in &around[around.len() - shown..] {
        let _ = writeln!(text, "  {}", line(event(part)));
    }
    for cut in batch.cuts.iter().filter(|cut| **cut <= stuck.ended) {
        let _ = writeln!(text, "the server was dead at {cut}");
    }
    text
}

fn line(event: &Event) -> String {
    let Event { client, number, begun, ended, made_of, .. } = event;
    let mut text = format!(
        "[{begun}..{ended}] c{client:02} #{number} {} -> {}",
        operation(&event.operation),
        outcome(&event.outcome)
    );
    if !made_of.is_empty() {
        let _ = write!(text, " (bytes of {made_of})");
    }
    text
}

fn operation(operation: &Operation) -> String {
    match operation {
        Operation::On { key, step } => match step {
            Step::Append { position, body } => {
                format!("append to {key} at {position}, {} bytes", body.length())
            }
            Step::Put { content, forbid_overwrite } => {
                format!("put {key}, {} bytes{}", content.length(), careful(*forbid_overwrite))
            }
            Step::Seal { position } => format!("seal {key} at {position}"),
            Step::Delete => format!("delete {key}"),
            Step::Get { range: None } => format!("get {key}"),
            Step::Get { range: Some(range) } => format!("get {key} {range:?}"),
            Step::Head => format!("head {key}"),
            Step::Upload(step) => upload_step(key, step),
            Step::Of { version, step } => format!("{step:?} of version {version} of {key}"),
            Step::Versions => format!("list versions of {key}"),
            Step::Making { .. }
            | Step::Touch
            | Step::FindVersion { .. }
            | Step::Restore { .. }
            | Step::Retain { .. }
            | Step::Hold(_) => format!("{step:?} {key}"),
            Step::List | Step::ReadSource | Step::ReadPart { .. } | Step::Place { .. } => {
                format!("{step:?} {key}")
            }
        },
        Operation::Copy { source, version, key, forbid_overwrite } => {
            let version = version.as_ref().map(|version| format!(" of version {version}"));
            let version = version.unwrap_or_default();
            format!("copy {source}{version} to {key}{}", careful(*forbid_overwrite))
        }
        Operation::ListVersions { prefix } => format!("list versions of {prefix}*"),
        Operation::Set(setting) => format!("set {setting:?}"),
        Operation::Round => "a round of the lifecycle".to_owned(),
        Operation::List { prefix } => format!("list {prefix}*"),
        Operation::ListUploads { prefix } => format!("list uploads of {prefix}*"),
        Operation::CopyPart { source, range, if_match, key, upload, number } => format!(
            "copy {range:?} of {source} if {if_match:?} to part {number} of {upload} of {key}"
        ),
    }
}

fn upload_step(key: &str, step: &UploadStep) -> String {
    match step {
        UploadStep::Initiate { forbid_overwrite, .. } => {
            format!("initiate an upload of {key}{}", careful(*forbid_overwrite))
        }
        UploadStep::Part { upload, number, content } => {
            format!("part {number} of {upload} of {key}, {} bytes", content.length())
        }
        UploadStep::Parts { upload } => format!("list parts of {upload} of {key}"),
        UploadStep::Find { upload } => format!("list {upload} of {key}"),
        UploadStep::Complete { upload, parts, forbid_overwrite, .. } => {
            let parts = match parts {
                None => "all parts".to_owned(),
                Some(parts) => {
                    format!("parts {:?}", parts.iter().map(|it| it.0).collect::<Vec<_>>())
                }
            };
            format!("complete {parts} of {upload} to {key}{}", careful(*forbid_overwrite))
        }
        UploadStep::Abort { upload } => format!("abort {upload} of {key}"),
    }
}

fn careful(forbid: bool) -> &'static str {
    if forbid { " if absent" } else { "" }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(Answer::One(told)) => reply(told),
        Outcome::Answered(Answer::Copied { etag, version }) => {
            let version = version.as_ref().map(|version| format!(", version {version}"));
            format!("copied, etag {etag}{}", version.unwrap_or_default())
        }
        Outcome::Answered(Answer::Versions(listed)) => format!("versions {listed:?}"),
        Outcome::Answered(Answer::Done) => "done".to_owned(),
        Outcome::Answered(Answer::CopiedPart { etag, .. }) => format!("part copied, etag {etag}"),
        Outcome::Answered(Answer::Uploads(uploads)) => format!("uploads {uploads:?}"),
        Outcome::Answered(Answer::Listed(listed)) => {
            let entry = |(key, (kind, length, etag)): (&String, &(Kind, u64, String))| {
                format!("{key} ({kind:?}, {length} bytes, etag {etag})")
            };
            format!("listed {}", listed.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Outcome::NotDone(why) => format!("not done: {why}"),
        Outcome::Unknown(why) => format!("unknown: {why}"),
        Outcome::Impossible(why) => format!("impossible: {why}"),
    }
}

fn reply(told: &Reply) -> String {
    match told {
        Reply::Appended { next_position, crc64, .. } => {
            format!("appended, next position {next_position}, crc {crc64:016x}")
        }
        Reply::Stored { crc64, .. } => format!("stored, crc {crc64:016x}"),
        Reply::Sealed => "sealed".to_owned(),
        Reply::Deleted => "deleted".to_owned(),
        Reply::Read { info: told, crc64, length } => {
            format!("{length} bytes of crc {crc64:016x} of {}", info(told))
        }
        Reply::Found(told) => info(told),
        Reply::Listed(None) => "not listed".to_owned(),
        Reply::Listed(Some((kind, length, etag))) => {
            format!("listed: {kind:?}, {length} bytes, etag {etag}")
        }
        Reply::Source(object) => format!("source: {object:?}"),
        Reply::PartSource(content) => format!("source: {content:?}"),
        Reply::Initiated { upload } => format!("initiated {upload}"),
        Reply::PartStored { etag, .. } => format!("part stored, etag {etag}"),
        Reply::Parts(parts) => format!("parts {parts:?}"),
        Reply::UploadListed(listed) => if *listed { "listed" } else { "not listed" }.to_owned(),
        Reply::Completed { etag, crc64 } => format!("completed, etag {etag}, crc {crc64:016x}"),
        Reply::Aborted => "aborted".to_owned(),
        Reply::Of { version, reply: of } => format!("{}, version {version}", reply(of)),
        Reply::Removed { marker } => if *marker { "marker removed" } else { "removed" }.to_owned(),
        Reply::Versions(all) => format!("versions {all:?}"),
        Reply::VersionFound(found) => format!("version {found:?}"),
        Reply::Restored { .. } | Reply::Retained => format!("{told:?}"),
        Reply::Refused(Refusal::WrongPosition { length, crc64 }) => {
            format!("refused: the length is {length}, crc {crc64:016x}")
        }
        Reply::Refused(refusal) => format!("refused: {refusal:?}"),
    }
}

fn info(info: &Info) -> String {
    let Info { kind, length, crc64, sealed, .. } = info;
    let sealed = if *sealed { ", sealed" } else { "" };
    format!("{kind:?}, {length} bytes, crc {crc64:016x}{sealed}")
}

fn state(there: &Key) -> String {
    let last = |content: &Content| match content.last_body() {
        Some(body) => format!(", last bytes of {}", attribute(body.bytes())),
        None => String::new(),
    };
    let object = |object: &Object| match object.info() {
        Some(told) => {
            format!("{}{}", info(&told), object.content().map(last).unwrap_or_default())
        }
        None => "absent".to_owned(),
    };
    let mut text = object(there.object());
    if let Some((current, older)) = there.versions.split_last()
        && current.id != NULL
    {
        let _ = write!(text, ", version {}", current.id);
        for version in older.iter().rev() {
            let _ = write!(text, "; over {} ({})", version.id, object(&version.object));
        }
    }
    for (id, upload) in &there.uploads {
        let parts = upload.parts.iter().map(|(number, part)| format!("{number}: {}", part.md5()));
        let _ = write!(text, "; upload {id} of {}", parts.collect::<Vec<_>>().join(", "));
    }
    text
}
